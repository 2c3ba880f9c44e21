// Kinds of wire, read from topologies/links.yaml: "pcie4x16" is 16 lanes of pcie4, "nvlink3x12" 12 links of nvlink3.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "model/core/units.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// One wire, all its lanes together.
struct LinkType {
  std::string name;  ///< "pcie4x16"
  LinkKind kind = LinkKind::pcie;
  Bandwidth bandwidth;    ///< per direction
  double efficiency = 1;  ///< fraction of it that payload reaches
  Time latency;
  int lanes = 1;
};

class LinkCatalog {
 public:
  explicit LinkCatalog(const std::filesystem::path& file);
  /// "<type>x<lanes>" or "<type>". Throws InputError with the nearest types.
  LinkType find(std::string_view name, const std::string& where) const;

 private:
  std::map<std::string, LinkType> lanes_;  ///< one lane of each type
};

}  // namespace shardsim
