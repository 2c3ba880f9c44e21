#include "sim/search/render_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/report/json_text.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/run.hpp"
#include "sim/report/verdict.hpp"
#include "sim/search/advise.hpp"

namespace shardsim {

namespace {

constexpr std::size_t text_width = 80;

std::string dollars(const std::optional<double>& usd) { return usd ? grouped_digits(*usd) : "-"; }

std::string place(const Offer& offer) {
  return offer.nodes == 1 ? offer.system : fmt::format("{} x {}", offer.nodes, offer.system);
}

std::string way(const Offer& offer) {
  const auto text = [&](const char* option, const char* otherwise) {
    const auto found = offer.options.find(option);
    return found == offer.options.end() ? std::string(otherwise) : found->second.value;
  };
  std::string said = text("strategy", "");
  if (text("peft", "none") != "none") said += ", " + text("peft", "");
  said += ", micro-batch " + text("micro-batch", "1");
  if (text("checkpointing", "none") != "none") said += ", " + text("checkpointing", "") + " checkpointing";
  return said;
}

std::string verdict(const Offer& offer) {
  if (!offer.fits()) return is_simulated(offer.result.status) ? "does not fit" : "not possible";
  std::string said;
  for (const std::string& miss : offer.misses) said += (said.empty() ? "misses " : ", ") + miss;
  return said;
}

class PlanText {
 public:
  explicit PlanText(const RankedPlan& plan)
      : offers_(plan.offers), what_ifs_(plan.what_ifs), constraints_(plan.constraints), rows_(plan.rows) {}

  std::string text() const {
    std::string text = fmt::format("{:>2}  {:<24} {:>8} {:>8} {:>9} {:>9} {:>8}\n", "", "machine", "step", "hours",
                                   "rent USD", "own USD", "kWh");
    for (std::size_t i = 0; i < std::min(rows_, offers_.size()); ++i) text += row(i);
    if (offers_.size() > rows_) text += fmt::format("    and {} more (--rows)\n", offers_.size() - rows_);
    return text + front() + questions() + notes();
  }

  std::string markdown() const {
    std::string text =
        "| | machine | GPUs | way | GiB used | step | hours | rent USD | own USD | buy USD | kWh | bottleneck | |\n"
        "| ---: | :--- | ---: | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | :--- | :--- |\n";
    for (std::size_t i = 0; i < std::min(rows_, offers_.size()); ++i) {
      const Offer& offer = offers_[i];
      text += fmt::format("| {} | {} | {} x {} | {} | {} of {}{} | {} | {:.1f} | {} | {} | {} | {} | {} | {} |\n",
                          i + 1, place(offer), offer.gpus, offer.gpu, way(offer),
                          in_gib(offer.result.figures.peak_used_bytes), in_gib(offer.result.figures.capacity_bytes),
                          offer.result.figures.tight ? " (tight)" : "", duration_text(offer.result.figures.step_time_s),
                          offer.hours, dollars(offer.rent_usd), dollars(offer.own_usd), dollars(offer.buy_usd),
                          grouped_digits(offer.energy_kWh), offer.result.figures.bottleneck, verdict(offer));
    }
    return text + "\n" + front() + questions() + notes();
  }

 private:
  std::string row(std::size_t i) const {
    const Offer& offer = offers_[i];
    const Figures& figures = offer.result.figures;
    std::string text;
    if (offer.result.status == PointStatus::refused) {
      return fmt::format("{:>2}  {:<24} ", i + 1, place(offer)) + wrapped(offer.result.message, "", "    ", text_width);
    }
    text = fmt::format("{:>2}  {:<24} {:>8} {:>8.1f} {:>9} {:>9} {:>8}\n", i + 1, place(offer),
                       fmt::format("{:.3g} s", figures.step_time_s), offer.hours, dollars(offer.rent_usd),
                       dollars(offer.own_usd), grouped_digits(offer.energy_kWh));
    std::string detail =
        fmt::format("{} x {}, {} of {} GiB{}, {}; {}", offer.gpus, offer.gpu, in_gib(figures.peak_used_bytes),
                    in_gib(figures.capacity_bytes), figures.tight ? " (tight)" : "", way(offer), figures.bottleneck);
    if (const std::string said = verdict(offer); !said.empty()) detail += "; " + said;
    return text + wrapped(detail, "      ", "      ", text_width);
  }

  std::string front() const {
    std::string text;
    for (const std::size_t i : best_offers(offers_, constraints_)) {
      text += fmt::format("  {:>2}  {:<24} {:>8.1f} h {:>10} USD\n", i + 1, place(offers_[i]), offers_[i].hours,
                          dollars(offers_[i].cost(constraints_)));
    }
    return text.empty() ? "" : "\nNo other is both faster and cheaper than\n" + text;
  }

  std::string questions() const {
    if (what_ifs_.empty()) return "";
    std::string text =
        fmt::format("\nWhat would help {}, now {:.1f} h\n", place(offers_.front()), offers_.front().hours);
    for (const WhatIf& answer : what_ifs_) {
      text += fmt::format(
          "  {:<44} {}\n", answer.change,
          answer.status == "fits"
              ? fmt::format("{:.1f} h{}", answer.hours, answer.cost_usd ? ", " + dollars(answer.cost_usd) + " USD" : "")
              : answer.status);
    }
    return text + "  run the first so:\n    " + command_line(offers_.front().options) + "\n";
  }

