// For people: the verdict first, then what fills the memory and what takes the time.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "sim/report/grouping.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/report.hpp"
#include "sim/report/step_shares.hpp"
#include "sim/report/verdict.hpp"
#include "sim/request/echo.hpp"

namespace shardsim {

namespace {

constexpr int bar_cells = 40;
constexpr std::size_t device_groups_shown = 4;
constexpr std::size_t links_shown = 5;
constexpr double least_utilization_shown = 0.0005;  // what would print as 0.0 %

class TextWriter {
 public:
  TextWriter(const Report& report, bool color) : report_(report), color_(color) {}

  std::string write() {
    write_verdict();
    write_devices();
    write_hosts();
    write_step();
    write_links();
    write_bottleneck();
    write_run();
    write_options();
    write_assumptions();
    return out_;
  }

 private:
  template <class... Values>
  void line(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Values>(values)...);
    while (out_.ends_with(' ')) out_.pop_back();
    out_ += '\n';
  }
  std::string painted(std::string_view code, std::string_view text) const {
    return color_ ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
  }
  std::string heading(std::string_view text) const { return painted("1", text); }
  std::string colored_bar(double fraction) const {
    const std::string blocks = bar(fraction, bar_cells);
    return blocks.empty() ? blocks : painted("36", blocks);
  }
  bool verbose() const { return report_.request.verbosity > 0; }
  std::string_view measured_runs(Ranged quantity) const {
    const bool of_all = report_.ranges[static_cast<std::size_t>(quantity)]->of_all;
    return of_all ? "in eight of ten measured runs, of all kinds" : "in eight of ten measured runs of this kind";
  }

  void write_verdict() {
    const Verdict said = verdict(report_);
    line("{}", painted(report_.fits ? "1;32" : "1;31", said.headline));
    for (const std::string& reason : said.reasons) out_ += wrapped(reason, "  ", "  ");
    out_ += wrapped(scenario_line(report_), "", "  ");
  }

  void write_devices() {
    const std::vector<DeviceReport> groups = group_equal(report_.devices);
    const std::size_t shown = verbose() ? groups.size() : std::min(groups.size(), device_groups_shown);
    for (std::size_t i = 0; i < shown; ++i) write_device(groups[i]);
    if (shown < groups.size()) line("\n{} more groups of devices: -v shows them", groups.size() - shown);
  }

  void write_breakdown(const Breakdown& breakdown, std::int64_t capacity) {
    const double whole = static_cast<double>(std::max<std::int64_t>(capacity, 1));
    for (const auto& [category, bytes] : breakdown) {
      std::string name(name_of(category));
      std::replace(name.begin(), name.end(), '_', ' ');
      line("  {:<18}{:>9}  {}", name, in_gib(bytes, 2), colored_bar(static_cast<double>(bytes) / whole));
    }
  }

  void write_device(const DeviceReport& device) {
    line("\n{}", heading(fmt::format("Memory of {}, {}, GiB", device.id, device.name)));
    line("  peak: {}, after {}", device.peak_at, duration_text(device.peak_time_s));
    write_breakdown(device.at_peak, device.capacity_bytes);
    line("  {:<18}{:>9}  torch.cuda.max_memory_allocated()", "allocated", in_gib(device.peak_allocated_bytes, 2));
    line("  {:<18}{:>9}  torch.cuda.max_memory_reserved()", "reserved", in_gib(device.peak_reserved_bytes, 2));
    line("  {:<18}{:>9}  nvidia-smi: reserved, CUDA context and communicators", "used",
         in_gib(device.peak_used_bytes, 2));
    if (const auto range = range_of(report_, Ranged::used_bytes, static_cast<double>(device.peak_used_bytes))) {
      line("  {:<18}{:>9}  to {} {}", "", in_gib(std::llround(range->first), 2), in_gib(std::llround(range->second), 2),
           measured_runs(Ranged::used_bytes));
    }
    line("  {:<18}{:>9}", "capacity", in_gib(device.capacity_bytes, 2));
    write_phases(device.phases, [](const DevicePhase& phase) { return phase.peak_used_bytes; });
    if (!verbose() || device.largest.empty()) return;
    line("  largest tensors at the peak");
    for (const auto& [name, bytes] : device.largest) line("  {:>27}  {}", in_gib(bytes, 2), name);
  }

  /// "used at load 12.0, first step 60.1, steady step 61.2".
  template <class Phases, class Bytes>
  void write_phases(const Phases& phases, Bytes bytes) {
    if (phases.empty()) return;
    std::string text = "used at its fullest:";
    for (const auto& phase : phases) text += fmt::format(" {} {},", phase.phase, in_gib(bytes(phase), 2));
    text.pop_back();
    out_ += wrapped(text, "  ", "    ");
  }

