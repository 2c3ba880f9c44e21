// What machines cost, from dated files (topologies/prices.yaml).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "sim/topology/topology.hpp"

namespace shardsim {

struct Price {
  std::optional<double> rent_per_hour;  ///< USD, one node
  std::string rent_source;
  std::optional<double> buy;  ///< USD, one node
  std::string buy_source;     ///< says so where it covers the GPUs alone
};

class PriceList {
 public:
  /// Later files overrule earlier ones. Throws InputError with file and key for what is malformed or unknown.
  void read(const std::filesystem::path& file);

  /// Of one node of a system. Rent: the list's, else the topology file's, else the marketplace's price of its GPUs.
  /// Buying: the list's, else the GPUs alone at the devices' prices.
  Price of(const std::string& system, const Topology& node) const;

 private:
  std::map<std::string, Price> systems_;    ///< by normalized name
  std::map<std::string, Price> gpu_hours_;  ///< by normalized name of the device
};

}  // namespace shardsim
