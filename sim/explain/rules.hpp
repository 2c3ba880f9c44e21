// What people teach about each part of the memory, and which code really allocates it.
#pragma once

#include <string>

#include "sim/explain/explanation.hpp"

namespace shardsim {

/// Sets the rule of thumb of a category with its source, what it leaves out, and whose code allocates the tensors.
void add_rule(CategoryExplanation& entry, const Simulation& simulation);

/// What DeepSpeed's estimate_zero{2,3}_model_states_mem_needs say of the RAM of one host; empty text where the request
/// offloads nothing that they know.
void add_host_rule(HostExplanation& host, const Simulation& simulation);

}  // namespace shardsim
