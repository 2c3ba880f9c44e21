// Machines as Graphviz files: Boost.Graph reads them, Graphviz draws them.
//
// One file is one node (one host); "2xNAME" joins two of it by their NICs. The graph is undirected and every edge is a
// full-duplex wire. Numbers carry units.
//
//   graph "my-box" {
//     graph [host_power="500 W", rack_height="4 U", price_per_hour="3.20 USD", source="where the facts are from"];
//     numa0 [kind=numa, cpu="EPYC-7742", dram="1 TiB", memory_bandwidth="204.8 GB/s"];  // cores=: if not all of the
//     CPU's sw0   [kind=pcie_switch]; gpu0  [kind=gpu, device="A100-SXM4-80GB"];    // a file of topologies/devices
//     nic0  [kind=nic, device="HDR200", count=1];   // count: that many as one
//     ssd0  [kind=drive, device="NVMe-Gen4", count=4];
//     nvsw  [kind=nvswitch];                        // all NVSwitches of a board as one
//     gpu0 -- sw0 [link=pcie4x16];                  // a type of topologies/links.yaml and its lanes
//     nic0 -- sw0 [link=pcie4x16];
//     sw0 -- numa0 [link=pcie4x16];                 // this edge is the root port
//     ssd0 -- sw0 [link=pcie4x4];                   // drives are bound by their own rates
//     gpu0 -- nvsw [link=nvlink3x12];
//     numa0 -- numa1 [link=xgmi2x4];                // between sockets
//   }
//
// What was measured on the machine itself overrides the catalogue's figures (shardsim calibrate --topology writes
// them):
//     graph [all_reduce_efficiency=1.3, all_gather_efficiency=1, reduce_scatter_efficiency=1];  // of the ring's links
//     graph [collective_launch="20 us", collective_fill="60 us"];                  // collective_figures.hpp
//     gpu0 -- sw0 [link=pcie4x16, efficiency=0.83, latency="1.4 us"];              // of this wire; a nic's efficiency
//
// GPUs are numbered in the natural order of their names (gpu2 before gpu10). A NUMA node's DRAM bandwidth is shared by
// all that read or write it. Subgraphs are not read. Attributes that Graphviz itself draws with (label, shape, color,
// ...) may stand anywhere.
#pragma once

#include <filesystem>

#include "sim/topology/machine.hpp"

namespace shardsim {

/// Throws InputError with file, line and node or edge for whatever is malformed, unknown, missing or without a meaning.
Machine read_dot(const std::filesystem::path& file, const LinkCatalog& links);

}  // namespace shardsim
