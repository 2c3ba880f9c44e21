// What batch and sequence change in a graph: the sizes of storages and kernels. All else is its structure.
#pragma once

#include <cstdint>
#include <vector>

#include "model/operators.hpp"

namespace shardsim {

/// Numbers for the sizes in a graph. Graphs of one structure number them alike.
class AmountIndex {
 public:
  explicit AmountIndex(const Graph& graph);

  // Among GraphAmounts::bytes.
  std::uint32_t value(ValueId id) const { return static_cast<std::uint32_t>(id.index()); }
  std::uint32_t gradient(ValueId id) const { return static_cast<std::uint32_t>(values_ + id.index()); }
  std::uint32_t scratch(std::size_t op) const { return static_cast<std::uint32_t>(2 * values_ + op); }
  std::uint32_t backward_scratch(std::size_t op) const {
    return static_cast<std::uint32_t>(2 * values_ + operators_ + op);
  }
  // Of an operator's first kernel, among GraphAmounts::kernel_of.
  std::uint32_t forward(std::size_t op) const { return first_[op]; }
  std::uint32_t backward(std::size_t op) const { return first_[op] + forwards_[op]; }
  std::uint32_t weight_backward(std::size_t op) const { return backward(op) + backwards_[op]; }

 private:
  std::size_t values_, operators_;
  std::vector<std::uint32_t> first_, forwards_, backwards_;  ///< by operator
};

/// The size of a value's gradient.
std::int64_t gradient_bytes(const Value& value);

struct GraphAmounts {
  explicit GraphAmounts(const Graph& graph);

  std::vector<std::int64_t> bytes;       ///< of values, of their gradients, of operators' scratch forward and backward
  std::vector<Kernel> kernels;           ///< each different one once
  std::vector<std::uint32_t> kernel_of;  ///< all kernels, operator after operator: index into `kernels`
  /// Everything else that decides what runs and what is allocated; equal for graphs of one structure.
  std::vector<std::uint32_t> structure;
};

}  // namespace shardsim
