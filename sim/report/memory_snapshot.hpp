// The devices' memory as torch.cuda.memory._snapshot() gives it, for https://pytorch.org/memory_viz.
#pragma once

#include <string>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// A pickle of `segments` as they are after the last step, `device_traces` from the first allocation on,
/// `allocator_settings` and `external_annotations`. Equal devices appear once, under the number of the first.
/// As in PyTorch, sizes of segments are rounded and those of trace entries are the requested ones. Frames name the
/// tensor and where the run stands; every entry has a category, `unknown` for segments (without such an entry the
/// viewer, torch/utils/viz/MemoryViz.js, fails).
std::string render_memory_snapshot(const Plan& plan, const Outcome& outcome);

}  // namespace shardsim
