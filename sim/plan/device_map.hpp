// device_map="auto": which device each module of a model lies on.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.hpp"
#include "sim/request/request.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// Memory that accelerate may fill, in bytes, GPU by GPU, then of the host.
struct MaxMemory {
  std::vector<std::int64_t> gpus;
  std::int64_t cpu = 0;
};

/// What the weights may take of each GPU so that all get about equally much: the model's share of each GPU and 1.25
/// times the larger of a decoder layer and the mean leaf module; the last GPU keeps all it has, a GPU alone 0.9 of it
/// (accelerate/utils/modeling.py, get_balanced_memory). `element`: bytes of a parameter. Adapters, which come after,
/// count nothing. Beside quantized weights everything but the head counts as if it were quantized too, and each memory
/// by nine tenths (transformers, quantizer_bnb_4bit.py and _8bit.py).
MaxMemory balanced_memory(const Architecture& architecture, std::int64_t element, MaxMemory free);

/// The device of each module, by ModuleId: an index into the GPUs, then cpu() and disk(); `several` where its children
/// lie on different ones.
struct DeviceMap {
  static constexpr std::int32_t several = -1;
  std::vector<std::int32_t> device;
  std::int32_t gpus = 0;
  std::int32_t cpu() const { return gpus; }
  std::int32_t disk() const { return gpus + 1; }
};

/// Fills GPU after GPU, then host memory, then the disk, with modules in their order; what does not fit is split into
/// its children, but never a decoder layer. The first GPU and the host keep room for the largest layer still to be
/// placed. Tied parameters are placed with their first module (infer_auto_device_map, ibid.). Adapters lie where the
/// module does that they are put on.
DeviceMap infer_device_map(const Architecture& architecture, std::int64_t element, const MaxMemory& max_memory);

/// Where the weights of a training run lie: balanced over what each GPU has beside its CUDA context. Throws InputError
/// where some do not fit on the GPUs, because weights that accelerate keeps elsewhere cannot be trained.
DeviceMap map_devices(const Request& request, const Topology& topology, const Architecture& architecture);

/// The model with what lies on other devices shrunk to nothing.
Architecture part_on_device(const Architecture& architecture, const DeviceMap& map, std::int32_t device);

}  // namespace shardsim