  void write_hosts() {
    const std::vector<HostReport> groups = group_equal(report_.hosts);
    for (const HostReport& host : groups) {
      line("\n{}", heading(fmt::format("Host RAM of {}, GiB", host.id)));
      line("  {:<18}{:>9}  of {} GiB; pinned: {} GiB", "peak", in_gib(host.peak_bytes, 2), in_gib(host.capacity_bytes),
           in_gib(host.pinned_bytes));
      write_breakdown(host.at_peak, host.capacity_bytes);
      write_phases(host.phases, [](const HostPhase& phase) { return phase.peak_bytes; });
    }
    for (const StorageReport& storage : report_.storage) {
      line("  {:<18}{:>9} of {} GiB on drives; a step reads {:.1f} GB, writes {:.1f} GB", storage.id,
           in_gib(storage.peak_bytes), in_gib(storage.capacity_bytes), static_cast<double>(storage.read_bytes) / 1e9,
           static_cast<double>(storage.written_bytes) / 1e9);
    }
    if (!report_.save) return;
    line("  {:<18}{:>9}  {:.1f} GB written by all ranks", "save", duration_text(report_.save->time_s),
         static_cast<double>(report_.save->written_bytes) / 1e9);
  }

  void write_step() {
    const StepReport& step = report_.step;
    line("\n{}", heading(fmt::format("Step of {}, by what it waits for", duration_text(step.time_s))));
    for (const StepShare& part : step_shares(step)) {
      const double share = step.time_s > 0 ? part.seconds / step.time_s : 0;
      line("  {:<18}{:>11}{:>9}  {}", part.name, duration_text(part.seconds), percent_text(share), colored_bar(share));
    }
    line("  {} tokens/s, {} tokens/s a GPU; MFU {}, HFU {}", grouped_digits(step.tokens_per_s),
         grouped_digits(step.tokens_per_s_per_gpu), percent_text(step.mfu), percent_text(step.hfu));
    if (const auto range = range_of(report_, Ranged::time, step.time_s)) {
      line("  {} to {} {}", duration_text(range->first), duration_text(range->second), measured_runs(Ranged::time));
    }
  }

  void write_links() {
    std::vector<LinkReport> links = group_equal(report_.links);
    const double least = verbose() ? 0 : least_utilization_shown;
    std::erase_if(links, [&](const LinkReport& link) { return link.utilization <= least; });
    if (links.empty()) return;
    std::stable_sort(links.begin(), links.end(),
                     [](const LinkReport& a, const LinkReport& b) { return a.utilization > b.utilization; });
    if (!verbose()) links.resize(std::min(links.size(), links_shown));
    line("\n{}", heading("Busiest links"));
    for (const LinkReport& link : links) {
      const std::string id = link.count > 1 ? fmt::format("{} (x{})", link.id, link.count) : link.id;
      line("  {:<26}{:<13}{:>13}{:>12} carried{:>9} used", id, link.kind, bandwidth_text(link.bandwidth_Bps),
           fmt::format("{:.2f} GB", static_cast<double>(link.bytes) / 1e9), percent_text(link.utilization));
    }
  }

  void write_bottleneck() {
    const Bottleneck& bottleneck = report_.bottleneck;
    if (bottleneck.resource.empty()) return;
    out_ += '\n';
    out_ += wrapped(fmt::format("Bottleneck: {}, {} of the step: {}", bottleneck.resource,
                                percent_text(bottleneck.share_of_step), bottleneck.why),
                    "", "  ");
  }

  void write_run() {
    if (!report_.run) return;
    const RunReport& run = *report_.run;
    line("\n{}",
         heading(fmt::format("Whole run of {} steps, {} tokens{}", grouped_digits(static_cast<double>(run.steps)),
                             count_text(static_cast<double>(run.tokens)), report_.fits ? "" : ", if it fitted")));
    line("  {:<18}{:>11}", "time", run_time_text(run.hours));
    line("  {:<18}{:>11}", "GPU-hours", amount_text(run.gpu_hours));
    line("  {:<18}{:>11}", "energy", amount_text(run.energy_kWh) + " kWh");
    line("  {:<18}{:>11}", "cost", cost_text(run.cost_usd));
  }

  void write_options() {
    if (!verbose()) return;
    line("\n{}", heading("Options"));
    for (const auto& [name, value] : echo(report_.request)) {
      if (!std::holds_alternative<std::monostate>(value)) line("  {:<18}{}", name, to_text(value));
    }
  }

  void write_assumptions() {
    if (report_.assumptions.empty()) return;
    line("\n{}", heading("Assumed"));
    for (const std::string& assumption : report_.assumptions) out_ += wrapped(assumption, "  - ", "    ");
  }

  const Report& report_;
  bool color_;
  std::string out_;
};

}  // namespace

std::string render_text(const Report& report, bool color) { return TextWriter(report, color).write(); }

}  // namespace shardsim
