#include "sim/topology/readers/matrix.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <set>

#include "sim/topology/readers/matrix_table.hpp"
#include "sim/topology/readers/nic_speed.hpp"

namespace shardsim {

namespace {

using Indices = std::vector<std::size_t>;

/// Sets of items that `joined` connects, each in order, by their first items.
std::vector<Indices> clusters(const Indices& items, auto joined) {
  Indices root(items.size());
  std::iota(root.begin(), root.end(), std::size_t{0});
  const auto find = [&](std::size_t at) {
    while (root[at] != at) at = root[at];
    return at;
  };
  for (std::size_t a = 0; a < items.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      if (joined(items[a], items[b])) {
        const std::size_t x = find(a), y = find(b);
        root[std::max(x, y)] = std::min(x, y);
      }
    }
  }
  std::vector<Indices> found;
  std::vector<std::size_t> place(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::size_t first = find(i);
    if (first == i) {
      place[i] = found.size();
      found.emplace_back();
    }
    found[place[first]].push_back(items[i]);
  }
  return found;
}

/// "0-31,64-95" is 32 cores: two equal ranges are the two threads of each.
int cores_of(const std::string& cpus) {
  std::vector<int> ranges;
  const char* at = cpus.data();
  const char* last = cpus.data() + cpus.size();
  while (at < last) {
    int from = 0, to = 0;
    auto read = std::from_chars(at, last, from);
    if (read.ec != std::errc{}) return 0;
    to = from;
    if (read.ptr < last && *read.ptr == '-') read = std::from_chars(read.ptr + 1, last, to);
    if (read.ec != std::errc{} || from < 0 || to < from || to > 8191) return 0;
    ranges.push_back(to - from + 1);
    at = read.ptr < last ? read.ptr + 1 : last;
  }
  const int all = std::accumulate(ranges.begin(), ranges.end(), 0);
  return ranges.size() == 2 && ranges[0] == ranges[1] && ranges[0] > 1 ? ranges[0] : all;
}

class Builder {
 public:
  Builder(const MatrixTable& table, const std::string& file) : table_(table) {
    sketch_.where = file;
    sketch_.shows_nvlinks = true;
    for (std::size_t i = 0; i < table.devices.size(); ++i) (table.devices[i].is_gpu ? gpus_ : nics_).push_back(i);
    std::sort(gpus_.begin(), gpus_.end(), [&](std::size_t a, std::size_t b) {
      const std::string &x = table.devices[a].name, &y = table.devices[b].name;
      return std::pair(x.size(), x) < std::pair(y.size(), y);
    });
  }

  Sketch build() {
    add_numa_nodes();
    part_of_.assign(table_.devices.size(), 0);
    for (std::size_t gpu : gpus_) part_of_[gpu] = add_device(gpu, PartKind::gpu);
    for (std::size_t nic : nics_) part_of_[nic] = add_device(nic, PartKind::nic);
    const bool has_paths =
        std::all_of(gpus_.begin(), gpus_.end(), [&](std::size_t gpu) { return !table_.devices[gpu].path.empty(); });
    has_paths ? follow_paths() : follow_relations();
    for (std::size_t a : gpus_) {
      for (std::size_t b : gpus_) {
        const MatrixCell cell = table_.between(a, b);
        if (a < b && cell.relation == Relation::nvlink)
          sketch_.nvlinks[std::minmax(part_of_[a], part_of_[b])] = cell.links;
      }
    }
    return std::move(sketch_);
  }

 private:
  bool shares(std::size_t a, std::size_t b, Relation most) const {
    const Relation relation = table_.between(a, b).relation;
    return relation >= Relation::switch_below && relation <= most;
  }

  bool apart(std::size_t a, std::size_t b) const {
    if (table_.between(a, b).relation == Relation::socket) return true;
    return std::any_of(nics_.begin(), nics_.end(), [&](std::size_t nic) {
      const bool a_far = table_.between(a, nic).relation == Relation::socket;
      const bool b_far = table_.between(b, nic).relation == Relation::socket;
      return (a_far && shares(b, nic, Relation::host)) || (b_far && shares(a, nic, Relation::host));
    });
  }

  /// By the affinity column that tells GPUs apart, else by what SYS separates.
  std::vector<Indices> numa_groups() const {
    for (const auto column : {&MatrixDevice::numa, &MatrixDevice::cpus}) {
      const auto groups = clusters(
          gpus_, [&](std::size_t a, std::size_t b) { return table_.devices[a].*column == table_.devices[b].*column; });
      if (groups.size() > 1) return groups;
    }
    std::vector<Indices> groups;
    for (std::size_t gpu : gpus_) {
      const auto near = std::find_if(groups.begin(), groups.end(), [&](const Indices& group) {
        return std::none_of(group.begin(), group.end(), [&](std::size_t member) { return apart(gpu, member); });
      });
      near == groups.end() ? groups.push_back({gpu}) : near->push_back(gpu);
    }
    return groups;
  }

