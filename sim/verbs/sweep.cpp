// Many simulations, over threads and ranks, killed and resumed.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"
#include "model/core/suggest.hpp"
#include "sim/report/json_text.hpp"
#include "sim/report/notation.hpp"
#include "sim/request/option_text.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/evaluate.hpp"
#include "sim/search/point_line.hpp"
#include "sim/search/result_file.hpp"
#include "sim/search/spec.hpp"
#include "sim/search/summary.hpp"
#include "sim/sweep/run.hpp"
#include "sim/verbs/on_ranks.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

namespace fs = std::filesystem;

/// Beside OUT.
constexpr const char* journal_folder = ".journal";

struct SweepArguments {
  std::string spec, output;
  int threads = 0;
  bool dry_run = false, quiet = false;
  std::optional<ResultFormat> format;  ///< absent: by the output's ending
  ResultFormat result_format() const { return format.value_or(result_format_of(output)); }
};

ResultFormat parse_format(const std::string& text) {
  static const std::map<std::string, ResultFormat> formats = {{"jsonl", ResultFormat::json_lines},
                                                              {"json", ResultFormat::json_lines},
                                                              {"csv", ResultFormat::csv},
                                                              {"sqlite", ResultFormat::sqlite},
                                                              {"html", ResultFormat::html}};
  const auto found = formats.find(text);
  if (found == formats.end()) {
    const std::vector<std::string> known{"jsonl", "csv", "sqlite", "html"};
    throw_unknown_name("format", text, "--format", known);
  }
  return found->second;
}

constexpr std::array own_options = {
    OptionSpec{"Options", "output", 'o', "OUT", "where the results go"},
    OptionSpec{"Options", "format", 0, "jsonl|csv|sqlite|html", "whatever OUT ends with"},
    OptionSpec{"Options", "threads", 0, "N", "threads of each rank [all cores, divided among the ranks]"},
    OptionSpec{"Options", "dry-run", 0, "", "count the points and estimate the time"},
    OptionSpec{"Options", "quiet", 'q', "", "no progress on stderr"},
};

SweepArguments parse_arguments(const std::vector<std::string>& words) {
  const std::string usage = "shardsim sweep SPEC.yaml -o OUT";
  const CommandLine line = read_command_line(words, own_options, 1);
  const auto text = [&](std::string_view option) -> const OptionText* {
    const auto found = line.options.find(option);
    return found == line.options.end() ? nullptr : &found->second;
  };
  if (line.operands.empty()) throw InputError("the sweep's spec is missing", "", usage);
  SweepArguments arguments;
  arguments.spec = line.operands.front();
  if (const OptionText* output = text("output")) arguments.output = output->value;
  if (const OptionText* format = text("format")) arguments.format = parse_format(format->value);
  if (const OptionText* threads = text("threads")) arguments.threads = parse_threads(*threads);
  arguments.dry_run = text("dry-run") != nullptr;
  arguments.quiet = text("quiet") != nullptr;
  if (arguments.output == "-") {
    throw InputError("a sweep goes on from what it has written, and stdout keeps nothing", "--output", "a file");
  }
  if (arguments.output.empty() && !arguments.dry_run) throw InputError("-o OUT is missing", "", usage);
  return arguments;
}

/// A name that nobody knows would fail at every point: better to hear of it at once.
void check_axis_names(const DesignSpace& space, Evaluator& evaluator) {
  constexpr std::size_t most_checked = 1000;
  for (const Axis& axis : space.axes) {
    for (std::size_t v = 0; v < std::min(axis.values.size(), most_checked); ++v) {
      OptionTexts texts = space.texts_at(0);
      texts.insert_or_assign(axis.option, OptionText{axis.values[v], axis.where + ", " + axis.option});
      evaluator.check_names(texts);
    }
  }
}

