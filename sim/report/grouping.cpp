#include "sim/report/grouping.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace shardsim {

namespace {

bool alike(const DeviceReport& a, const DeviceReport& b) {
  return a.name == b.name && a.capacity_bytes == b.capacity_bytes && a.peak_allocated_bytes == b.peak_allocated_bytes &&
         a.peak_reserved_bytes == b.peak_reserved_bytes && a.peak_used_bytes == b.peak_used_bytes && a.fits == b.fits &&
         a.at_peak == b.at_peak && a.peak_at == b.peak_at && a.phases == b.phases;
}

bool alike(const HostReport& a, const HostReport& b) {
  return a.capacity_bytes == b.capacity_bytes && a.peak_bytes == b.peak_bytes && a.pinned_bytes == b.pinned_bytes &&
         a.at_peak == b.at_peak && a.fits == b.fits && a.phases == b.phases;
}

/// First index, last index and number of entries in a group.
struct Members {
  std::size_t first, last, entries;
};

template <class Entry>
std::vector<Entry> grouped(const std::vector<Entry>& entries) {
  std::vector<Entry> groups;
  std::vector<Members> members;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const Entry& g) { return alike(g, entries[i]); });
    if (same == groups.end()) {
      groups.push_back(entries[i]);
      members.push_back({i, i, 1});
      continue;
    }
    same->count += entries[i].count;
    Members& of = members[static_cast<std::size_t>(same - groups.begin())];
    of.last = i;
    ++of.entries;
  }
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto [first, last, count] = members[g];
    if (count == 1) continue;
    const bool contiguous = last - first + 1 == count;
    groups[g].id += contiguous ? "-" + entries[last].id : " and " + std::to_string(count - 1) + " more";
  }
  return groups;
}

}  // namespace

std::vector<DeviceReport> group_equal(const std::vector<DeviceReport>& devices) { return grouped(devices); }
std::vector<HostReport> group_equal(const std::vector<HostReport>& hosts) { return grouped(hosts); }

std::vector<LinkReport> group_equal(const std::vector<LinkReport>& links) {
  std::vector<LinkReport> groups;
  for (const LinkReport& link : links) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const LinkReport& g) {
      return g.kind == link.kind && g.bandwidth_Bps == link.bandwidth_Bps && g.bytes == link.bytes &&
             g.busy_s == link.busy_s;
    });
    if (same == groups.end()) {
      groups.push_back(link);
    } else {
      same->count += link.count;
    }
  }
  return groups;
}

const DeviceReport* fullest(const std::vector<DeviceReport>& devices) {
  const auto fraction = [](const DeviceReport& device) {
    return device.capacity_bytes > 0
               ? static_cast<double>(device.peak_used_bytes) / static_cast<double>(device.capacity_bytes)
               : 0.0;
  };
  const auto found = std::max_element(devices.begin(), devices.end(), [&](const auto& a, const auto& b) {
    // A device that does not fit is the one to talk about, whatever the others use.
    if (a.fits != b.fits) return a.fits;
    return fraction(a) < fraction(b);
  });
  return found == devices.end() ? nullptr : &*found;
}

std::int64_t bytes_of(const Breakdown& breakdown, Category category) {
  std::int64_t bytes = 0;
  for (const auto& [of, amount] : breakdown) bytes += of == category ? amount : 0;
  return bytes;
}

std::vector<LinkReport> busiest_links(const std::vector<LinkReport>& links, std::size_t count) {
  std::vector<std::size_t> order(links.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return links[a].utilization > links[b].utilization; });
  order.resize(std::min(count, order.size()));
  std::sort(order.begin(), order.end());
  std::vector<LinkReport> chosen;
  for (const std::size_t index : order) chosen.push_back(links[index]);
  return chosen;
}

}  // namespace shardsim
