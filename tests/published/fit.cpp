// What each figure of the cost model that no datasheet gives does to the errors over the published runs, and what the
// tables of measurements beside this file come to. Not a test: prints Markdown, tests/published/fit.md.
//
//   cmake --build build/release --target fit && build/release/tests/fit > tests/published/fit.md
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <fstream>
#include <iostream>
#include <map>
#include <regex>
#include <sstream>

#include "sim/calibration/collectives.hpp"
#include "sim/cost/constants.hpp"
#include "sim/cost/kernel_time.hpp"
#include "sim/topology/named_machine.hpp"
#include "sim/validation/csv.hpp"
#include "sim/validation/source_settings.hpp"
#include "sim/validation/validation.hpp"

using namespace shardsim;

namespace {

const std::filesystem::path published = SHARDSIM_SOURCE "/tests/published";
const std::filesystem::path topologies = SHARDSIM_SOURCE "/topologies";
constexpr std::array multiples = {0.8, 1.25};

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Rows below the header, by its names.
std::vector<std::map<std::string, std::string>> table(const std::string& name) {
  const std::vector<CsvRow> rows = parse_csv(read_text(published / name), name);
  std::vector<std::map<std::string, std::string>> found;
  for (std::size_t r = 1; r < rows.size(); ++r) {
    found.emplace_back();
    for (std::size_t c = 0; c < rows[r].fields.size(); ++c) found.back()[rows[0].fields[c]] = rows[r].fields[c];
  }
  return found;
}

std::string percent(double part) { return fmt::format("{:.1f} %", 100 * part); }

// ---- matmul.csv: the tile model's prologue, and the plateau that each device and layout reach with it

void fit_products() {
  std::map<std::string, std::vector<std::pair<Kernel, double>>> measured;  // by device and layout
  for (const auto& row : table("matmul.csv")) {
    Kernel kernel;
    kernel.m = std::stoll(row.at("m"));
    kernel.n = std::stoll(row.at("n"));
    kernel.k = std::stoll(row.at("k"));
    kernel.batch = std::stoll(row.at("batch"));
    measured[row.at("device") + " " + row.at("layout")].emplace_back(kernel, std::stod(row.at("fraction_of_peak")));
  }
  std::cout << "## Matrix products: matmul.csv\n\nplateau: what fits best as `matmul_efficiency`; errors: of the tile "
               "model with it.\n\n| device, layout | shapes | prologue | plateau | median error | 90 % below |\n"
               "| :--- | ---: | ---: | ---: | ---: | ---: |\n";
  const DeviceCatalog devices(topologies / "devices");
  for (const auto& [name, shapes] : measured) {
    std::vector<std::string> unused;
    const GpuSpec device = devices.gpu(name.substr(0, name.find(' ')), "matmul.csv", unused);
    for (const double prologue : {0., 64., 128., 256.}) {
      CostConstants constants;
      constants.prologue = prologue;
      const TrialConstants trial(constants);
      std::vector<double> ratios;
      for (const auto& [kernel, fraction] : shapes) {
        ratios.push_back(fraction / tile_efficiency(kernel, device.multiprocessors));
      }
      std::sort(ratios.begin(), ratios.end());
      const double plateau = quantile(ratios, 0.5);
      for (double& ratio : ratios) ratio = plateau / ratio - 1;
      const ErrorSummary errors = summarize(std::move(ratios));
      std::cout << fmt::format("| {} | {} | {} | {:.3f} | {} | {} |\n", name, shapes.size(), prologue, plateau,
                               percent(errors.median_absolute), percent(errors.p90_absolute));
    }
  }
}

// ---- collectives.csv: what calibrate makes of each machine's listings

using Runs = std::vector<TimedCollective>;

std::map<std::string, Runs> listings() {
  const std::map<std::string, CollectiveKind> kinds = {{"all_reduce", CollectiveKind::all_reduce},
                                                       {"all_gather", CollectiveKind::all_gather},
                                                       {"reduce_scatter", CollectiveKind::reduce_scatter}};
  std::map<std::string, Runs> found;
  for (const auto& row : table("collectives.csv")) {
    TimedCollective run;
    run.kind = kinds.at(row.at("collective"));
    run.ranks = std::stoll(row.at("ranks"));
    run.nodes = std::stoll(row.at("nodes"));
    run.bytes = std::stod(row.at("bytes"));
    const double n = static_cast<double>(run.ranks);
    const double factor = (run.kind == CollectiveKind::all_reduce ? 2 : 1) * (n - 1) / n;
    run.seconds = run.bytes * factor / (std::stod(row.at("bus_gigabytes_per_s")) * 1e9);
    found[row.at("topology")].push_back(run);
  }
  return found;
}

void fit_collectives() {
  std::cout << "\n## Collectives: collectives.csv\n\nInside a node: what `shardsim calibrate` makes of the listings "
               "(collective_figures.hpp has the defaults: 1, 20 and 60 us).\n\n| machine | all-gather | reduce-scatter "
               "| all-reduce | launch, us | fill, us |\n| :--- | ---: | ---: | ---: | ---: | ---: |\n";
  const Catalogs catalogs(topologies);
  for (const auto& [name, runs] : listings()) {
    Runs inside;
    for (const TimedCollective& run : runs) {
      if (run.nodes == 1) inside.push_back(run);
    }
    if (inside.empty()) continue;
    Machine machine = load_machine(name, "", catalogs).machine;
    std::vector<std::string> remarks;
    calibrate_collectives(machine, std::nullopt, inside, catalogs, "collectives.csv", remarks);
    const CollectiveFigures& f = machine.collectives;
    std::cout << fmt::format("| {} | {:.3f} | {:.3f} | {:.3f} | {:.1f} | {:.1f} |\n", name, f.all_gather,
                             f.reduce_scatter, f.all_reduce, f.launch.seconds() * 1e6, f.fill.seconds() * 1e6);
  }
  std::cout << "\nAcross nodes: bus bandwidth in GB/s, measured and predicted with three times of a ring's step "
               "(`network_step`), and what the step would have to be.\n\n| machine | collective | nodes | measured | 0 "
               "us | 9 us | 14.5 us | meets it |\n| :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
  for (const auto& [name, runs] : listings()) {
    for (const TimedCollective& run : runs) {
      if (run.nodes == 1) continue;
      const double n = static_cast<double>(run.ranks);
      const double sent = run.bytes * (run.kind == CollectiveKind::all_reduce ? 2 : 1) * (n - 1) / n;
      std::cout << fmt::format("| {} | {} | {} | {:.1f} |", name, name_of(run.kind), run.nodes,
                               sent / run.seconds / 1e9);
      const auto seconds = [&, &machine_name = name](double step_us) {
        CostConstants constants;
        constants.network_step = Time::from_seconds(step_us * 1e-6);
        const TrialConstants trial(constants);
        return predicted_seconds(load_machine(machine_name, "", catalogs).machine, run, catalogs);
      };
      for (const double step : {0., 9., 14.5}) std::cout << fmt::format(" {:.1f} |", sent / seconds(step) / 1e9);
      const double a_microsecond = seconds(1) - seconds(0);
      std::cout << (a_microsecond > 0 ? fmt::format(" {:.1f} us |\n", (run.seconds - seconds(0)) / a_microsecond)
                                      : " no ring |\n");
    }
  }
}

// ---- measured.csv: each constant, and what others would do

/// The data with one figure of some device files multiplied; gone with the object.
class TrialData {
 public:
  TrialData(const std::string& key, const std::regex& files, double by)
      : root_(std::filesystem::temp_directory_path() / fmt::format("shardsim-fit-{}", ::getpid())) {
    std::filesystem::copy(topologies, root_, std::filesystem::copy_options::recursive);
    const std::regex figure("(^|\n)(" + key + R"(: \{value: )([0-9.]+))");
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "devices")) {
      if (!std::regex_match(entry.path().stem().string(), files)) continue;
      const std::string text = read_text(entry.path());
      std::smatch found;
      if (!std::regex_search(text, found, figure)) continue;
      std::ofstream(entry.path(), std::ios::binary)
          << found.prefix() << found[1] << found[2] << fmt::format("{:.6g}", std::stod(found[3]) * by)
          << found.suffix();
    }
  }
  TrialData(const TrialData&) = delete;
  TrialData& operator=(const TrialData&) = delete;
  ~TrialData() { std::filesystem::remove_all(root_); }
  const std::filesystem::path& topologies_folder() const { return root_; }

 private:
  std::filesystem::path root_;
};

