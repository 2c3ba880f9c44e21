#include "sim/search/evaluate.hpp"

#include <fmt/format.h>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/parse_request.hpp"

namespace shardsim {

std::string_view name_of(PointStatus status) {
  switch (status) {
    case PointStatus::fits:
      return "fits";
    case PointStatus::does_not_fit:
      return "does not fit";
    case PointStatus::refused:
      return "refused";
    case PointStatus::failed:
      return "failed";
  }
  return "";
}

Evaluator::Named Evaluator::named(const Request& request) {
  const auto amount = [](const std::optional<Bytes>& bytes) { return bytes ? bytes->value() : -1; };
  const std::string machine =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.topology, request.gpu, amount(request.host_memory),
                  amount(request.nvme), request.fabric, request.slow_gpus);
  auto topology = topologies_.find(machine);
  if (topology == topologies_.end()) {
    const TopologyOptions options{request.gpu, request.host_memory, request.nvme, request.fabric, request.slow_gpus};
    topology = topologies_.emplace(machine, load_topology(request.topology, options, data_.topologies)).first;
  }
  auto architecture = architectures_.find(request.model);
  if (architecture == architectures_.end()) {
    architecture = architectures_.emplace(request.model, load_architecture(request.model, data_.zoo)).first;
  }
  return {machine, topology->second, architecture->second};
}

Scenario Evaluator::scenario(const OptionTexts& texts) {
  const Named found = named(resolve_request(texts));
  return {found.topology, found.architecture};
}

Report Evaluator::report(const OptionTexts& texts) {
  const Request request = resolve_request(texts);
  const Named found = named(request);
  return simulate(request, {found.topology, found.architecture});
}

PointResult Evaluator::evaluate(const OptionTexts& texts, const std::function<void(Topology&)>& alter) {
  PointResult result;
  try {
    const Request request = resolve_request(texts);
    const Named found = named(request);
    if (alter) {
      Scenario altered{found.topology, found.architecture, residuals_};
      alter(altered.topology);
      result.figures = key_figures(simulate(request, std::move(altered)));
    } else {
      Report report = simulator_.simulate(request, found.machine, found.topology, found.architecture);
      report.ranges = ranges_of(residuals_, request);
      result.figures = key_figures(report);
    }
    result.status = result.figures.fits ? PointStatus::fits : PointStatus::does_not_fit;
  } catch (const InputError& error) {
    result.status = PointStatus::refused;
    result.message = error.what();
  } catch (const std::exception& error) {
    result.status = PointStatus::failed;
    result.message = error.what();
  }
  return result;
}

void Evaluator::check_names(const OptionTexts& texts) {
  try {
    named(resolve_request(texts));
  } catch (const UnknownName&) {
    throw;
  } catch (const InputError&) {
    // Options that do not go together are a result of this point.
  }
}

}  // namespace shardsim
