#include "sim/report/group_name.hpp"

#include <fmt/format.h>

namespace shardsim {

std::string group_name(const Topology& topology, const Program& program) {
  const std::vector<std::uint32_t>& devices = program.devices;
  const std::string first = topology.name_of(DeviceId(devices.front()));
  if (devices.size() == 1) return first;
  const bool consecutive = devices.back() - devices.front() + 1 == devices.size();
  return consecutive ? fmt::format("{}-{}", first, topology.name_of(DeviceId(devices.back())))
                     : fmt::format("{} and {} more", first, devices.size() - 1);
}

}  // namespace shardsim
