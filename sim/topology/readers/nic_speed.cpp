#include "sim/topology/readers/nic_speed.hpp"

#include <fmt/format.h>

namespace shardsim {

std::string nic_of_speed(double megabits, const std::string& name, std::vector<std::string>& assumptions) {
  struct Kind {
    double megabits;
    const char* infiniband;
    const char* ethernet;
  };
  constexpr Kind kinds[] = {{800e3, "CX8-800G", "CX8-800G"}, {400e3, "NDR400", "NDR400"}, {200e3, "HDR200", "EFA-200G"},
                            {100e3, "EDR100", "100GbE"},     {25e3, "25GbE", "25GbE"},    {10e3, "10GbE", "10GbE"}};
  for (const Kind& kind : kinds) {
    if (megabits < kind.megabits) continue;
    const bool infiniband = name.starts_with("mlx") || name.starts_with("ib");
    const std::string device = infiniband ? kind.infiniband : kind.ethernet;
    if (megabits > kind.megabits) {
      assumptions.push_back(fmt::format("the NIC {} of {:.4g} Gb/s is taken as {}", name, megabits / 1e3, device));
    }
    return device;
  }
  assumptions.push_back(
      fmt::format("{} is left out: a NIC of {:.4g} Gb/s carries no training traffic", name, megabits / 1e3));
  return "";
}

}  // namespace shardsim
