// bitsandbytes' optimizers (bitsandbytes 0.50.2, optim/optimizer.py): one fused kernel a tensor, after each of which
// the host waits for the device; no temporaries.
//
// Paged states are CUDA managed memory: prefetched to the device before each update. Where they find no room there, the
// driver evicts what was used longest ago, which is what the next step needs first; so every step moves all of them
// both ways.
#include <utility>

#include "sim/cost/constants.hpp"
#include "sim/plan/optimizer.hpp"

namespace shardsim {
namespace {

class BitsAndBytes : public Optimizer {
 public:
  using Optimizer::Optimizer;

 private:
  void update(std::size_t begin, std::size_t end) override {
    for (std::size_t i = begin; i < end; ++i) {
      const bool fresh = create_states(i);
      page(i, fresh);
      recorder_.spend(cost_constants().hooks.bitsandbytes_tensor);
      recorder_.elementwise(3 * static_cast<double>(tensors_[i].bytes()) + 2 * static_cast<double>(bytes_of_states(i)),
                            "bitsandbytes update");
      recorder_.synchronize_stream(Recorder::compute_stream());
    }
  }

  // Fresh states are written on the device first: they only push others out.
  void page(std::size_t index, bool fresh) {
    if (setting_.paged == PagedStates::on_device) return;
    const auto bytes = static_cast<double>(bytes_of_states(index, true));
    if (bytes <= 0) return;
    recorder_.copy(Direction::to_host, bytes, true, "evict paged states", Recorder::compute_stream());
    if (!fresh) recorder_.copy(Direction::to_device, bytes, true, "prefetch paged states", Recorder::compute_stream());
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_bitsandbytes(Recorder& recorder, const OptimizerSetting& setting,
                                             std::vector<OptimizedTensor> tensors) {
  return std::make_unique<BitsAndBytes>(recorder, setting, std::move(tensors));
}

}  // namespace shardsim
