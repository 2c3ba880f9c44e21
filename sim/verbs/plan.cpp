// Which machine to buy or rent for a job.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "sim/report/json_text.hpp"
#include "sim/report/notation.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/advise.hpp"
#include "sim/search/changes.hpp"
#include "sim/search/plan_page.hpp"
#include "sim/search/procurement.hpp"
#include "sim/sweep/parallel.hpp"
#include "sim/verbs/on_ranks.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

constexpr std::size_t text_width = 80;

struct PlanArguments {
  OptionTexts job;
  std::vector<OptionTexts> recipes{{}};
  Constraints constraints;
  std::string prices;
  std::vector<std::string> systems;  ///< empty: all shipped ones
  std::size_t rows = 20;
};

double number(std::string_view text, const std::string& option, const std::string& right) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value > 0 && value < 1e15)) {
    throw InputError("'" + std::string(text) + "' is not understood", option, right);
  }
  return value;
}

/// The number before one of the units, times the unit's worth.
double measured(const std::string& text, const std::string& option,
                const std::vector<std::pair<std::string, double>>& units, const std::string& right) {
  for (const auto& [unit, worth] : units) {
    if (!text.ends_with(unit) || text.size() == unit.size()) continue;
    std::string value = text.substr(0, text.size() - unit.size());
    while (value.ends_with(' ')) value.pop_back();
    return worth * number(value, option, right);
  }
  throw InputError("'" + text + "' is not understood", option, right);
}

std::vector<std::string> split(const std::string& text, const std::string& option) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end == begin) throw InputError("'" + text + "' holds an empty name", option, "names, comma-separated");
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

OptionTexts recipe(const std::string& name) {
  if (name == "full") return {};
  if (name == "lora" || name == "dora") return with({}, "peft", name);
  if (name == "qlora" || name == "qdora") return with(with({}, "peft", name), "optimizer", "paged-adamw-8bit");
  throw InputError("unknown recipe '" + name + "'", "--recipes", "full, lora, qlora, dora or qdora, comma-separated");
}

PlanArguments parse_arguments(const std::vector<std::string>& words) {
  PlanArguments arguments;
  Constraints& constraints = arguments.constraints;
  std::vector<std::string> others;
  bool rent = false, buy = false;
  const auto set = [&](const std::string& name, const std::string& value) {
    if (name == "--deadline") {
      constraints.hours =
          measured(value, name, {{"min", 1.0 / 60}, {"h", 1}, {"d", 24}, {"w", 168}}, "a time such as 36h, 7d or 2w");
    } else if (name == "--budget") {
      constraints.budget_usd =
          measured(value.ends_with("USD") ? value : value + "USD", name, {{"USD", 1}}, "US dollars such as 50000");
    } else if (name == "--power") {
      constraints.watts = measured(value, name, {{"kW", 1000}, {"W", 1}}, "a power such as 10kW");
    } else if (name == "--rack") {
      constraints.rack_units = measured(value, name, {{"U", 1}}, "a height such as 42U");
    } else if (name == "--years") {
      constraints.years = number(value, name, "years such as 3");
    } else if (name == "--electricity") {
      constraints.usd_per_kWh = number(value, name, "US dollars a kWh such as 0.12");
    } else if (name == "--most-nodes") {
      constraints.most_nodes =
          static_cast<std::size_t>(std::min(number(value, name, "a number of nodes such as 16"), 2048.0));
    } else if (name == "--devices") {
      constraints.devices = split(value, name);
    } else if (name == "--recipes") {
      arguments.recipes.clear();
      for (const std::string& one : split(value, name)) arguments.recipes.push_back(recipe(one));
    } else if (name == "--systems") {
      arguments.systems = split(value, name);
    } else if (name == "--prices") {
      arguments.prices = value;
    } else if (name == "--rows") {
      arguments.rows = static_cast<std::size_t>(number(value, name, "a number of rows such as 20"));
    } else {
      return false;
    }
    return true;
  };
  static const std::vector<std::string> own{"--deadline", "--budget",      "--power",      "--rack",
                                            "--years",    "--electricity", "--most-nodes", "--devices",
                                            "--recipes",  "--systems",     "--prices",     "--rows"};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    const std::string name = words[i].substr(0, equals);
    if (words[i] == "--rent" || words[i] == "--buy") {
      (words[i] == "--rent" ? rent : buy) = true;
    } else if (std::find(own.begin(), own.end(), name) == own.end()) {
      others.push_back(words[i]);
    } else if (equals != std::string::npos) {
      set(name, words[i].substr(equals + 1));
    } else if (i + 1 < words.size()) {
      set(name, words[++i]);
    } else {
      throw InputError(name + " has no value", "plan", "see shardsim plan --help");
    }
  }
  if (rent != buy) constraints.rent = rent, constraints.buy = buy;
  arguments.job = read_options(others);
  if (const auto topology = arguments.job.find("topology"); topology != arguments.job.end()) {
    arguments.systems = {topology->second.value};
    arguments.job.erase(topology);
  }
  if (!arguments.job.contains("tokens") && !arguments.job.contains("examples")) {
    throw InputError("how long the run is, is missing", "plan", "--tokens 1B, or --examples 10000 --epochs 3");
  }
  return arguments;
}

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
  if (!offer.fits()) return offer.result.status == PointStatus::does_not_fit ? "does not fit" : "not possible";
  std::string said;
  for (const std::string& miss : offer.misses) said += (said.empty() ? "misses " : ", ") + miss;
  return said;
}