void append_point(std::string& lines, std::uint64_t index, const DesignSpace& space, Evaluator& evaluator,
                  std::optional<double>* score, const Objective& objective) {
  const OptionTexts texts = space.texts_at(index);
  if (space.skips(texts)) return;
  const PointResult result = evaluator.evaluate(texts);
  append_point_line(lines, index, space, result);
  if (score == nullptr || result.status != PointStatus::fits) return;
  for (const NamedFigure& figure : named_figures(result.figures)) {
    if (figure.name != objective.figure || !figure.value) continue;
    *score = objective.smaller_is_better ? *figure.value : -*figure.value;
  }
}

class Progress {
 public:
  Progress(bool quiet, const Objective& objective)
      : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) != 0), objective_(objective) {}

  void show(const SweepProgress& progress) {
    if (quiet_ || progress.points == 0) return;
    const std::uint64_t tenth = progress.done * 10 / progress.points;
    const std::uint64_t here = progress.done - progress.done_before;
    if (!terminal_ && (tenth == tenth_ || progress.done == progress.done_before)) return;
    tenth_ = tenth;
    const double rate = progress.seconds > 0 ? static_cast<double>(here) / progress.seconds : 0;
    std::string line = fmt::format("{} of {} points, {:.0f} %", progress.done, progress.points,
                                   100.0 * static_cast<double>(progress.done) / static_cast<double>(progress.points));
    if (rate > 0) {
      line += fmt::format(", {:.0f} a second, {} left", rate,
                          duration(static_cast<double>(progress.points - progress.done) / rate));
    }
    if (progress.best < std::numeric_limits<double>::infinity()) {
      const double best = objective_.smaller_is_better ? progress.best : -progress.best;
      line += fmt::format(", best {} {} at {}", objective_.name, objective_text(objective_, best), progress.best_index);
    }
    std::fprintf(stderr, terminal_ ? "\r\x1b[K%s" : "%s\n", line.c_str());
    shown_ = terminal_;
  }
  void end() const {
    if (shown_) std::fprintf(stderr, "\n");
  }

  static std::string duration(double seconds) {
    if (seconds < 100) return fmt::format("{:.0f} s", seconds);
    if (seconds < 100 * 60) return fmt::format("{:.0f} min", seconds / 60);
    return fmt::format("{:.1f} h", seconds / 3600);
  }

 private:
  bool quiet_, terminal_;
  Objective objective_;
  std::uint64_t tenth_ = 0;
  bool shown_ = false;
};

/// Counts the points, and tells from a few of them how long all take on one core.
ExitStatus dry_run(const SweepSpec& spec, const DataFolders& data) {
  Evaluator evaluator(data);
  check_axis_names(spec.space, evaluator);
  constexpr std::uint64_t sample = 64;
  const std::uint64_t points = spec.space.points();
  const auto begun = std::chrono::steady_clock::now();
  std::uint64_t tried = 0;
  std::string lines;
  double seconds = 0;
  for (std::uint64_t i = 0; i < std::min(points, sample) && seconds < 5; ++i) {
    append_point(lines, i * points / std::min(points, sample), spec.space, evaluator, nullptr, spec.pareto.front());
    ++tried;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }
  const double whole = seconds / static_cast<double>(tried) * static_cast<double>(points);
  std::string text;
  for (const Axis& axis : spec.space.axes) text += fmt::format("{:>10} x {}\n", axis.values.size(), axis.option);
  text += fmt::format("{:>10} points{}, about {} on one core (from {} of them)\n", points,
                      spec.space.skip_rules.empty() ? "" : " before the rules", Progress::duration(whole), tried);
  write_result(text, "");
  return ExitStatus::fits;
}

