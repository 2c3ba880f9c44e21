// A machine as its own description shows it: parts and cables, with gaps where the description is silent.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/topology/catalogs.hpp"
#include "sim/topology/machine.hpp"

namespace shardsim {

/// What a reader hands to complete(): nothing in it is assumed.
struct Sketch {
  struct Cable {
    std::size_t a = 0, b = 0;     ///< indices into parts
    double bytes_per_second = 0;  ///< of one direction, as the bus reports it; 0: not said
  };
  std::string name;
  std::string where;  ///< the file
  /// Of a GPU, NIC or drive the device, of a NUMA node CPU, cores, memory and bandwidth may be missing.
  std::vector<Part> parts;
  std::vector<Cable> cables;  ///< PCIe
  /// NVLinks (or xGMI links) between two GPUs, lower index first; twice the same: the other end is not named.
  std::map<std::pair<std::size_t, std::size_t>, int> nvlinks;
  std::map<std::size_t, int> to_nvswitch;  ///< NVLinks of a GPU that end in a switch
  bool shows_nvlinks = false;              ///< false: nothing is known of them
  /// GPUs that hang straight from a NUMA node only because the description hides their PCIe switch behind NVLink.
  std::vector<std::size_t> undecided;
  int numa_nodes = 0;                    ///< of the whole machine, where more than those shown; 0: as many as shown
  std::vector<std::string> assumptions;  ///< of the reader, one sentence each

  std::size_t add(Part part) {
    part.where = part.where.empty() ? where : part.where;
    parts.push_back(std::move(part));
    return parts.size() - 1;
  }
};

/// A PCI bus as found: devices below bridges.
struct PciNode {
  std::optional<std::size_t> part;  ///< a device's; none: a bridge
  double bytes_per_second = 0;      ///< of its link upwards; 0: not said
  std::vector<PciNode> below;
};

/// Draws the bus below `port` (a NUMA node or switch): a bridge over several devices becomes a switch, a bridge over
/// one a part of that device's cable, which is as fast as its slowest piece.
void hang(Sketch& sketch, const PciNode& node, std::size_t port);

/// Fills the gaps from the devices' own files and from the machine that such GPUs usually come in; each gap filled is a
/// sentence in `assumptions`. Throws InputError for GPUs without a name and links that the GPU does not have.
Machine complete(const Sketch& sketch, const std::string& gpu_option, const Catalogs& catalogs,
                 std::vector<std::string>& assumptions);

}  // namespace shardsim
