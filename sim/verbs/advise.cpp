// What to change so that it fits, or runs faster or cheaper.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "sim/report/json_text.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/verdict.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/advise.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

constexpr std::size_t text_width = 80;

struct AdviseArguments {
  OptionTexts options;
  Aim aim = Aim::fit;
};

constexpr std::array own_options = {
    OptionSpec{"Options, beside those of simulate", "faster", 0, "", "make a run that fits faster"},
    OptionSpec{"Options, beside those of simulate", "cheaper", 0, "", "make a run that fits cheaper"},
};

AdviseArguments parse_arguments(const std::vector<std::string>& words) {
  AdviseArguments arguments;
  OptionTexts texts = read_command_line(words, advise_options(), 0).options;
  const bool faster = texts.erase("faster") > 0, cheaper = texts.erase("cheaper") > 0;
  if (faster && cheaper) throw InputError("--faster and --cheaper contradict each other", "", "one of them");
  if (faster) arguments.aim = Aim::faster;
  if (cheaper) arguments.aim = Aim::cheaper;
  arguments.options = with_config_file(std::move(texts));
  return arguments;
}

std::string money(const PointResult& result) {
  const auto& usd = result.figures.usd_per_million_tokens;
  return usd ? fmt::format("{:.3g}", *usd) : "-";
}

std::string mark_of(const Advice& advice, std::size_t index) {
  if (advice.chosen == index) return "=>";
  return std::find(advice.alternatives.begin(), advice.alternatives.end(), index) != advice.alternatives.end() ? "or"
                                                                                                               : "";
}

/// The options of `rung` that the request does not have, as one would add them.
std::string difference(const OptionTexts& request, const OptionTexts& options) {
  std::string text;
  for (const auto& [option, value] : options) {
    const auto old = request.find(option);
    if (old == request.end() || old->second.value != value.value) {
      text += fmt::format("{}--{} {}", text.empty() ? "" : " ", option, shell_word(value.value));
    }
  }
  return text;
}

class Table {
 public:
  explicit Table(const Advice& advice) : advice_(advice) {}

  std::string text() const {
    std::string text = fmt::format("{:<2} {:<36} {:>8} {:>9} {:>10} {:>9}\n", "", "", "GPU GiB", "host GiB", "step",
                                   priced() ? "$/M tok" : "tokens/s");
    for (std::size_t i = 0; i < advice_.ladder.size(); ++i) text += row(i);
    return text;
  }

 private:
  bool priced() const {
    return std::any_of(advice_.ladder.begin(), advice_.ladder.end(),
                       [](const Rung& rung) { return rung.result.figures.usd_per_million_tokens.has_value(); });
  }

  std::string row(std::size_t i) const {
    const Rung& rung = advice_.ladder[i];
    const std::string name = (i > 0 && rung.kept ? "+ " : i > 0 ? "  " : "") + rung.change;
    if (!is_simulated(rung.result.status)) {
      return fmt::format("{:<2} {:<36} {}", mark_of(advice_, i), name, wrapped(rung.remark, "", "     ", text_width));
    }
    const Figures& figures = rung.result.figures;
    const auto over = [](std::int64_t needed, std::int64_t there) {
      return in_gib(needed) + (needed > there ? "!" : " ");
    };
    std::string line =
        fmt::format("{:<2} {:<36} {:>8} {:>9} {:>10} {:>9}\n", mark_of(advice_, i), name,
                    over(figures.peak_used_bytes, figures.capacity_bytes),
                    over(figures.host_peak_bytes, figures.host_capacity_bytes), duration_text(figures.step_time_s),
                    priced() ? money(rung.result) : grouped_digits(figures.tokens_per_s));
    const std::string said = i == 0 ? "" : difference(rung.before, rung.options);
    std::string remark = rung.trains_less ? "trains an adapter, not the model" : "";
    if (!rung.remark.empty()) remark += (remark.empty() ? "" : "; ") + rung.remark;
    if (!said.empty()) line += wrapped(said, "     ", "     ", text_width);
    if (!remark.empty()) line += wrapped(remark, "     ", "     ", text_width);
    return line;
  }

  const Advice& advice_;
};

