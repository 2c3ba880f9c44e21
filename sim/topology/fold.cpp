#include "sim/topology/fold.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "model/core/check.hpp"
#include "sim/topology/routes.hpp"

namespace shardsim {

namespace {

/// Loads that differ by rounding alone are equal.
std::uint64_t rounded(double load) { return static_cast<std::uint64_t>(std::llround(load * 1e6)); }

/// Numbers keys in the order in which they first appear.
template <class Key>
class Numbering {
 public:
  std::uint32_t operator()(const Key& key) {
    return numbers_.try_emplace(key, static_cast<std::uint32_t>(numbers_.size())).first->second;
  }
  std::size_t size() const { return numbers_.size(); }

 private:
  std::map<Key, std::uint32_t> numbers_;
};

/// Equal numbers for links of a node that each of the communicators loads equally.
std::vector<std::uint64_t> load_numbers(std::size_t links, std::span<const RingLoads> communicators) {
  std::vector<std::uint64_t> result(links, 0);
  for (const RingLoads& loads : communicators) {
    Numbering<std::pair<std::uint64_t, std::uint64_t>> numbers;
    for (std::size_t i = 0; i < loads.node.size(); ++i) result[i] = numbers({result[i], rounded(loads.node[i])});
  }
  return result;
}

/// One crossing of a link by a device: by which of its routes, with which share.
struct Crossing {
  std::uint32_t device = 0;
  std::uint32_t link = 0;
  std::uint64_t use = 0;
};

/// Refinement over one representative of each kind of node: nodes with equal roles and speeds are equal, and what joins
/// them, the network and the rings, is the same for all.
class Refinement {
 public:
  /// `load`, by link of a node: equal numbers mean that rings load the links equally.
  Refinement(const Topology& topology, std::span<const std::uint64_t> role, std::span<const std::uint64_t> load,
             bool uses_storage)
      : topology_(topology),
        graph_(*topology.graph),
        gpus_(graph_.gpus.size()),
        links_(graph_.links),
        uses_storage_(uses_storage) {
    Numbering<std::vector<std::uint64_t>> kinds;
    for (std::size_t node = 0; node < topology.hosts.size(); ++node) {
      std::vector<std::uint64_t> signature(role.begin() + node * gpus_, role.begin() + (node + 1) * gpus_);
      for (std::size_t g = 0; g < gpus_; ++g) signature.push_back(speed_of(node, g));
      const std::size_t before = kinds.size();
      kind_of_node_.push_back(kinds(signature));
      if (kinds.size() > before) add_representative(node, signature, load);
    }
    refine();
    for (std::size_t i = topology.hosts.size() * links_; i < topology.links.size(); ++i) {
      const Link& link = topology.links[i];
      leaf_colors_.push_back(
          leaf_traits_({link.kind, link.bandwidth.bytes_per_second, link.efficiency, link.latency, 0, 0, 0}));
    }
  }

  const std::vector<std::uint32_t>& kinds_of_nodes() const { return kind_of_node_; }
  std::span<const std::uint32_t> device_colors(std::size_t kind) const {
    return std::span(device_colors_).subspan(kind * gpus_, gpus_);
  }
  std::span<const std::uint32_t> link_colors(std::size_t kind) const {
    return std::span(link_colors_).subspan(kind * links_, links_);
  }
  const std::vector<std::uint32_t>& leaf_colors() const { return leaf_colors_; }

 private:
  using LinkTraits = std::tuple<LinkKind, double, double, Time, std::uint64_t, std::uint64_t, std::uint64_t>;

  std::uint64_t speed_of(std::size_t node, std::size_t gpu) const {
    return rounded(topology_.devices[node * gpus_ + gpu].speed);
  }

