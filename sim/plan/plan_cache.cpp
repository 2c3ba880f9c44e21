#include "sim/plan/plan_cache.hpp"

#include <algorithm>
#include <utility>

#include "sim/plan/revalue.hpp"

namespace shardsim {

namespace {

/// A thread's plans take no more than this, and its graphs' sizes about as much.
constexpr std::size_t most_plan_bytes = 64 << 20;
constexpr std::size_t most_sizes = 128;

std::size_t bytes_of(const PlannedRun& run) {
  const auto size = [](const auto& list) { return list.size() * sizeof(list.front()); };
  std::size_t bytes = size(run.plan.transfers) + size(run.plan.uses);
  for (const Program& program : run.plan.programs) {
    bytes += size(program.tasks) + size(program.waits) + size(program.tensors) + size(program.instructions) +
             size(program.marks) + size(program.devices);
  }
  for (const Provenance& provenance : run.provenance) {
    bytes += size(provenance.tensors) + size(provenance.kernels) + size(provenance.sums) + size(provenance.executed);
  }
  return bytes;
}

/// Equal but for batch and sequence.
bool plans_alike(const Request& request, const Request& known) {
  Request same = request;
  same.micro_batch = known.micro_batch;
  same.seq_len = known.seq_len;
  return same == known;
}

}  // namespace

const PlanCache::Sized& PlanCache::sizes(const Request& request, const Architecture& architecture) {
  const GraphOptions options = graph_options(request);
  const auto found = std::find_if(sized_.begin(), sized_.end(), [&](const Sized& sized) {
    return sized.options == options && sized.model == request.model && sized.peft == request.peft;
  });
  if (found != sized_.end()) {
    sized_.splice(sized_.begin(), sized_, found);
    return sized_.front();
  }
  GraphAmounts amounts(build_graph(architecture, options));
  const auto alike = std::find_if(sized_.begin(), sized_.end(),
                                  [&](const Sized& sized) { return *sized.structure == amounts.structure; });
  auto structure = alike != sized_.end()
                       ? alike->structure
                       : std::make_shared<const std::vector<std::uint32_t>>(std::move(amounts.structure));
  amounts.structure.clear();
  sized_.push_front({request.model, request.peft, options, std::move(structure), std::move(amounts)});
  if (sized_.size() > most_sizes) sized_.pop_back();
  return sized_.front();
}

void PlanCache::forget() {
  std::size_t bytes = 0;
  for (auto known = known_.begin(); known != known_.end(); ++known) {
    bytes += known->bytes;
    if (bytes <= most_plan_bytes || known == known_.begin()) continue;
    known_.erase(known, known_.end());
    return;
  }
}

PlanCache::Planned PlanCache::plan(const std::string& machine, const Request& request, const Topology& topology,
                                   const Architecture& architecture) {
  const Sized& sized = sizes(request, architecture);
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
    return known.machine == machine && (known.structure == sized.structure || *known.structure == *sized.structure) &&
           plans_alike(request, known.request);
  });
  if (found != known_.end()) {
    known_.splice(known_.begin(), known_, found);
    revalue(known_.front().run, sized.amounts, topology);
    return {known_.front().run, known_.front().number};
  }
  PlannedRun run = make_plan(request, topology, architecture);
  const std::size_t bytes = bytes_of(run);
  known_.push_front({machine, request, sized.structure, std::move(run), bytes, ++planned_});
  forget();
  return {known_.front().run, planned_};
}

bool PlanCache::keeps(std::uint64_t structure) const {
  return std::any_of(known_.begin(), known_.end(), [&](const Known& known) { return known.number == structure; });
}

}  // namespace shardsim
