// A device file: whatever kind of part it says that it is.
#include "sim/topology/device.hpp"
#include "fuzz/reader.hpp"
#include "model/core/error.hpp"

namespace shardsim::fuzz {

namespace {

void read(const Input& input) {
  std::vector<std::string> assumptions;
  DeviceCatalog(data().topologies / "devices").gpu(input.file.string(), "fuzz", assumptions);
  const DeviceCatalog own(input.file.parent_path());
  const auto attempt = [](auto part) {
    try {
      part();
    } catch (const InputError&) {
      return;
    }
  };
  attempt([&] { own.cpu("part", "fuzz"); });
  attempt([&] { own.nic("part", "fuzz"); });
  attempt([&] { own.drive("part", "fuzz"); });
  own.gpu_names();
  own.gpu_of_pci_id("10de:20b0");
}

}  // namespace

const Added device({.name = "device", .file_name = "part.yaml", .seeds = {"topologies/devices/*.yaml"}, .read = read});

}  // namespace shardsim::fuzz