std::string shortage(const Figures& figures) {
  if (figures.peak_used_bytes > figures.capacity_bytes) {
    return fmt::format("{} GiB on a device of {} GiB", in_gib(figures.peak_used_bytes), in_gib(figures.capacity_bytes));
  }
  return fmt::format("{} GiB of host RAM where there are {} GiB", in_gib(figures.host_peak_bytes),
                     in_gib(figures.host_capacity_bytes));
}

std::string conclusion(const Advice& advice, Aim aim) {
  if (!advice.chosen) {
    std::string text = "Nothing on the ladder fits.\n";
    if (!advice.nearest) return text;
    const Rung& rung = advice.ladder[*advice.nearest];
    if (rung.result.status == PointStatus::fits) {
      text += wrapped(fmt::format("What fits is {}, which trains an adapter and not the model:", rung.change), "", "",
                      text_width);
    } else {
      text += wrapped(fmt::format("Nearest is \"{}\": it would need {}:", rung.change, shortage(rung.result.figures)),
                      "", "", text_width);
    }
    return text + "  " + command_line(rung.options) + "\n";
  }
  const Rung& rung = advice.ladder[*advice.chosen];
  std::string text;
  if (*advice.chosen == 0) {
    text = aim == Aim::fit ? "It fits as it is" : "Nothing tried is better than the request as it is";
  } else {
    text = aim == Aim::faster ? "Fastest of what was tried"
           : aim == Aim::cheaper
               ? "Cheapest of what was tried"
               : fmt::format("It fits {}",
                             rung.change.starts_with("without") ? rung.change : "with \"" + rung.change + "\"");
  }
  const Figures& figures = rung.result.figures;
  text += fmt::format(": {} of {} GiB on each GPU", in_gib(figures.peak_used_bytes), in_gib(figures.capacity_bytes));
  constexpr std::int64_t notable = std::int64_t{16} << 30;
  if (figures.host_peak_bytes > notable) {
    text += fmt::format(", and {} GiB of host RAM ({:.0f} GB)", in_gib(figures.host_peak_bytes),
                        static_cast<double>(figures.host_peak_bytes) / 1e9);
  }
  text += ".";
  if (figures.tight) text += fmt::format(" TIGHT: {}.", tight_meaning);
  text = wrapped(text, "", "", text_width);
  text += "  " + command_line(rung.options) + "\n";
  for (const std::size_t other : advice.alternatives) {
    text += fmt::format("Or: {}{}\n  {}\n", advice.ladder[other].change,
                        advice.ladder[other].trains_less ? ", which trains an adapter and not the model" : "",
                        command_line(advice.ladder[other].options));
  }
  return text;
}

std::string largest_text(const Largest& largest) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (largest.micro_batch) add(fmt::format("micro-batch {}", *largest.micro_batch));
  if (largest.seq_len) add(fmt::format("sequences of {}", *largest.seq_len));
  if (!largest.model.empty()) add(fmt::format("of the models {}", largest.model));
  return text.empty() ? "" : "\n" + wrapped("Largest that fit so, each alone: " + text + ".", "", "", text_width);
}

std::string render_text_advice(const Advice& advice, Aim aim) {
  return Table(advice).text() + "\n" + conclusion(advice, aim) + largest_text(advice.largest);
}

std::string render_markdown_advice(const Advice& advice, Aim aim) {
  std::string text =
      "| | change | options | GPU GiB | host GiB | step | tokens/s | $/M tokens |\n"
      "| :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: |\n";
  for (std::size_t i = 0; i < advice.ladder.size(); ++i) {
    const Rung& rung = advice.ladder[i];
    const Figures& figures = rung.result.figures;
    const std::string options = difference(advice.ladder.front().options, rung.options);
    if (!is_simulated(rung.result.status)) {
      text += fmt::format("| | {} | `{}` | {} | | | | |\n", rung.change, options, rung.remark);
      continue;
    }
    text += fmt::format("| {} | {} | {} | {} of {} | {} of {} | {} | {} | {} |\n", mark_of(advice, i), rung.change,
                        options.empty() ? "" : "`" + options + "`", in_gib(figures.peak_used_bytes),
                        in_gib(figures.capacity_bytes), in_gib(figures.host_peak_bytes),
                        in_gib(figures.host_capacity_bytes), duration_text(figures.step_time_s),
                        grouped_digits(figures.tokens_per_s), money(rung.result));
  }
  return text + "\n" + conclusion(advice, aim) + largest_text(advice.largest);
}

