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

/// What one unit from every rank to its next neighbour puts on each link.
std::vector<double> ring_loads(const Topology& topology, std::span<const Ring> rings) {
  std::vector<double> loads(topology.links.size(), 0);
  std::vector<LinkUse> route;
  for (const Ring& ring : rings) {
    for (std::size_t i = 0; i < ring.order.size() && ring.order.size() > 1; ++i) {
      route.clear();
      topology.graph->append_route(ring.order[i], ring.order[(i + 1) % ring.order.size()], route);
      for (const LinkUse& use : route) loads[use.link.index()] += use.share * ring.weight;
    }
  }
  return loads;
}

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

/// Equal numbers for links that each of the communicators loads equally.
std::vector<std::uint64_t> load_numbers(const Topology& topology, std::span<const std::vector<Ring>> communicators) {
  std::vector<std::uint64_t> result(topology.links.size(), 0);
  for (const std::vector<Ring>& rings : communicators) {
    const std::vector<double> loads = ring_loads(topology, rings);
    Numbering<std::pair<std::uint64_t, std::uint64_t>> numbers;
    for (std::size_t i = 0; i < loads.size(); ++i) result[i] = numbers({result[i], rounded(loads[i])});
  }
  return result;
}

/// One crossing of a link by a device: by which of its routes, with which share.
struct Crossing {
  std::uint32_t device = 0;
  std::uint32_t link = 0;
  std::uint64_t use = 0;
};

/// Refinement over one representative of each kind of node: nodes with equal roles and ring loads are equal, and what
/// joins them, the network, is the same for all.
class Refinement {
 public:
  /// `load[l]`: equal numbers mean that rings load the links equally.
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
      for (std::size_t i = 0; i < links_; ++i) signature.push_back(load[node * links_ + i]);
      for (std::size_t g = 0; g < gpus_; ++g) signature.push_back(speed_of(node, g));
      const std::size_t before = kinds.size();
      kind_of_node_.push_back(kinds(signature));
      if (kinds.size() > before) add_representative(node, signature);
    }
    refine();
    for (std::size_t i = topology.hosts.size() * links_; i < topology.links.size(); ++i) {
      const Link& link = topology.links[i];
      leaf_colors_.push_back(
          leaf_traits_({link.kind, link.bandwidth.bytes_per_second, link.efficiency, link.latency, load[i], 0, 0}));
    }
  }

  std::uint32_t device_color(std::size_t device) const {
    return device_colors_[kind_of_node_[device / gpus_] * gpus_ + device % gpus_];
  }
  const std::vector<std::uint32_t>& kinds_of_hosts() const { return kind_of_node_; }
  std::uint32_t link_color(std::size_t link) const {
    const std::size_t of_nodes = topology_.hosts.size() * links_;
    if (link >= of_nodes) return static_cast<std::uint32_t>(link_colors_.size()) + leaf_colors_[link - of_nodes];
    return link_colors_[kind_of_node_[link / links_] * links_ + link % links_];
  }

 private:
  using LinkTraits = std::tuple<LinkKind, double, double, Time, std::uint64_t, std::uint64_t, std::uint64_t>;

  std::uint64_t speed_of(std::size_t node, std::size_t gpu) const {
    return rounded(topology_.devices[node * gpus_ + gpu].speed);
  }

  void add_representative(std::size_t node, const std::vector<std::uint64_t>& signature) {
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
      link_colors_.push_back(
          link_traits_({link.kind, link.bandwidth.bytes_per_second, link.efficiency, link.latency, signature[gpus_ + i],
                        share(graph_.storage_read), share(graph_.storage_write)}));
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

/// Classes numbered by their first members.
template <class ClassId, class MemberId>
void gather(std::size_t members, auto color_of, std::vector<ClassId>& class_of,
            std::vector<std::vector<MemberId>>& classes) {
  Numbering<std::decay_t<decltype(color_of(std::size_t{0}))>> numbers;
  for (std::size_t i = 0; i < members; ++i) {
    const std::size_t id = numbers(color_of(i));
    if (id == classes.size()) classes.emplace_back();
    classes[id].push_back(MemberId(i));
    class_of.push_back(ClassId(id));
  }
}

std::vector<ClassUse> compact(const std::vector<double>& totals, const Fold& fold) {
  std::vector<ClassUse> uses;
  for (std::size_t i = 0; i < totals.size(); ++i) {
    if (totals[i] > 0) uses.push_back({LinkClassId(i), totals[i] / static_cast<double>(fold.links[i].size())});
  }
  return uses;
}

}  // namespace

