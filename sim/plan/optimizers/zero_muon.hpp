// DeepSpeed's Muon over the partitions of ZeRO stages 1 and 2 (DeepSpeed 0.19.8: stage_1_and_2.py, get_flat_partition;
// zero/muon/original_muon.py, muon_update).
//
// Each rank orthogonalizes, after the last backward, the full gradient of every matrix that touches its partition; a
// matrix that lies over the boundary of two partitions is done by both. Momentum is kept for those whole matrices, in
// the gradients' type, and once more in a buffer that the step's momentum is staged in until the step is known to be
// finite. The default method, "gram", iterates on the small Gram matrix in fp16 and compiles itself with
// torch.compile: a matrix of n x m, n < m, takes 14 products of n x n and 4 of n x m; a square one 15 of n x n.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.hpp"
#include "model/precision.hpp"
#include "sim/plan/deepspeed.hpp"
#include "sim/plan/recorder.hpp"

namespace shardsim {

class ZeroMuon {
 public:
  ZeroMuon(const Architecture& architecture, Recorder& recorder, Precision precision);

  /// The updates of this rank's matrices, which take their gradients' place.
  void orthogonalize(const FlatGroup& group);
  void commit_momentum();
  /// Once the updates have been flattened.
  void release_updates();
  /// Weight decay and update of a flat partition of `elements`, of `master` bytes each.
  void step(std::int64_t elements, std::int64_t master);

 private:
  struct Matrices {
    std::int64_t short_side = 0, long_side = 0, count = 1;
    std::int64_t numel() const { return short_side * long_side * count; }
  };

  void stage_momentum(const FlatGroup& group);
  void update(const Parameter& parameter);
  TensorId iterate_on_gram(const Matrices& matrices);
  TensorId iterate_on_whole(const Matrices& matrices);
  /// An operand of the iterations, in fp16.
  TensorId operand(const Matrices& matrices);

  const Architecture& architecture_;
  Recorder& recorder_;
  std::int64_t gradient_bytes_;  ///< of an element
  bool scales_loss_;
  std::int64_t momentum_bytes_ = 0;
  bool has_momentum_ = false;
  std::vector<TensorId> updates_;
};

}  // namespace shardsim
