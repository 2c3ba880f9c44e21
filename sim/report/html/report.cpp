#include "sim/report/html/report.hpp"

#include "sim/report/html/data.hpp"
#include "sim/report/html/page.hpp"
#include "sim/report/html/parts.hpp"
#include "sim/report/verdict.hpp"

namespace shardsim {

std::string render_html(const Report& report, const Topology& topology, const PlannedRun& run, const Outcome& outcome,
                        const std::string& command) {
  const Verdict said = verdict(report);
  html::Json data;
  data["report"] = html::Json::parse(render_json(report));
  data["verdict"] = {{"headline", said.headline}, {"reasons", said.reasons}, {"scenario", scenario_line(report)}};
  data["assumptions"] = report.assumptions;
  data["command"] = command;
  data["memory"] = html::memory_data(topology, run.plan, outcome, report);
  data["timeline"] = html::timeline_data(topology, run.plan, outcome);
  data["links"] = html::links_data(topology, run, outcome);
  return html_page(report.topology_name + ", " + report.model.name, html::run, data, render_text(report, false));
}

}  // namespace shardsim