/// The finished results, in order: into OUT, and what they come to.
SweepSummary merge(const SweepSpec& spec, const SweepArguments& arguments, const std::string& command,
                   const std::vector<Record>& records) {
  const auto file = make_result_file(arguments.output, arguments.result_format(), spec, command);
  SweepSummary summary(spec);
  RecordReader reader;
  for (const Record& record : records) {
    const std::string payload = reader.read(record);
    for (std::size_t begin = 0; begin < payload.size();) {
      const std::size_t end = payload.find('\n', begin) + 1;
      const std::string line = payload.substr(begin, end - begin);
      const nlohmann::json point = nlohmann::json::parse(line);
      file->add(line, point);
      summary.add(line, point);
      begin = end;
    }
  }
  file->finish();
  return summary;
}

/// Left in the journals' folder when all is done, so that the same command, given again, finds nothing to do.
fs::path finished_mark(const fs::path& folder) { return folder / "finished.json"; }

void mark_finished(const fs::path& folder, const SweepWork& work, const std::string& summary, bool fits) {
  const nlohmann::json mark = {{"identity", work.identity}, {"summary", summary}, {"fits", fits}};
  WholeFile file(finished_mark(folder));
  file.write(json_text(mark) + "\n");
  file.finish();
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".journal") fs::remove(entry.path());
  }
}

bool is_mark_of(const nlohmann::json& mark, const SweepWork& work) {
  return mark.is_object() && mark.contains("identity") && mark["identity"] == work.identity &&
         mark.contains("summary") && mark["summary"].is_string() && mark.contains("fits") && mark["fits"].is_boolean();
}

/// The mark of an earlier run that finished this sweep. Throws InputError where OUT or its folder is somebody else's.
std::optional<nlohmann::json> find_finished(const fs::path& output, const fs::path& folder, const SweepWork& work) {
  if (fs::exists(output) && !fs::exists(folder)) {
    throw InputError("the output is there already, and no sweep of ours made it", output.string(), "another name");
  }
  if (!fs::exists(finished_mark(folder))) return {};
  const std::string text = read_file(finished_mark(folder), {"", "what a finished sweep leaves", table_limit});
  const nlohmann::json mark = nlohmann::json::parse(text, nullptr, false);
  if (!is_mark_of(mark, work)) {
    throw InputError("the output is that of another sweep, or of another version of shardsim", output.string(),
                     "another name, or it and " + folder.string() + " removed");
  }
  if (!fs::exists(output)) {
    fs::remove(finished_mark(folder));
    return {};
  }
  return mark;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder)) {
    throw InputError("cannot write there: " + (error ? error.message() : "it is a file"), folder.string(),
                     "-o OUT in a writable folder");
  }
}

SweepWork make_work(const SweepSpec& spec, const DataFolders& data) {
  SweepWork work;
  work.points = spec.space.points();
  work.identity = "shardsim " SHARDSIM_VERSION " " + spec.space.canonical();
  work.make_evaluation = [&spec, data, memory = std::make_shared<MemoryCache>()]() -> EvaluatePoint {
    const auto evaluator = std::make_shared<Evaluator>(data, memory);
    return [&spec, evaluator](std::uint64_t index, std::string& lines) {
      std::optional<double> score;
      append_point(lines, index, spec.space, *evaluator, &score, spec.pareto.front());
      return score;
    };
  };
  return work;
}

/// What rank 0 does before all begin. The status if there is nothing to do.
std::optional<ExitStatus> begin(const SweepArguments& arguments, const DesignSpace& space, const DataFolders& data,
                                const SweepWork& work, std::optional<FolderLock>& lock) {
  const fs::path folder = arguments.output + journal_folder;
  const fs::path parent = fs::path(arguments.output).parent_path();
  if (!parent.empty() && !fs::is_directory(parent)) {
    throw InputError("there is no folder '" + parent.string() + "'", "--output", "-o OUT in a folder that is there");
  }
  Evaluator evaluator(data);
  check_axis_names(space, evaluator);
  const bool had_folder = fs::exists(folder);
  if (!had_folder) find_finished(arguments.output, folder, work);
  make_folder(folder);
  lock.emplace(folder);
  const auto mark = find_finished(arguments.output, folder, work);
  if (!mark) return {};
  write_result("Finished before.\n" + (*mark)["summary"].get<std::string>(), "");
  return (*mark)["fits"] ? ExitStatus::fits : ExitStatus::does_not_fit;
}