class PlanText {
 public:
  PlanText(const std::vector<Offer>& offers, const std::vector<WhatIf>& what_ifs, const Constraints& constraints,
           std::size_t rows)
      : offers_(offers), what_ifs_(what_ifs), constraints_(constraints), rows_(rows) {}

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
      text += fmt::format("| {} | {} | {} x {} | {} | {} of {} | {} | {:.1f} | {} | {} | {} | {} | {} | {} |\n", i + 1,
                          place(offer), offer.gpus, offer.gpu, way(offer), in_gib(offer.result.figures.peak_used_bytes),
                          in_gib(offer.result.figures.capacity_bytes), duration_text(offer.result.figures.step_time_s),
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
        fmt::format("{} x {}, {} of {} GiB, {}; {}", offer.gpus, offer.gpu, in_gib(figures.peak_used_bytes),
                    in_gib(figures.capacity_bytes), way(offer), figures.bottleneck);
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

std::string render_json_plan(const std::vector<Offer>& offers, const std::vector<WhatIf>& what_ifs,
                             const Constraints& constraints) {
  nlohmann::ordered_json json;
  json["schema"] = "shardsim.plan/1";
  json["constraints"] = {{"deadline_hours", maybe(constraints.hours)},
                         {"budget_usd", maybe(constraints.budget_usd)},
                         {"watts", maybe(constraints.watts)},
                         {"rack_units", maybe(constraints.rack_units)},
                         {"years", constraints.years},
                         {"usd_per_kWh", constraints.usd_per_kWh}};
  json["offers"] = nlohmann::ordered_json::array();
  for (const Offer& offer : offers) {
    nlohmann::ordered_json entry;
    entry["system"] = offer.system;
    entry["nodes"] = offer.nodes;
    entry["gpus"] = offer.gpus;
    entry["gpu"] = offer.gpu;
    entry["command"] = command_line(offer.options);
    entry["status"] = name_of(offer.result.status);
    entry["message"] = offer.result.message;
    entry["meets"] = offer.fits() && offer.misses.empty();
    entry["misses"] = offer.misses;
    for (const NamedFigure& figure : named_figures(offer.result.figures)) {
      entry[std::string(figure.name)] =
          !offer.fits() && offer.result.status != PointStatus::does_not_fit ? nlohmann::ordered_json()
          : figure.whole ? nlohmann::ordered_json(static_cast<std::int64_t>(*figure.value))
                         : maybe(figure.value);
    }
    entry["rent_usd"] = maybe(offer.rent_usd);
    entry["own_usd"] = maybe(offer.own_usd);
    entry["buy_usd"] = maybe(offer.buy_usd);
    entry["watts"] = offer.watts;
    entry["host_power_assumed"] = offer.power_assumed;
    entry["rack_units"] = offer.rack_units > 0 ? nlohmann::ordered_json(offer.rack_units) : nlohmann::ordered_json();
    entry["rent_source"] = offer.price.rent_source;
    entry["buy_source"] = offer.price.buy_source;
    entry["bottleneck"] = offer.result.figures.bottleneck;
    json["offers"].push_back(std::move(entry));
  }
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

std::string in_form(Format format, const std::vector<Offer>& offers, const std::vector<WhatIf>& answers,
                    const PlanArguments& arguments, const std::string& command) {
  const PlanText text(offers, answers, arguments.constraints, arguments.rows);
  switch (format) {
    case Format::json:
      return render_json_plan(offers, answers, arguments.constraints);
    case Format::markdown:
      return text.markdown();
    case Format::html:
      return render_plan_html(offers, answers, arguments.constraints, command, text.text());
    default:
      return text.text();
  }
}

/// The machines' progress on stderr, where a person sees it.
ForEach with_progress(const Request& request, bool shows) {
  return [threads = request.threads, shows](std::size_t count, const std::function<void(std::size_t)>& work) {
    std::atomic<std::size_t> done = 0;
    parallel_for(count, threads, [&](std::size_t i) {
      work(i);
      if (shows) std::fprintf(stderr, "\r\x1b[K%zu of %zu machines", ++done, count);
    });
    if (shows) std::fprintf(stderr, "\r\x1b[K");
  };
}

ExitStatus plan(Ranks& ranks, const Command& command) {
  PlanArguments arguments = parse_arguments(command.arguments);
  const DataFolders data = find_data(command.program);
  PriceList prices;
  prices.read(data.topologies / "prices.yaml");
  if (!arguments.prices.empty()) prices.read(arguments.prices);
  if (arguments.systems.empty()) arguments.systems = system_names(data.topologies);

  // A request that is wrong on every machine is wrong, and so is a machine that nobody knows: all ranks find it.
  OptionTexts probe = with(arguments.job, "topology", arguments.systems.front());
  if (!arguments.job.contains("strategy")) probe = with(std::move(probe), "strategy", "zero3");
  const Request request = resolve_request(probe);
  refuse_files_of_one_run(request, "plan");
  if (request.format == Format::csv) {
    throw InputError("a plan is no table of one kind of row", "--format csv", "text, markdown, json or html");
  }
  Evaluator evaluator(data);
  for (const std::string& system : arguments.systems) evaluator.check_names(with(probe, "topology", system));

  const bool shows = ranks.first() && request.verbosity >= 0 && ::isatty(STDERR_FILENO) != 0;
  const Team team{static_cast<std::size_t>(ranks.rank()), static_cast<std::size_t>(ranks.size()),
                  [&](const std::string& text) { return ranks.gather(text); }};
  const std::vector<Offer> offers =
      find_offers(arguments.job, arguments.recipes, arguments.systems, arguments.constraints, prices, data,
                  with_progress(request, shows), team);
  return *on_first(ranks, [&]() -> std::optional<ExitStatus> {
    if (offers.empty()) {
      throw InputError("no machine has such a device", "--devices",
                       "parts of the names that `shardsim list devices` prints");
    }
    const std::vector<WhatIf> answers =
        offers.front().fits() ? what_ifs(offers.front(), evaluator) : std::vector<WhatIf>{};
    std::vector<std::string> words{"plan"};
    words.insert(words.end(), command.arguments.begin(), command.arguments.end());
    write_result(in_form(request.format, offers, answers, arguments, shell_command(words)), request.output);
    return offers.front().fits() && offers.front().misses.empty() ? ExitStatus::fits : ExitStatus::does_not_fit;
  });
}

}  // namespace

ExitStatus run_plan(const Command& command) {
  return on_ranks([&](Ranks& ranks) { return plan(ranks, command); });
}

std::string plan_help() {
  return R"(Usage: shardsim plan --model MODEL --tokens N [--deadline 7d] [--budget 50000] [options]

Ranks machines for a job: each with the number of nodes and the way to run it (strategy, micro-batch, checkpointing)
that suit it, simulated; what it takes in hours, money and energy; and what one more node, faster links or more host
RAM would give the first of them.

  shardsim plan --model llama-3-70b --tokens 1B --deadline 7d
  shardsim plan --model mistral-7b --examples 10000 --epochs 3 --seq-len 1024 --recipes full,qlora --devices 4090,A100

The job: the options of simulate (shardsim simulate --help); --topology or --strategy, where given, are kept.
  --recipes LIST        full, lora, qlora, dora, qdora [full, or what --peft says]
Constraints:
  --deadline TIME       the run must end within: 36h, 7d, 2w
  --budget USD          what the run may cost
  --power POWER         what the machine may draw: 10kW
  --rack HEIGHT         what it may take of a rack: 42U; hosts alone, no network
  --devices LIST        parts of device names
  --systems LIST        machines instead of all shipped ones: names, 8xH100, DOT files
  --most-nodes N        [64]
Money:
  --rent, --buy         only one of the two
  --years N             that a bought machine is written off over [3]
  --electricity USD     a kWh [0.12]
  --prices FILE         prices that overrule those of topologies/prices.yaml, in the same form
Output:
  --rows N              [20]
  --format FORMAT       text, markdown, json or html: a page to compare them on, with -o FILE

Exit status: 0 a machine meets all constraints, 1 none does, 2 the request is wrong, 3 a bug.
)";
}

}  // namespace shardsim