  void add_numa_nodes() {
    int highest = 0;
    numa_of_.assign(table_.devices.size(), 0);
    for (const Indices& group : numa_groups()) {
      Part numa;
      numa.id = "numa" + std::to_string(sketch_.parts.size());
      numa.kind = PartKind::numa;
      const MatrixDevice& first = table_.devices[group.front()];
      const bool same = std::all_of(group.begin(), group.end(),
                                    [&](std::size_t gpu) { return table_.devices[gpu].cpus == first.cpus; });
      numa.cores = same ? cores_of(first.cpus) : 0;
      int number = 0;
      std::from_chars(first.numa.data(), first.numa.data() + first.numa.size(), number);
      highest = std::max(highest, std::min(number, 63));
      for (std::size_t gpu : group) numa_of_[gpu] = sketch_.parts.size();
      sketch_.add(numa);
    }
    sketch_.numa_nodes = std::max(highest + 1, static_cast<int>(sketch_.parts.size()));
    // One mask for GPUs of several NUMA nodes says nothing about the cores of each.
    if (sketch_.parts.size() > 1 && clusters(gpus_, [&](std::size_t a, std::size_t b) {
                                      return table_.devices[a].cpus == table_.devices[b].cpus;
                                    }).size() == 1) {
      for (Part& numa : sketch_.parts) numa.cores = 0;
    }
  }

  std::size_t add_device(std::size_t index, PartKind kind) {
    Part part;
    part.kind = kind;
    std::string name = table_.devices[index].name;
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '.' ? static_cast<char>(std::tolower(c)) : '_';
    });
    part.id = kind == PartKind::gpu ? "gpu" + name.substr(3) : name;
    return sketch_.add(part);
  }

  /// Columns may lack NIC rows, so what two NICs share shows only where a GPU shares it with both.
  void follow_relations() {
    Indices all = gpus_;
    all.insert(all.end(), nics_.begin(), nics_.end());
    const auto by = [&](Relation most) {
      return [this, most](std::size_t a, std::size_t b) { return shares(a, b, most); };
    };
    std::vector<std::string> strays;
    for (const Indices& tree : clusters(all, by(Relation::switches_below))) {
      PciNode root;
      for (const Indices& leaf : clusters(tree, by(Relation::switch_below))) {
        PciNode below;
        for (std::size_t device : leaf) below.below.push_back({part_of_[device], 0, {}});
        root.below.push_back(std::move(below));
      }
      const auto gpu = std::find_if(tree.begin(), tree.end(), [&](std::size_t i) { return table_.devices[i].is_gpu; });
      hang(sketch_, root, gpu != tree.end() ? numa_of_[*gpu] : numa_of_nic(tree.front(), strays));
    }
    if (!strays.empty()) {
      sketch_.assumptions.push_back(
          fmt::format("{} stand{} apart from all GPUs and {} taken to be on the first NUMA node",
                      fmt::join(strays, ", "), strays.size() == 1 ? "s" : "", strays.size() == 1 ? "is" : "are"));
    }
    find_undecided();
  }

  std::size_t numa_of_nic(std::size_t nic, std::vector<std::string>& strays) const {
    const auto near = std::find_if(gpus_.begin(), gpus_.end(), [&](std::size_t gpu) {
      return table_.between(gpu, nic).relation == Relation::host;
    });
    if (near != gpus_.end()) return numa_of_[*near];
    strays.push_back(table_.devices[nic].name);
    return 0;
  }

  /// NVLink hides what two GPUs are to each other on PCIe; a NIC that only one of them shares a switch with tells.
  void find_undecided() {
    for (std::size_t a : gpus_) {
      const auto shared = [&](std::size_t other) { return other != a && shares(a, other, Relation::switches_below); };
      if (std::any_of(gpus_.begin(), gpus_.end(), shared) || std::any_of(nics_.begin(), nics_.end(), shared)) continue;
      const bool hidden = std::any_of(gpus_.begin(), gpus_.end(), [&](std::size_t b) {
        return b != a && table_.between(a, b).relation == Relation::nvlink && numa_of_[a] == numa_of_[b];
      });
      if (hidden) sketch_.undecided.push_back(part_of_[a]);
    }
  }

  void add_path(std::map<std::size_t, PciNode>& roots, std::map<std::pair<std::size_t, std::string>, Indices>& known,
                std::size_t numa, const std::string& path, std::size_t part) {
    PciNode* at = &roots[numa];
    std::string prefix;
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find('>', begin), path.size());
      if (end == path.size()) break;  // the device itself
      prefix += path.substr(begin, end - begin) + '>';
      Indices& place = known[{numa, prefix}];
      if (place.empty()) {
        place.push_back(at->below.size());
        at->below.emplace_back();
      }
      at = &at->below[place.front()];
      begin = end + 1;
    }
    at->below.push_back({part, 0, {}});
  }

  void follow_paths() {
    std::map<std::size_t, PciNode> roots;
    std::map<std::pair<std::size_t, std::string>, Indices> known;
    for (std::size_t gpu : gpus_) add_path(roots, known, numa_of_[gpu], table_.devices[gpu].path, part_of_[gpu]);
    for (const NicPlacement& nic : table_.nics) {
      Part part;
      part.kind = PartKind::nic;
      part.id = nic.name;
      part.device = nic_of_speed(nic.megabits, nic.name, sketch_.assumptions);
      if (part.device.empty()) continue;
      const auto near = std::find_if(gpus_.begin(), gpus_.end(),
                                     [&](std::size_t gpu) { return table_.devices[gpu].numa == nic.numa; });
      const std::size_t numa = near == gpus_.end() ? 0 : numa_of_[*near];
      add_path(roots, known, numa, nic.path, sketch_.add(part));
    }
    for (const auto& [numa, root] : roots) {
      for (const PciNode& port : root.below) hang(sketch_, port, numa);
    }
  }

  const MatrixTable& table_;
  Sketch sketch_;
  Indices gpus_, nics_;                         ///< columns
  std::vector<std::size_t> part_of_, numa_of_;  ///< by column, indices into the sketch's parts
};

}  // namespace

Sketch read_matrix(std::string_view text, const std::string& file) {
  return Builder(read_matrix_table(text, file), file).build();
}

}  // namespace shardsim
