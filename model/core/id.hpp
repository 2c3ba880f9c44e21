// Typed indices into vectors: a TensorId cannot stand where a StreamId belongs.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>

namespace shardsim {

template <class Tag>
class Id {
 public:
  constexpr Id() = default;
  constexpr explicit Id(std::size_t index) : index_(static_cast<std::uint32_t>(index)) {}
  constexpr std::size_t index() const { return index_; }
  /// False for a default-constructed id, which names nothing.
  constexpr bool valid() const { return index_ != none; }
  constexpr auto operator<=>(const Id&) const = default;

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t index_ = none;
};

}  // namespace shardsim

template <class Tag>
struct std::hash<shardsim::Id<Tag>> {
  std::size_t operator()(shardsim::Id<Tag> id) const noexcept { return id.index(); }
};