ErrorSummary time_errors(const std::filesystem::path& topologies_folder) {
  MeasuredRuns measured = read_measured_runs(published / "measured.csv");
  apply_source_settings(measured, read_source_settings(published / "sources.csv"));
  std::erase_if(measured.runs, [](const MeasuredRun& run) {
    const auto has = [&](Quantity q) { return run.measured[static_cast<std::size_t>(q)].has_value(); };
    return run.trust != "high" || !(has(Quantity::step_time_s) || has(Quantity::tokens_per_s_per_gpu));
  });
  const Validation validation =
      validate(std::move(measured), {SHARDSIM_SOURCE "/model/zoo", topologies_folder, published}, 0);
  for (const auto& [quantity, errors] : summarize_all(validation).quantities) {
    if (quantity == "time") return errors;
  }
  return {};
}

std::string cell(const ErrorSummary& errors) {
  return fmt::format(" {:.1f}, {:.1f}, {:+.1f}", 100 * errors.median_absolute, 100 * errors.p90_absolute,
                     100 * errors.bias);
}

void try_constant(const std::string& name, double CostConstants::*figure) {
  std::cout << fmt::format("| {} | {} |", name, CostConstants{}.*figure);
  for (const double by : multiples) {
    CostConstants constants;
    constants.*figure *= by;
    const TrialConstants trial(constants);
    std::cout << cell(time_errors(topologies)) << " |" << std::flush;
  }
  std::cout << "\n";
}

