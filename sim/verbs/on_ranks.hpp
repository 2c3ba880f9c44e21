// Verbs that run on all ranks of mpirun: one speaks for all.
#pragma once

#include <functional>
#include <optional>

#include "sim/sweep/ranks.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

/// Joins the other ranks and runs `verb`. A fault that all find is said by rank 0.
ExitStatus on_ranks(const std::function<ExitStatus(Ranks&)>& verb);

/// Rank 0 decides, all return the same: a status to end with, or nothing. What it throws is a status for the others.
std::optional<ExitStatus> on_first(Ranks& ranks, const std::function<std::optional<ExitStatus>()>& decide);

}  // namespace shardsim
