// torch.optim.Muon for hidden matrices (torch 2.13, optim/_muon.py: momentum 0.95, Nesterov, 5 Newton-Schulz iterations
// in bf16, matrix by matrix), torch.optim.AdamW for embeddings, head and vectors.
//
// A matrix that FSDP2 shards by rows is a DTensor (run on a CPU with 4 ranks, torch 2.13): a wide or square one gathers
// itself twice and its Gram matrix once in each iteration, and each rank multiplies its rows; a tall one, which Muon
// transposes, all-reduces its Gram matrix, squares it on every rank, and multiplies its columns.
#include <algorithm>
#include <utility>

#include "model/core/check.hpp"
#include "model/core/units.hpp"
#include "model/graph_builder.hpp"
#include "sim/plan/optimizer.hpp"

namespace shardsim {
namespace {

constexpr int iterations = 5;
constexpr std::int64_t bf16_bytes = 2;

Kernel product(std::int64_t m, std::int64_t n, std::int64_t k) { return graph::matmul_kernel(DType::bf16, m, n, k); }

class Muon : public Optimizer {
 public:
  Muon(Recorder& recorder, const OptimizerSetting& setting, std::vector<OptimizedTensor> tensors)
      : Optimizer(recorder, setting, std::move(tensors)) {
    std::vector<OptimizedTensor> rest;
    for (const OptimizedTensor& tensor : tensors_) {
      if (!is_hidden_matrix(tensor)) rest.push_back(tensor);
    }
    adamw_ =
        make_torch_optimizer(recorder, {OptimizerKind::adamw, setting.implementation, setting.paged}, std::move(rest));
  }

 private:
  /// A matrix whose short side is `side` and whose long side is `length`; this rank's part of it.
  struct Matrix {
    bool sharded = false;
    bool tall = false;
    std::int64_t side = 0, length = 0;              ///< of the whole matrix
    std::int64_t local_side = 0, local_length = 0;  ///< of what this rank multiplies
  };

  void update(std::size_t begin, std::size_t end) override {
    SHARDSIM_CHECK(begin == 0 && end == tensors_.size(), "runtimes that step group by group refuse Muon");
    for (std::size_t i = begin; i < end; ++i) {
      if (is_hidden_matrix(tensors_[i])) create_states(i);
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (is_hidden_matrix(tensors_[i])) update_matrix(tensors_[i]);
    }
    recorder_.reset(update_);
    adamw_->step();
  }

  Matrix matrix_of(const OptimizedTensor& tensor) const {
    const std::int64_t local_rows = tensor.shape[0];
    const std::int64_t columns = tensor.shape[1];
    const std::int64_t rows = tensor.whole_rows > 0 ? tensor.whole_rows : local_rows;
    const bool sharded = tensor.whole_rows > 0 && recorder_.world() > 1;
    if (rows > columns) return {sharded, true, columns, rows, columns, local_rows};
    return {sharded, false, rows, columns, local_rows, columns};
  }

  void update_matrix(const OptimizedTensor& tensor) {
    const auto bytes = static_cast<double>(tensor.bytes());
    const auto narrow = static_cast<double>(tensor.numel() * bf16_bytes);
    recorder_.elementwise(3 * bytes, "muon momentum");
    bind(update_, tensor.bytes());
    recorder_.elementwise(3 * bytes, "muon nesterov");
    TensorId orthogonal;
    if (tensor.type == DType::bf16) {
      orthogonal = std::exchange(update_, TensorId{});  // a cast to its own type is no copy
    } else {
      bind(orthogonal, tensor.numel() * bf16_bytes);
      recorder_.elementwise(bytes + narrow, "muon cast");
    }
    newton_schulz(matrix_of(tensor), tensor.numel(), orthogonal);
    recorder_.reset(update_);
    update_ = orthogonal;
    recorder_.elementwise(2 * bytes, "muon weight decay");
    recorder_.elementwise(2 * bytes + narrow, "muon update");
  }

  void newton_schulz(const Matrix& matrix, std::int64_t elements, TensorId& orthogonal) {
    const StreamId stream = Recorder::compute_stream();
    recorder_.elementwise(static_cast<double>(elements * bf16_bytes), "muon norm");
    if (matrix.sharded) collective(CollectiveKind::all_reduce, 4, "all-reduce muon norm");
    recorder_.elementwise(static_cast<double>(2 * elements * bf16_bytes), "muon scale");
    const std::int64_t gram_bytes = matrix.local_side * matrix.side * bf16_bytes;
    TensorId gram, polynomial;
    for (int i = 0; i < iterations; ++i) {
      TensorId gathered = gather_rows(matrix, matrix.length);
      bind(gram, gram_bytes);
      recorder_.kernel(product(matrix.local_side, matrix.side, matrix.local_length), "muon gram", stream);
      recorder_.reset(gathered);
      if (matrix.sharded && matrix.tall) {
        collective(CollectiveKind::all_reduce, matrix.side * matrix.side * bf16_bytes, "all-reduce muon gram");
      }
      gathered = gather_rows(matrix, matrix.side);
      bind(polynomial, gram_bytes);
      recorder_.kernel(product(matrix.local_side, matrix.side, matrix.side), "muon polynomial", stream);
      recorder_.reset(gathered);
      gathered = gather_rows(matrix, matrix.length);
      bind(orthogonal, elements * bf16_bytes);
      recorder_.kernel(product(matrix.local_side, matrix.local_length, matrix.side), "muon orthogonalize", stream);
      recorder_.reset(gathered);
    }
    recorder_.reset(gram);
    recorder_.reset(polynomial);
  }

  // The right operand of a product whose left one is sharded by rows.
  TensorId gather_rows(const Matrix& matrix, std::int64_t columns) {
    if (!matrix.sharded || matrix.tall) return {};
    const std::int64_t bytes = round_up(matrix.side, recorder_.world()) * columns * bf16_bytes;
    const TensorId gathered = recorder_.allocate(Category::buffers, bytes, "muon gathered");
    collective(CollectiveKind::all_gather, bytes, "all-gather muon");
    return gathered;
  }

  void collective(CollectiveKind kind, std::int64_t bytes, const char* label) {
    recorder_.collective(kind, static_cast<double>(bytes), label, Recorder::compute_stream());
  }

  // `name = expression`: the new value exists before the name lets go of the old one.
  void bind(TensorId& name, std::int64_t bytes) {
    const TensorId value = recorder_.allocate(Category::workspace, bytes, "muon temporaries");
    recorder_.reset(name);
    name = value;
  }

  std::unique_ptr<Optimizer> adamw_;
  TensorId update_;  ///< of the last matrix, held by the loop's name until the next one's
};

}  // namespace

std::unique_ptr<Optimizer> make_muon(Recorder& recorder, const OptimizerSetting& setting,
                                     std::vector<OptimizedTensor> tensors) {
  return std::make_unique<Muon>(recorder, setting, std::move(tensors));
}

}  // namespace shardsim