/// What rank 0 does when all ranks are done.
ExitStatus end(const SweepArguments& arguments, const SweepSpec& spec, const SweepWork& work,
               const std::string& command) {
  const fs::path folder = arguments.output + journal_folder;
  const SweepSummary summary = merge(spec, arguments, command, read_journals(folder, work.identity, work.points));
  const std::string text = summary.text(work.points);
  mark_finished(folder, work, text, summary.fitting() > 0);
  write_result(text, "");
  return summary.fitting() > 0 ? ExitStatus::fits : ExitStatus::does_not_fit;
}

ExitStatus sweep(Ranks& ranks, const Command& command) {
  const SweepArguments arguments = parse_arguments(command.arguments);
  const DataFolders data = find_data(command.program);
  const SweepSpec spec = read_sweep_spec(arguments.spec);
  const SweepWork work = make_work(spec, data);
  if (arguments.dry_run) return ranks.first() ? dry_run(spec, data) : ExitStatus::fits;

  std::optional<FolderLock> lock;
  const std::optional<ExitStatus> finished =
      on_first(ranks, [&] { return begin(arguments, spec.space, data, work, lock); });
  if (finished) return *finished;

  Progress progress(arguments.quiet, spec.pareto.front());
  const SweepSettings settings{arguments.output + journal_folder, arguments.threads,
                               [&](const SweepProgress& seen) { progress.show(seen); }};
  if (!ranks.first()) run_sweep(ranks, work, settings);
  return *on_first(ranks, [&] {
    const bool done = run_sweep(ranks, work, settings);
    progress.end();
    if (!done) throw InputError("interrupted", "", "the same command again, which goes on where this one stopped");
    std::vector<std::string> words{"sweep"};
    words.insert(words.end(), command.arguments.begin(), command.arguments.end());
    return end(arguments, spec, work, shell_command(words));
  });
}

}  // namespace

ExitStatus run_sweep_verb(const Command& command) {
  return on_ranks([&](Ranks& ranks) { return sweep(ranks, command); });
}

std::vector<OptionSpec> sweep_options() { return {own_options.begin(), own_options.end()}; }

std::string sweep_help() {
  std::string aims;
  for (const Objective& objective : objectives()) {
    aims += fmt::format("{}{}", aims.empty() ? "" : ", ", objective.name);
  }
  return R"(Usage: shardsim sweep SPEC.yaml -o OUT [--format FORMAT] [--threads N] [--dry-run] [-q]

Simulates every point of a design space. OUT holds a line of JSON a point, or by its ending
.csv, .sqlite or .html: a page with a scatter of what costs what, filters, a heat map and a
table. The same OUT comes of any number of threads and ranks. A sweep that was stopped goes on
when the same command is given again: OUT.journal/ keeps what is done, and then that all is.

  shardsim sweep space.yaml -o points.jsonl
  mpirun -np 16 shardsim sweep space.yaml -o points.sqlite --threads 1

SPEC.yaml:
  base: {model: llama-2-7b, topology: 8xA100}     any option of simulate
  axes:                                           the last axis varies fastest: points that differ
                                                  in batch and length alone share most of their work
    strategy: [zero2, zero3, zero3-offload]
    micro-batch: {from: 1, to: 8}                 also step: 2
    seq-len: {from: 1k, to: 8k, times: 2}
  where:                                          points to leave out
    - strategy: [zero2]
      micro-batch * seq-len: "> 16k"
  pareto: [memory, tokens-per-s-per-gpu]          objectives
)" + options_help(own_options) +
         "\n" + wrapped("Objectives: " + aims, "", "  ", 98) + R"(
Exit status: 0 all points are done and some fit, 1 none fits, 2 wrong or interrupted, 3 a bug.
)";
}

}  // namespace shardsim
