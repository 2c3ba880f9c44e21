// What a host holds when all its ranks' allocations are laid over one another in simulated time.
#pragma once

#include <span>
#include <vector>

#include "sim/engine/ledger.hpp"

namespace shardsim {

/// One program's levels on the host, and how many of its ranks are there.
struct HostShare {
  std::span<const HostLevel> levels;
  std::int64_t ranks = 1;
};

/// Instants are ordered among programs, but what happens at one instant is not: there each program counts with the most
/// that it holds within the instant. So neither the programs' order nor folding equal ranks changes the result.
HostOutcome host_peak(std::span<const HostShare> shares, std::size_t stages);

}  // namespace shardsim
