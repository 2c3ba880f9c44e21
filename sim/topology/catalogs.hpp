// The data files under topologies/: devices, kinds of wire, and whole systems.
#pragma once

#include <filesystem>

#include "sim/topology/device.hpp"
#include "sim/topology/link_type.hpp"

namespace shardsim {

struct Catalogs {
  std::filesystem::path folder;  ///< <system>.dot
  DeviceCatalog devices;
  LinkCatalog links;

  explicit Catalogs(const std::filesystem::path& topologies)
      : folder(topologies), devices(topologies / "devices"), links(topologies / "links.yaml") {}
};

}  // namespace shardsim
