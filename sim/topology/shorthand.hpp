// "2x8xH100", "4xA100", "2xdgx-a100": what a short name says, before any file is read.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace shardsim {

struct Shorthand {
  std::size_t nodes = 1;
  std::size_t gpus = 0;  ///< a node; 0: all of the system's
  std::string device;    ///< empty: named by --gpu
  std::string system;    ///< canonical name of a shipped system; then no device
};

/// `systems`: the shipped names. Throws InputError for counts that are zero or absurd (more than 64 GPUs a node, 65536
/// altogether) and, with the nearest systems, for what is no shorthand at all.
Shorthand parse_shorthand(std::string_view text, std::span<const std::string> systems);

}  // namespace shardsim
