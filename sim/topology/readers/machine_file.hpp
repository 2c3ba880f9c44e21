// `--topology @FILE`: a machine's own description, whatever wrote it.
#pragma once

#include <optional>

#include "sim/topology/readers/sketch.hpp"

namespace shardsim {

struct MachineFile {
  std::optional<Machine> machine;  ///< one node; none: a hostfile, which only counts
  std::size_t nodes = 1;
  std::size_t gpus = 0;  ///< a node, of a hostfile
};

/// Told apart by what they hold: the text of `nvidia-smi topo -m`, NCCL's topology XML, hwloc's XML, a DeepSpeed
/// hostfile, a DOT file. Throws InputError with file, line and column.
MachineFile read_machine_file(const std::filesystem::path& file, const std::string& gpu_option,
                              const Catalogs& catalogs, std::vector<std::string>& assumptions);

}  // namespace shardsim
