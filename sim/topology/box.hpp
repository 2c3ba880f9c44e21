// A machine for GPUs that no shipped system holds.
#pragma once

#include "sim/topology/catalogs.hpp"
#include "sim/topology/machine.hpp"

namespace shardsim {

/// Every GPU on its own root port, its DRAM and processors assumed by the number of GPUs; what was assumed is appended.
Machine generic_box(const GpuSpec& gpu, std::size_t count, const LinkCatalog& links, const DeviceCatalog& catalog,
                    std::vector<std::string>& assumptions);

/// The first GPUs of the smallest of the device's own systems that holds so many, else a generic box; likewise.
Machine usual_machine(const GpuSpec& gpu, std::size_t count, const Catalogs& catalogs,
                      std::vector<std::string>& assumptions);

/// "2x EPYC-7742, 2048 GiB of DRAM at 204.8 GB/s a NUMA node".
std::string describe_host(const Machine& machine);

}  // namespace shardsim