  void add_representative(std::size_t node, const std::vector<std::uint64_t>& signature,
                          std::span<const std::uint64_t> load) {
    const auto first_device = static_cast<std::uint32_t>(device_colors_.size());
    const auto first_link = static_cast<std::uint32_t>(link_colors_.size());
    for (std::size_t g = 0; g < gpus_; ++g) {
      device_colors_.push_back(
          device_traits_({signature[g], speed_of(node, g), topology_.devices[node * gpus_ + g].spec.name}));
      const Topology::Graph::Gpu& gpu = graph_.gpus[g];
      std::uint64_t kind = 0;
      std::vector<const std::vector<LinkUse>*> routes = {&gpu.to_host, &gpu.from_host, &gpu.fabric};
      if (topology_.hosts.size() > 1) routes.insert(routes.end(), {&gpu.to_network, &gpu.from_network});
      for (const std::vector<LinkUse>* route : routes) {
        for (const LinkUse& use : *route) {
          crossings_.push_back({first_device + static_cast<std::uint32_t>(g),
                                first_link + static_cast<std::uint32_t>(use.link.index()),
                                rounded(use.share) * 8 + kind});
        }
        ++kind;
      }
    }
    for (std::size_t i = 0; i < links_; ++i) {
      const Link& link = topology_.links[node * links_ + i];
      const auto share = [&](const std::vector<LinkUse>& route) {
        for (const LinkUse& use : route) {
          if (uses_storage_ && use.link.index() == i) return rounded(use.share);
        }
        return std::uint64_t{0};
      };
      link_colors_.push_back(link_traits_({link.kind, link.bandwidth.bytes_per_second, link.efficiency, link.latency,
                                           load[i], share(graph_.storage_read), share(graph_.storage_write)}));
    }
  }

  /// Each side takes the colours of the other through their crossings, until no class splits any more.
  void refine() {
    for (std::size_t classes = 0, before = 1; classes != before;) {
      before = classes;
      recolor(link_colors_, [this](const Crossing& c) { return std::tuple(c.link, c.use, device_colors_[c.device]); });
      recolor(device_colors_, [this](const Crossing& c) { return std::tuple(c.device, c.use, link_colors_[c.link]); });
      recolor_by_company();
      classes = count(device_colors_) + count(link_colors_);
    }
  }

  /// Devices of one host share its memory: equal ones have equal company.
  void recolor_by_company() {
    Numbering<std::pair<std::uint32_t, std::vector<std::uint32_t>>> refined;
    for (auto node = device_colors_.begin(); node != device_colors_.end(); node += static_cast<std::ptrdiff_t>(gpus_)) {
      std::vector<std::uint32_t> company(node, node + static_cast<std::ptrdiff_t>(gpus_));
      std::sort(company.begin(), company.end());
      for (auto device = node; device != node + static_cast<std::ptrdiff_t>(gpus_); ++device) {
        *device = refined({*device, company});
      }
    }
  }

  static std::size_t count(std::vector<std::uint32_t> colors) {
    std::sort(colors.begin(), colors.end());
    return static_cast<std::size_t>(std::unique(colors.begin(), colors.end()) - colors.begin());
  }

  void recolor(std::vector<std::uint32_t>& colors, auto seen) const {
    using Seen = std::vector<std::pair<std::uint64_t, std::uint32_t>>;
    std::vector<Seen> neighbours(colors.size());
    for (const Crossing& crossing : crossings_) {
      const auto [index, use, color] = seen(crossing);
      neighbours[index].emplace_back(use, color);
    }
    Numbering<std::pair<std::uint32_t, Seen>> refined;
    for (std::size_t i = 0; i < colors.size(); ++i) {
      std::sort(neighbours[i].begin(), neighbours[i].end());
      colors[i] = refined({colors[i], std::move(neighbours[i])});
    }
  }