Fold fold_devices(const Topology& topology, std::span<const std::uint64_t> role,
                  std::span<const std::vector<Ring>> communicators, bool uses_storage) {
  SHARDSIM_CHECK(role.size() == topology.devices.size(), "every device has a role");
  const Refinement refinement(topology, role, load_numbers(topology, communicators), uses_storage);
  Fold fold;
  gather(
      topology.devices.size(), [&](std::size_t i) { return refinement.device_color(i); }, fold.class_of_device,
      fold.devices);
  gather(
      topology.links.size(), [&](std::size_t i) { return refinement.link_color(i); }, fold.class_of_link, fold.links);
  std::map<std::uint32_t, std::vector<std::uint32_t>> company;  // by kind of host
  const auto host_color = [&](std::size_t i) -> const std::vector<std::uint32_t>& {
    std::vector<std::uint32_t>& colors = company[refinement.kinds_of_hosts()[i]];
    if (colors.empty()) {
      for (DeviceId device : topology.hosts[i].devices) colors.push_back(refinement.device_color(device.index()));
      std::sort(colors.begin(), colors.end());
    }
    return colors;
  };
  gather(topology.hosts.size(), host_color, fold.class_of_host, fold.hosts);
  fold.kind_of_host = refinement.kinds_of_hosts();
  return fold;
}

Fold unfolded(const Topology& topology) {
  Fold fold;
  const auto itself = [](std::size_t i) { return i; };
  gather(topology.devices.size(), itself, fold.class_of_device, fold.devices);
  gather(topology.links.size(), itself, fold.class_of_link, fold.links);
  gather(topology.hosts.size(), itself, fold.class_of_host, fold.hosts);
  for (std::size_t host = 0; host < topology.hosts.size(); ++host)
    fold.kind_of_host.push_back(static_cast<std::uint32_t>(host));
  return fold;
}

std::vector<ClassUse> class_uses(const Fold& fold, DeviceClassId device_class,
                                 const std::function<std::vector<LinkUse>(DeviceId)>& route) {
  std::vector<double> totals(fold.links.size(), 0);
  const std::size_t gpus = fold.class_of_device.size() / fold.kind_of_host.size();
  std::vector<double> alike;  // hosts by kind
  std::vector<std::size_t> first;
  for (std::size_t host = 0; host < fold.kind_of_host.size(); ++host) {
    const std::size_t kind = fold.kind_of_host[host];
    if (kind >= alike.size()) {
      alike.resize(kind + 1, 0);
      first.resize(kind + 1, host);
    }
    alike[kind] += 1;
  }
  for (DeviceId member : fold.devices[device_class.index()]) {
    const std::size_t host = member.index() / gpus, kind = fold.kind_of_host[host];
    if (host != first[kind]) continue;
    for (const LinkUse& use : route(member)) {
      totals[fold.class_of_link[use.link.index()].index()] += use.share * alike[kind];
    }
  }
  return compact(totals, fold);
}

std::vector<ClassUse> ring_uses(const Fold& fold, const Topology& topology, std::span<const Ring> rings) {
  const std::vector<double> loads = ring_loads(topology, rings);
  std::vector<double> totals(fold.links.size(), 0);
  for (std::size_t i = 0; i < loads.size(); ++i) totals[fold.class_of_link[i].index()] += loads[i];
  return compact(totals, fold);
}

}  // namespace shardsim