void try_time(const std::string& name, Time& (*figure)(CostConstants&)) {
  CostConstants usual;
  std::cout << fmt::format("| {} | {:.4g} us |", name, figure(usual).seconds() * 1e6);
  for (const double by : multiples) {
    CostConstants constants;
    figure(constants) = Time::from_seconds(figure(constants).seconds() * by);
    const TrialConstants trial(constants);
    std::cout << cell(time_errors(topologies)) << " |" << std::flush;
  }
  std::cout << "\n";
}

void try_device_figure(const std::string& key, const std::string& files, const std::string& value) {
  std::cout << fmt::format("| {} of {} | {} |", key, files == ".*" ? "all" : files, value);
  for (const double by : multiples) {
    const TrialData data(key, std::regex(files), by);
    std::cout << cell(time_errors(data.topologies_folder())) << " |" << std::flush;
  }
  std::cout << "\n";
}

void try_constants() {
  std::cout << "\n## Step times: measured.csv\n\nMedian absolute error, 90 % quantile of it, and bias over the runs of "
               "trust high, in percent, with the figure at parts of its value. A figure that nothing here moves is not "
               "told by these runs. With all as they are:"
            << cell(time_errors(topologies)) << ".\n\n| figure | value |";
  for (const double by : multiples) std::cout << fmt::format(" x {} |", by);
  std::cout << "\n| :--- | :--- |";
  for (std::size_t i = 0; i < multiples.size(); ++i) std::cout << " ---: |";
  std::cout << "\n";
  try_constant("kernel_mix", &CostConstants::kernel_mix);
  try_constant("first_generation_speed", &CostConstants::first_generation_speed);
  try_constant("narrow_head_speed", &CostConstants::narrow_head_speed);
  try_constant("network_tree_share", &CostConstants::network_tree_share);
  try_constant("cpu_optimizer_bandwidth_fraction", &CostConstants::cpu_optimizer_bandwidth_fraction);
  try_constant("pageable_copy_fraction", &CostConstants::pageable_copy_fraction);
  try_time("network_step", [](CostConstants& c) -> Time& { return c.network_step; });
  try_time("hooks.autograd_node", [](CostConstants& c) -> Time& { return c.hooks.autograd_node; });
  try_time("hooks.ddp_bucket", [](CostConstants& c) -> Time& { return c.hooks.ddp_bucket; });
  try_time("hooks.zero3_hook", [](CostConstants& c) -> Time& { return c.hooks.zero3_hook; });
  try_time("hooks.zero_gradient_hook", [](CostConstants& c) -> Time& { return c.hooks.zero_gradient_hook; });
  try_time("hooks.fsdp_unshard", [](CostConstants& c) -> Time& { return c.hooks.fsdp_unshard; });
  try_time("hooks.fsdp_reduce", [](CostConstants& c) -> Time& { return c.hooks.fsdp_reduce; });
  try_time("hooks.bitsandbytes_tensor", [](CostConstants& c) -> Time& { return c.hooks.bitsandbytes_tensor; });
  try_time("hooks.collective", [](CostConstants& c) -> Time& { return c.hooks.collective; });
  try_device_figure("kernel_launch", ".*", "10 us");
  try_device_figure("kernel_floor", ".*", "2.5 us");
  try_device_figure("collective_slowdown", ".*", "0.05 to 0.22");
  try_device_figure("memory_efficiency", "H100-SXM5-80GB", "0.87");
  try_device_figure("matmul_efficiency", "A100-SXM4-80GB", "0.755");
  try_device_figure("matmul_efficiency", "H100-SXM5-80GB", "0.665");
  try_device_figure("matmul_efficiency", "H100-SXM5-96GB-HBM2e", "0.54");
}

}  // namespace

int main() {
  std::cout
      << "# How the cost model's figures were chosen\n\nPrinted by `build/release/tests/fit` (target `fit`, about "
         "ten minutes on two cores).\n\n";
  fit_products();
  fit_collectives();
  try_constants();
}
