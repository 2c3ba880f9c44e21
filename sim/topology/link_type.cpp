#include "sim/topology/link_type.hpp"

#include <charconv>
#include <vector>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/spec_file.hpp"

namespace shardsim {

namespace {

LinkKind link_kind(const SpecFile& file, const std::string& key) {
  const std::string& text = file.text(key);
  for (LinkKind kind : {LinkKind::nvlink, LinkKind::pcie, LinkKind::interconnect}) {
    if (name_of(kind) == text) return kind;
  }
  throw InputError("unknown kind of link '" + text + "'", file.where(key), "nvlink, pcie or interconnect");
}

}  // namespace

LinkCatalog::LinkCatalog(const std::filesystem::path& path) {
  const SpecFile file(path);
  for (const std::string& type : file.groups()) {
    LinkType lane;
    lane.kind = link_kind(file, type + ".kind");
    lane.bandwidth = file.bandwidth(type + ".bandwidth");
    lane.efficiency = file.number(type + ".efficiency", 0.01, 1);
    lane.latency = file.time(type + ".latency");
    lanes_[type] = lane;
  }
  file.refuse_unread();
}

LinkType LinkCatalog::find(std::string_view name, const std::string& where) const {
  constexpr int most_lanes = 64;
  int lanes = 1;
  std::string_view type = name;
  const auto x = name.rfind('x');
  if (x != std::string_view::npos && x + 1 < name.size()) {
    const char* last = name.data() + name.size();
    const auto [end, error] = std::from_chars(name.data() + x + 1, last, lanes);
    if (end == last) {
      if (error != std::errc{} || lanes < 1 || lanes > most_lanes) {
        throw InputError("link '" + std::string(name) + "' has no usable number of lanes", where, "from x1 to x64");
      }
      type = name.substr(0, x);
    } else {
      lanes = 1;
    }
  }
  const auto found = lanes_.find(std::string(type));
  if (found == lanes_.end()) {
    std::vector<std::string> known;
    for (const auto& [key, unused] : lanes_) known.push_back(key);
    throw_unknown_name("link type", type, where, known);
  }
  LinkType result = found->second;
  result.bandwidth = result.bandwidth * lanes;
  result.lanes = lanes;
  result.name = name;
  return result;
}

}  // namespace shardsim
