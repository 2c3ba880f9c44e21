// What joins the nodes (--fabric), and GPUs that run slower than they should (--slow-gpu).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "model/core/units.hpp"

namespace shardsim {

struct Fabric {
  enum class Kind : std::uint8_t {
    whole,     ///< one non-blocking switch
    rail,      ///< a switch for each NIC of a node; other NICs' nodes are reached over NVLink first (NCCL's PXN)
    fat_tree,  ///< leaf switches, whose links to the spine carry less than their nodes' NICs together
    ethernet,  ///< one Ethernet port a node in place of its NICs, staged through host memory
  };
  Kind kind = Kind::whole;
  double oversubscription = 1;  ///< fat_tree: a leaf's bandwidth downwards over that upwards
  std::size_t nodes_a_leaf = 1;
  std::optional<Bandwidth> port;  ///< ethernet
};

/// "" (whole), "rail", "fat-tree:2" (every node has a leaf of its own), "fat-tree:2:4" (four nodes a leaf),
/// "ethernet:25Gb/s" or "ethernet:25G". Throws InputError.
Fabric parse_fabric(std::string_view text);

struct SlowGpu {
  std::size_t device = 0;
  double speed = 1;
};
/// "3:0.8,5:0.5": GPU 3 at 0.8 of its speed; of `devices` GPUs. Throws InputError.
std::vector<SlowGpu> parse_slow_gpus(std::string_view text, std::size_t devices);

}  // namespace shardsim