  const Topology& topology_;
  const Topology::Graph& graph_;
  std::size_t gpus_, links_;
  bool uses_storage_;
  std::vector<std::uint32_t> kind_of_node_;
  std::vector<Crossing> crossings_;
  Numbering<std::tuple<std::uint64_t, std::uint64_t, std::string>> device_traits_;
  Numbering<LinkTraits> link_traits_, leaf_traits_;
  std::vector<std::uint32_t> leaf_colors_;  ///< of the links between leaf switches and spine
  std::vector<std::uint32_t> device_colors_, link_colors_;
};

/// Numbers for the colours of links, in the order of the classes' first members.
class LinkClasses {
 public:
  explicit LinkClasses(Fold& fold) : fold_(fold) {}
  LinkClassId operator()(LinkId link, std::uint64_t color, std::size_t count) {
    const std::size_t index = numbers_(color);
    if (index == fold_.links.size()) fold_.links.push_back({link, 0});
    fold_.links[index].count += count;
    return LinkClassId(index);
  }

 private:
  Fold& fold_;
  Numbering<std::uint64_t> numbers_;
};

void count_kinds(Fold& fold, std::vector<std::size_t>& first) {
  for (std::size_t host = 0; host < fold.kind_of_host.size(); ++host) {
    if (fold.kind_of_host[host] == fold.hosts_of_kind.size()) {
      fold.hosts_of_kind.push_back(0);
      first.push_back(host);
    }
    ++fold.hosts_of_kind[fold.kind_of_host[host]];
  }
}

std::vector<ClassUse> compact(const std::vector<double>& totals, const Fold& fold) {
  std::vector<ClassUse> uses;
  for (std::size_t i = 0; i < totals.size(); ++i) {
    if (totals[i] > 0) uses.push_back({LinkClassId(i), totals[i] / static_cast<double>(fold.links[i].count)});
  }
  return uses;
}

/// The classes of one kind of host: of its devices, and of itself.
struct KindClasses {
  std::vector<DeviceClassId> devices;
  HostClassId host;
};

/// Kinds are numbered by their first hosts, so that classes are numbered by their first members.
Fold classes_of(const Refinement& refinement) {
  Fold fold;
  fold.kind_of_host = refinement.kinds_of_nodes();
  std::vector<std::size_t> first;
  count_kinds(fold, first);
  std::vector<KindClasses> kinds;
  Numbering<std::uint32_t> device_classes;
  Numbering<std::vector<std::uint32_t>> host_classes;
  LinkClasses link_classes(fold);
  std::size_t links = 0;
  for (std::size_t kind = 0; kind < first.size(); ++kind) {
    const std::span<const std::uint32_t> colors = refinement.device_colors(kind);
    KindClasses& classes = kinds.emplace_back();
    for (const std::uint32_t color : colors) classes.devices.emplace_back(device_classes(color));
    std::vector<std::uint32_t> company(colors.begin(), colors.end());
    std::sort(company.begin(), company.end());
    classes.host = HostClassId(host_classes(company));
    std::vector<LinkClassId>& of_links = fold.links_of_kind.emplace_back();
    links = refinement.link_colors(kind).size();
    for (std::size_t i = 0; i < links; ++i) {
      const LinkId id(first[kind] * links + i);
      of_links.push_back(link_classes(id, refinement.link_colors(kind)[i], fold.hosts_of_kind[kind]));
    }
  }
  fold.devices.resize(device_classes.size());
  fold.hosts.resize(host_classes.size());
  for (std::size_t host = 0; host < fold.kind_of_host.size(); ++host) {
    const KindClasses& classes = kinds[fold.kind_of_host[host]];
    for (const DeviceClassId id : classes.devices) {
      fold.devices[id.index()].emplace_back(fold.class_of_device.size());
      fold.class_of_device.push_back(id);
    }
    fold.hosts[classes.host.index()].emplace_back(host);
    fold.class_of_host.push_back(classes.host);
  }
  // No colour of a node's link, which are 32 bits, is a leaf's.
  constexpr std::uint64_t leaf = std::uint64_t{1} << 32;
  for (const std::uint32_t color : refinement.leaf_colors()) {
    const LinkId id(fold.kind_of_host.size() * links + fold.leaf_links.size());
    fold.leaf_links.push_back(link_classes(id, leaf + color, 1));
  }
  return fold;
}

}  // namespace

LinkClassId Fold::class_of(LinkId link) const {
  const std::size_t of_node = links_of_kind.front().size(), node = link.index() / of_node;
  if (node >= kind_of_host.size()) return leaf_links[link.index() - kind_of_host.size() * of_node];
  return links_of_kind[kind_of_host[node]][link.index() % of_node];
}

std::vector<LinkId> Fold::members(LinkClassId link_class) const {
  std::vector<LinkId> found;
  const std::size_t all = kind_of_host.size() * links_of_kind.front().size() + leaf_links.size();
  for (std::size_t link = links[link_class.index()].first.index(); link < all; ++link) {
    if (class_of(LinkId(link)) == link_class) found.emplace_back(link);
  }
  return found;
}

Fold fold_devices(const Topology& topology, std::span<const std::uint64_t> role, std::span<const RingLoads> loads,
                  bool uses_storage) {
  SHARDSIM_CHECK(role.size() == topology.devices.size(), "every device has a role");
  return classes_of(Refinement(topology, role, load_numbers(topology.graph->links, loads), uses_storage));
}

Fold unfolded(const Topology& topology) {
  Fold fold;
  for (std::size_t device = 0; device < topology.devices.size(); ++device) {
    fold.class_of_device.emplace_back(device);
    fold.devices.push_back({DeviceId(device)});
  }
  for (std::size_t link = 0; link < topology.links.size(); ++link) fold.links.push_back({LinkId(link), 1});
  const std::size_t links = topology.graph->links;
  for (std::size_t host = 0; host < topology.hosts.size(); ++host) {
    fold.class_of_host.emplace_back(host);
    fold.hosts.push_back({HostId(host)});
    fold.kind_of_host.push_back(static_cast<std::uint32_t>(host));
    fold.hosts_of_kind.push_back(1);
    std::vector<LinkClassId>& own = fold.links_of_kind.emplace_back();
    for (std::size_t i = 0; i < links; ++i) own.emplace_back(host * links + i);
  }
  for (std::size_t link = topology.hosts.size() * links; link < topology.links.size(); ++link) {
    fold.leaf_links.emplace_back(link);
  }
  return fold;
}

std::vector<ClassUse> class_uses(const Fold& fold, DeviceClassId device_class,
                                 const std::function<std::vector<LinkUse>(DeviceId)>& route) {
  std::vector<double> totals(fold.links.size(), 0);
  std::vector<bool> seen(fold.hosts_of_kind.size(), false);
  const std::size_t gpus = fold.class_of_device.size() / fold.kind_of_host.size();
  for (std::size_t host = 0; host < fold.kind_of_host.size(); ++host) {
    const std::size_t kind = fold.kind_of_host[host];
    if (seen[kind]) continue;
    seen[kind] = true;
    for (std::size_t device = host * gpus; device < (host + 1) * gpus; ++device) {
      if (fold.class_of_device[device] != device_class) continue;
      for (const LinkUse& use : route(DeviceId(device))) {
        totals[fold.class_of(use.link).index()] += use.share * static_cast<double>(fold.hosts_of_kind[kind]);
      }
    }
  }
  return compact(totals, fold);
}

std::vector<ClassUse> ring_uses(const Fold& fold, const RingLoads& loads, const std::vector<bool>& takes_part) {
  std::vector<double> totals(fold.links.size(), 0);
  for (std::size_t kind = 0; kind < takes_part.size(); ++kind) {
    if (!takes_part[kind]) continue;
    for (std::size_t i = 0; i < loads.node.size(); ++i) {
      totals[fold.links_of_kind[kind][i].index()] += loads.node[i] * static_cast<double>(fold.hosts_of_kind[kind]);
    }
  }
  for (const LinkClassId link : fold.leaf_links) totals[link.index()] += loads.leaf;
  return compact(totals, fold);
}

std::vector<ClassUse> ring_uses(const Fold& fold, const RingLoads& loads) {
  return ring_uses(fold, loads, std::vector<bool>(fold.hosts_of_kind.size(), true));
}

}  // namespace shardsim
