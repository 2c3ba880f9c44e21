#include "sim/search/plan_page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/report/notation.hpp"
#include "sim/search/advise.hpp"
#include "sim/search/points_page.hpp"

namespace shardsim {

namespace {

using Amount = std::optional<double>;

std::string place(const Offer& offer) {
  return offer.nodes == 1 ? offer.system : fmt::format("{} x {}", offer.nodes, offer.system);
}

/// What one does to run the offer, as values of these axes.
const std::vector<std::string>& axes() {
  static const std::vector<std::string> names{"GPU",  "system",      "GPUs",          "strategy",
                                              "peft", "micro-batch", "checkpointing", "constraints"};
  return names;
}

std::vector<std::string> axis_values(const Offer& offer) {
  const auto option = [&](const char* name, const char* otherwise) {
    const auto found = offer.options.find(name);
    return found == offer.options.end() ? std::string(otherwise) : found->second.value;
  };
  return {offer.gpu,
          offer.system,
          std::to_string(offer.gpus),
          option("strategy", "none"),
          option("peft", "none"),
          option("micro-batch", "1"),
          option("checkpointing", "none"),
          offer.fits() && offer.misses.empty() ? "met" : "missed"};
}

std::vector<PageFigure> figures() {
  return {{"hours", "time of the run", "h", true},
          {"rent_usd", "price to rent", "USD", true},
          {"own_usd", "share of owning", "USD", true},
          {"buy_usd", "purchase", "USD", true},
          {"energy_kWh", "energy", "kWh", true},
          {"watts", "power", "W", true},
          {"step_time_s", "step time", "s", true},
          {"peak_used_bytes", "GPU memory", "bytes", true},
          {"mfu", "MFU", "", false}};
}

std::vector<Amount> figure_values(const Offer& offer) {
  const Figures& made = offer.result.figures;
  return {offer.hours,      offer.rent_usd, offer.own_usd,    offer.buy_usd,
          offer.energy_kWh, offer.watts,    made.step_time_s, static_cast<double>(made.peak_used_bytes),
          made.mfu};
}

std::string answer(const WhatIf& what_if) {
  if (what_if.status != "fits") return what_if.status;
  const std::string cost = what_if.cost_usd ? ", " + cost_text(what_if.cost_usd) : "";
  return run_time_text(what_if.hours) + cost;
}

}  // namespace

std::string render_plan_html(const std::vector<Offer>& offers, const std::vector<WhatIf>& what_ifs,
                             const Constraints& constraints, const std::string& command, const std::string& text) {
  PointsPage page(axes(), figures(), {"hours", constraints.rent ? "rent_usd" : "own_usd"});
  for (std::size_t i = 0; i < offers.size(); ++i) {
    const Offer& offer = offers[i];
    page.add(i + 1, axis_values(offer), offer.result.status, figure_values(offer), offer.result.figures.bottleneck);
    page.commands.push_back(command_line(offer.options));
    page.labels.push_back(place(offer));
  }
  const auto meets = std::count_if(offers.begin(), offers.end(),
                                   [](const Offer& offer) { return offer.fits() && offer.misses.empty(); });
  const Offer& best = offers.front();
  page.answered = meets > 0;
  page.verdict = meets > 0 ? fmt::format("{} of {} machines do it", meets, offers.size()) : "no machine does it";
  page.headline = fmt::format("{}: {}", place(best), best.fits() ? run_time_text(best.hours) : "does not fit");
  if (const Amount cost = best.cost(constraints); best.fits() && cost) page.headline += ", " + cost_text(cost);
  page.subtitle = fmt::format("the first of {} machines, each with the best way to run the job on it", offers.size());
  page.command = command;
  for (const WhatIf& what_if : what_ifs) {
    page.notes.push_back(fmt::format("{} with {}: {}", place(best), what_if.change, answer(what_if)));
  }
  return page.html(text);
}

}  // namespace shardsim