nlohmann::ordered_json json_of(const Rung& rung) {
  nlohmann::ordered_json json;
  json["change"] = rung.change;
  json["command"] = command_line(rung.options);
  json["status"] = name_of(rung.result.status);
  json["tight"] =
      is_simulated(rung.result.status) ? nlohmann::ordered_json(rung.result.figures.tight) : nlohmann::ordered_json();
  json["trains_less"] = rung.trains_less;
  json["kept"] = rung.kept;
  json["remark"] = rung.remark;
  for (const NamedFigure& figure : named_figures(rung.result.figures)) {
    nlohmann::ordered_json& value = json[std::string(figure.name)];
    if (!is_simulated(rung.result.status) || !figure.value) continue;
    if (figure.whole) {
      value = static_cast<std::int64_t>(*figure.value);
    } else {
      value = *figure.value;
    }
  }
  return json;
}

std::string render_json_advice(const Advice& advice) {
  nlohmann::ordered_json json;
  json["schema"] = "shardsim.advice/1";
  json["fits"] = advice.chosen.has_value();
  json["ladder"] = nlohmann::ordered_json::array();
  for (const Rung& rung : advice.ladder) json["ladder"].push_back(json_of(rung));
  const auto place = [](const std::optional<std::size_t>& index) -> nlohmann::ordered_json {
    return index ? nlohmann::ordered_json(*index) : nlohmann::ordered_json();
  };
  json["chosen"] = place(advice.chosen);
  json["command"] = advice.chosen ? nlohmann::ordered_json(command_line(advice.ladder[*advice.chosen].options))
                                  : nlohmann::ordered_json();
  json["alternatives"] = advice.alternatives;
  json["nearest"] = place(advice.nearest);
  const Largest& largest = advice.largest;
  json["largest"]["micro_batch"] = largest.micro_batch ? nlohmann::ordered_json(*largest.micro_batch) : nullptr;
  json["largest"]["seq_len"] = largest.seq_len ? nlohmann::ordered_json(*largest.seq_len) : nullptr;
  json["largest"]["model"] = largest.model.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(largest.model);
  return json_text(json, 2) + "\n";
}

}  // namespace

ExitStatus run_advise(const Command& command) {
  const AdviseArguments arguments = parse_arguments(command.arguments);
  const Request request = resolve_request(arguments.options);
  refuse_files_of_one_run(request, "advise");
  if (request.format == Format::csv || request.format == Format::html) {
    throw InputError("advice is no table of one kind of row and no page", "--format", "text, markdown or json");
  }
  const DataFolders data = find_data(command.program);
  Evaluator evaluator(data);
  const Advice advice = advise(arguments.options, arguments.aim, evaluator, zoo_names(data.zoo));
  const std::string text = request.format == Format::json       ? render_json_advice(advice)
                           : request.format == Format::markdown ? render_markdown_advice(advice, arguments.aim)
                                                                : render_text_advice(advice, arguments.aim);
  write_result(text, request.output);
  return advice.chosen ? ExitStatus::fits : ExitStatus::does_not_fit;
}

std::vector<OptionSpec> advise_options() { return beside_those_of_simulate(own_options); }

std::string advise_help() {
  return R"(Usage: shardsim advise --topology TOPOLOGY --strategy STRATEGY [--faster|--cheaper] [options]

Goes down the ladder of changes that people make when a run does not fit, simulates each, and
stops at the first that does: 16-bit compute, activation checkpointing, a fused loss, an 8-bit
optimizer, a smaller micro-batch with more accumulation, more sharding, CPU offload, more host
RAM, drives, more GPUs. Adapters (LoRA, QLoRA) are shown beside, since they train something
else. It also names the largest micro-batch, sequence length and model that fit.

  shardsim advise --topology 1xA100 --strategy single --model mistral-7b --seq-len 1024
  shardsim advise --topology 8xA100 --strategy zero3 --model llama-3-8b --faster
)" + options_help(own_options) +
         R"(
The others: shardsim simulate --help; --format text, markdown or json.
Exit status: 0 an answer was found, 1 nothing fits, 2 the request is wrong, 3 a bug.
)";
}

}  // namespace shardsim
