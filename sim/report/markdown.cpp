// For papers, issues and wikis: the text report's figures as tables.
#include <fmt/format.h>

#include <iterator>

#include "sim/report/grouping.hpp"
#include "sim/report/markdown_table.hpp"
#include "sim/report/notation.hpp"
#include "sim/report/report.hpp"
#include "sim/report/step_shares.hpp"
#include "sim/report/verdict.hpp"

namespace shardsim {

namespace {

void write_devices(const Report& report, std::string& out) {
  const std::vector<DeviceReport> devices = group_equal(report.devices);
  out += "\n## Device memory (GiB)\n\n";
  MarkdownTable table(out);
  std::vector<std::string> names = {"at the peak"};
  for (const DeviceReport& device : devices)
    names.push_back(fmt::format("{} ({} x {})", device.id, device.count, device.name));
  table.head(names);
  const auto row = [&](std::string_view name, auto bytes) {
    std::vector<std::string> cells = {std::string(name)};
    for (const DeviceReport& device : devices) cells.push_back(in_gib(bytes(device), 2));
    table.row(cells);
  };
  for (std::size_t c = 0; c < category_count; ++c) {
    const auto category = static_cast<Category>(c);
    row(name_of(category), [&](const DeviceReport& device) { return bytes_of(device.at_peak, category); });
  }
  row("allocated", [](const DeviceReport& device) { return device.peak_allocated_bytes; });
  row("reserved", [](const DeviceReport& device) { return device.peak_reserved_bytes; });
  row("used", [](const DeviceReport& device) { return device.peak_used_bytes; });
  row("capacity", [](const DeviceReport& device) { return device.capacity_bytes; });
}

void write_hosts(const Report& report, std::string& out) {
  if (report.hosts.empty()) return;
  out += "\n## Host RAM (GiB)\n\n";
  MarkdownTable table(out);
  table.head({"host", "count", "peak", "pinned", "capacity"});
  for (const HostReport& host : group_equal(report.hosts)) {
    table.row({host.id, fmt::format("{}", host.count), in_gib(host.peak_bytes), in_gib(host.pinned_bytes),
               in_gib(host.capacity_bytes)});
  }
}

void write_step(const Report& report, std::string& out) {
  const StepReport& step = report.step;
  out += "\n## Step\n\n";
  MarkdownTable table(out);
  table.head({"part", "time", "share"});
  for (const StepShare& part : step_shares(step)) {
    table.row({std::string(part.name), duration_text(part.seconds),
               percent_text(step.time_s > 0 ? part.seconds / step.time_s : 0)});
  }
  table.row({"**step**", duration_text(step.time_s), ""});
  fmt::format_to(std::back_inserter(out), "\n{} tokens/s, {} tokens/s a GPU; MFU {}, HFU {}.\n",
                 grouped_digits(step.tokens_per_s), grouped_digits(step.tokens_per_s_per_gpu), percent_text(step.mfu),
                 percent_text(step.hfu));
  fmt::format_to(std::back_inserter(out), "\nBottleneck: {}, {} of the step: {}.\n", report.bottleneck.resource,
                 percent_text(report.bottleneck.share_of_step), report.bottleneck.why);
}

void write_links(const Report& report, std::string& out) {
  constexpr std::size_t links_shown = 10;
  if (report.links.empty()) return;
  out += "\n## Busiest links\n\n";
  MarkdownTable table(out);
  table.head({"link", "kind", "count", "bandwidth", "carried", "utilization"});
  for (const LinkReport& link : busiest_links(group_equal(report.links), links_shown)) {
    table.row({link.id, link.kind, fmt::format("{}", link.count), bandwidth_text(link.bandwidth_Bps),
               fmt::format("{:.2f} GB", static_cast<double>(link.bytes) / 1e9), percent_text(link.utilization)});
  }
}

void write_run(const Report& report, std::string& out) {
  if (!report.run) return;
  out += "\n## Whole run\n\n";
  MarkdownTable table(out);
  table.head({"steps", "tokens", "time", "GPU-hours", "kWh", "cost"});
  const RunReport& run = *report.run;
  table.row({grouped_digits(static_cast<double>(run.steps)), count_text(static_cast<double>(run.tokens)),
             run_time_text(run.hours), amount_text(run.gpu_hours), amount_text(run.energy_kWh),
             cost_text(run.cost_usd)});
}

void write_list(std::string_view title, const std::vector<std::string>& sentences, std::string& out) {
  if (sentences.empty()) return;
  fmt::format_to(std::back_inserter(out), "\n## {}\n\n", title);
  for (const std::string& sentence : sentences) fmt::format_to(std::back_inserter(out), "- {}\n", sentence);
}

}  // namespace

std::string render_markdown(const Report& report) {
  const Verdict said = verdict(report);
  std::string out = fmt::format("# {}\n\n{}\n", said.headline, scenario_line(report));
  for (const std::string& reason : said.reasons) fmt::format_to(std::back_inserter(out), "\n{}\n", reason);
  write_devices(report, out);
  write_hosts(report, out);
  write_step(report, out);
  write_links(report, out);
  write_run(report, out);
  write_list("Assumed", report.assumptions, out);
  write_list("Warnings", report.warnings, out);
  return out;
}

}  // namespace shardsim
