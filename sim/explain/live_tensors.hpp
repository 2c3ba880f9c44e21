// Which tensors are live at an instant of a program, equal ones together.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "sim/explain/arithmetic.hpp"
#include "sim/explain/explanation.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// Collects over one program or over all that share a host.
class LiveTensors {
 public:
  /// Only tensors of these pools count.
  LiveTensors(const Plan& plan, std::initializer_list<Pool> pools) : plan_(plan), pools_(pools) {}

  /// What `program` holds once its instruction `last` is done, `ranks` times over.
  void add(const Program& program, std::size_t last, std::int64_t ranks);

  /// By category, its groups largest first. `held`: what the pools' allocators say; the rest is rounding and kept
  /// blocks.
  std::vector<CategoryExplanation> explain(const std::array<std::int64_t, category_count>& held,
                                           const Arithmetic& arithmetic) const;

 private:
  /// Equal tensors. Where several programs have them, the first one's marks say when.
  struct Life {
    const Program* program = nullptr;
    std::int64_t count = 0;
    std::int32_t first_layer = -1, last_layer = -1;
    std::uint32_t since = 0;
    std::optional<std::uint32_t> until;
    bool stays = false;
  };
  using Key = std::tuple<Category, std::uint32_t, std::int64_t>;  ///< category, label, bytes

  void note(const Program& program, const Tensor& tensor, std::int64_t ranks, std::uint32_t since,
            std::optional<std::uint32_t> until);
  TensorGroup group(const Key& key, const Life& life, const Arithmetic& arithmetic) const;

  const Plan& plan_;
  std::vector<Pool> pools_;
  std::map<Key, Life> lives_;
};

}  // namespace shardsim