  std::string notes() const {
    std::map<std::string, std::string> sources;
    for (std::size_t i = 0; i < std::min(rows_, offers_.size()); ++i) {
      const Offer& offer = offers_[i];
      std::string& said = sources[offer.system];
      said = offer.price.rent_per_hour
                 ? fmt::format("rent {:.2f} USD an hour ({})", *offer.price.rent_per_hour, offer.price.rent_source)
                 : "no price to rent";
      said += offer.price.buy
                  ? fmt::format("; bought for {} USD ({})", dollars(offer.price.buy), offer.price.buy_source)
                  : "; no price to buy";
    }
    std::string text = "\nRanked by ";
    text += constraints_.rent
                ? "the price of renting; what has no such price stands below, by time (--buy: by owning)\n"
                : "the share of owning\n";
    text += "\nPrices of a node, and where they are from\n";
    for (const auto& [system, said] : sources) text += wrapped(system + ": " + said, "  - ", "    ", text_width);
    text += wrapped(fmt::format("own: the purchase written off evenly over {:.3g} years, the run's share of it, and "
                                "electricity at {:.3g} USD a kWh",
                                constraints_.years, constraints_.usd_per_kWh),
                    "  - ", "    ", text_width);
    text +=
        wrapped(fmt::format("kWh: every GPU at its board power, and the host; where its power is not known, {:.0f} % "
                            "of the boards' (DGX H100: 82 %), assumed",
                            100 * host_power_share),
                "  - ", "    ", text_width);
    const bool any_tight =
        std::any_of(offers_.begin(), offers_.end(), [](const Offer& offer) { return offer.result.figures.tight; });
    if (any_tight) text += wrapped(fmt::format("tight: {}", tight_meaning), "  - ", "    ", text_width);
    return text;
  }

  const std::vector<Offer>& offers_;
  const std::vector<WhatIf>& what_ifs_;
  const Constraints& constraints_;
  std::size_t rows_;
};

nlohmann::ordered_json maybe(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

nlohmann::ordered_json json_of(const Offer& offer) {
  nlohmann::ordered_json entry;
  entry["system"] = offer.system;
  entry["nodes"] = offer.nodes;
  entry["gpus"] = offer.gpus;
  entry["gpu"] = offer.gpu;
  entry["command"] = command_line(offer.options);
  entry["status"] = name_of(offer.result.status);
  entry["message"] = offer.result.message;
  entry["tight"] = offer.result.figures.tight;
  entry["meets"] = offer.fits() && offer.misses.empty();
  entry["misses"] = offer.misses;
  for (const NamedFigure& figure : named_figures(offer.result.figures)) {
    entry[std::string(figure.name)] = !is_simulated(offer.result.status) ? nlohmann::ordered_json()
                                      : figure.whole ? nlohmann::ordered_json(static_cast<std::int64_t>(*figure.value))
                                                     : maybe(figure.value);
  }
  entry["rent_usd"] = maybe(offer.rent_usd);
  entry["own_usd"] = maybe(offer.own_usd);
  entry["buy_usd"] = maybe(offer.buy_usd);
  entry["watts"] = offer.watts;
  entry["energy_kWh"] = offer.energy_kWh;
  entry["host_power_assumed"] = offer.power_assumed;
  entry["rack_units"] = offer.rack_units > 0 ? nlohmann::ordered_json(offer.rack_units) : nlohmann::ordered_json();
  entry["rent_source"] = offer.price.rent_source;
  entry["buy_source"] = offer.price.buy_source;
  entry["bottleneck"] = offer.result.figures.bottleneck;
  return entry;
}

}  // namespace

std::string render_plan_text(const RankedPlan& plan) { return PlanText(plan).text(); }

std::string render_plan_markdown(const RankedPlan& plan) { return PlanText(plan).markdown(); }

std::string render_plan_json(const RankedPlan& plan) {
  const auto& [offers, what_ifs, constraints, rows] = plan;
  nlohmann::ordered_json json;
  json["schema"] = "shardsim.plan/1";
  json["constraints"] = {{"deadline_hours", maybe(constraints.hours)},
                         {"budget_usd", maybe(constraints.budget_usd)},
                         {"watts", maybe(constraints.watts)},
                         {"rack_units", maybe(constraints.rack_units)},
                         {"years", constraints.years},
                         {"usd_per_kWh", constraints.usd_per_kWh}};
  json["offers"] = nlohmann::ordered_json::array();
  for (const Offer& offer : offers) json["offers"].push_back(json_of(offer));
  json["pareto"] = best_offers(offers, constraints);
  json["what_if"] = nlohmann::ordered_json::array();
  for (const WhatIf& answer : what_ifs) {
    json["what_if"].push_back({{"change", answer.change},
                               {"status", answer.status},
                               {"hours", answer.hours},
                               {"cost_usd", maybe(answer.cost_usd)}});
  }
  return json_text(json, 2) + "\n";
}

}  // namespace shardsim
