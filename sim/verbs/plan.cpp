// Which machine to buy or rent for a job.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "model/core/error.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/changes.hpp"
#include "sim/search/plan_page.hpp"
#include "sim/search/procurement.hpp"
#include "sim/search/render_plan.hpp"
#include "sim/sweep/parallel.hpp"
#include "sim/verbs/on_ranks.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

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

std::size_t whole_number(std::string_view text, const std::string& option, const std::string& right) {
  const double value = number(text, option, right);
  if (value != std::floor(value)) throw InputError("'" + std::string(text) + "' is no whole number", option, right);
  return static_cast<std::size_t>(value);
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

constexpr std::array own_options = {
    OptionSpec{"The job, beside what simulate takes (--topology or --strategy, where given, are kept)", "recipes", 0,
               "LIST", "full, lora, qlora, dora, qdora [full, or what --peft says]"},
    OptionSpec{"Constraints", "deadline", 0, "TIME", "the run must end within: 36h, 7d, 2w"},
    OptionSpec{"Constraints", "budget", 0, "USD", "what the run may cost"},
    OptionSpec{"Constraints", "power", 0, "POWER", "what the machine may draw: 10kW"},
    OptionSpec{"Constraints", "rack", 0, "HEIGHT", "what it may take of a rack: 42U; hosts alone, no network"},
    OptionSpec{"Constraints", "devices", 0, "LIST", "parts of device names, comma-separated"},
    OptionSpec{"Constraints", "systems", 0, "LIST", "machines instead of all shipped ones: names, 8xH100, DOT files"},
    OptionSpec{"Constraints", "most-nodes", 0, "N", "that one machine may be made of [64]"},
    OptionSpec{"Money", "rent", 0, "", "only what is rented"},
    OptionSpec{"Money", "buy", 0, "", "only what is bought"},
    OptionSpec{"Money", "years", 0, "N", "that a bought machine is written off over [3]"},
    OptionSpec{"Money", "electricity", 0, "USD", "a kWh [0.12]"},
    OptionSpec{"Money", "prices", 0, "FILE", "prices that overrule topologies/prices.yaml, in the same form"},
    OptionSpec{"Output", "rows", 0, "N", "how many machines are shown [20]"},
};

/// Sets what the option named means; each stands in the table above.
void set(const std::string& name, const OptionText& text, PlanArguments& arguments) {
  Constraints& constraints = arguments.constraints;
  const auto& [value, where] = text;
  if (name == "deadline") {
    constraints.hours =
        measured(value, where, {{"min", 1.0 / 60}, {"h", 1}, {"d", 24}, {"w", 168}}, "a time such as 36h, 7d or 2w");
  } else if (name == "budget") {
    constraints.budget_usd =
        measured(value.ends_with("USD") ? value : value + "USD", where, {{"USD", 1}}, "US dollars such as 50000");
  } else if (name == "power") {
    constraints.watts = measured(value, where, {{"kW", 1000}, {"W", 1}}, "a power such as 10kW");
  } else if (name == "rack") {
    constraints.rack_units = measured(value, where, {{"U", 1}}, "a height such as 42U");
  } else if (name == "years") {
    constraints.years = number(value, where, "years such as 3");
  } else if (name == "electricity") {
    constraints.usd_per_kWh = number(value, where, "US dollars a kWh such as 0.12");
  } else if (name == "most-nodes") {
    constraints.most_nodes = std::min<std::size_t>(whole_number(value, where, "a number of nodes such as 16"), 2048);
  } else if (name == "devices") {
    constraints.devices = split(value, where);
  } else if (name == "recipes") {
    arguments.recipes.clear();
    for (const std::string& one : split(value, where)) arguments.recipes.push_back(recipe(one));
  } else if (name == "systems") {
    arguments.systems = split(value, where);
  } else if (name == "prices") {
    arguments.prices = value;
  } else if (name == "rows") {
    arguments.rows = whole_number(value, where, "a number of rows such as 20");
  }
}

PlanArguments parse_arguments(const std::vector<std::string>& words) {
  PlanArguments arguments;
  OptionTexts job = read_command_line(words, plan_options(), 0).options;
  const bool rent = job.erase("rent") > 0, buy = job.erase("buy") > 0;
  if (rent != buy) arguments.constraints.rent = rent, arguments.constraints.buy = buy;
  for (const OptionSpec& option : own_options) {
    const auto given = job.find(option.name);
    if (given == job.end()) continue;
    set(given->first, given->second, arguments);
    job.erase(given);
  }
  arguments.job = with_config_file(std::move(job));
  if (const auto topology = arguments.job.find("topology"); topology != arguments.job.end()) {
    arguments.systems = {topology->second.value};
    arguments.job.erase(topology);
  }
  if (!arguments.job.contains("tokens") && !arguments.job.contains("examples")) {
    throw InputError("how long the run is, is missing", "plan", "--tokens 1B, or --examples 10000 --epochs 3");
  }
  return arguments;
}

std::string in_form(Format format, const RankedPlan& plan, const std::string& command) {
  switch (format) {
    case Format::json:
      return render_plan_json(plan);
    case Format::markdown:
      return render_plan_markdown(plan);
    case Format::html:
      return render_plan_html(plan.offers, plan.what_ifs, plan.constraints, command, render_plan_text(plan));
    default:
      return render_plan_text(plan);
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
    const RankedPlan plan{offers, answers, arguments.constraints, arguments.rows};
    write_result(in_form(request.format, plan, shell_command(words)), request.output);
    return offers.front().fits() && offers.front().misses.empty() ? ExitStatus::fits : ExitStatus::does_not_fit;
  });
}

}  // namespace

ExitStatus run_plan(const Command& command) {
  return on_ranks([&](Ranks& ranks) { return plan(ranks, command); });
}

std::vector<OptionSpec> plan_options() { return beside_those_of_simulate(own_options); }

std::string plan_help() {
  return R"(Usage: shardsim plan --model MODEL --tokens N [--deadline 7d] [--budget 50000] [options]

Ranks machines for a job: each with the number of nodes and the way to run it (strategy,
micro-batch, checkpointing) that suit it, simulated; what it takes in hours, money and energy;
and what one more node, faster links or more host RAM would give the first of them.

  shardsim plan --model llama-3-70b --tokens 1B --deadline 7d
  shardsim plan --model mistral-7b --examples 10000 --epochs 3 --seq-len 1024 --recipes full,qlora
)" + options_help(own_options) +
         R"(
--format: text, markdown, json or html (a page to compare them on, with -o FILE).
Exit status: 0 a machine meets all constraints, 1 none does, 2 the request is wrong, 3 a bug.
)";
}

}  // namespace shardsim
