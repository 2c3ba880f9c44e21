#include "sim/calibration/machine.hpp"

#include "model/core/error.hpp"
#include "sim/calibration/collectives.hpp"
#include "sim/calibration/copies.hpp"
#include "sim/topology/named_machine.hpp"
#include "sim/topology/write_dot.hpp"

namespace shardsim {

std::string calibrated_machine(const std::vector<Measurements>& measured, const std::string& topology,
                               const std::string& gpu, const DataFolders& data) {
  const Catalogs catalogs(data.topologies);
  NamedMachine named = load_machine(topology, gpu, catalogs);
  if (named.nodes > 1) {
    throw InputError(topology + " is several nodes", "--topology",
                     "one node; the measurements say how many there were");
  }
  Machine& machine = named.machine;
  std::vector<std::string> remarks = {machine.name + ", with what was measured on it (shardsim calibrate)"};
  for (const std::size_t part : machine.of_kind(PartKind::gpu)) {
    if (named.gpu) machine.parts[part].device = named.gpu->name;
  }
  for (const std::string& assumption : named.assumptions) remarks.push_back("assumed: " + assumption);
  std::vector<TimedCopy> copies;
  std::vector<TimedCollective> collectives;
  std::string files;
  for (const Measurements& m : measured) {
    copies.insert(copies.end(), m.copies.begin(), m.copies.end());
    collectives.insert(collectives.end(), m.collectives.begin(), m.collectives.end());
    remarks.push_back("measured: " + m.source);
    files += (files.empty() ? "" : ", ") + m.file;
  }
  if (copies.empty() && collectives.empty()) {
    throw InputError("nothing of a machine's links was measured", files, "copies, collectives, or nccl-tests' output");
  }
  calibrate_copies(machine, copies, files, remarks);
  calibrate_collectives(machine, named.gpu, collectives, catalogs, files, remarks);
  for (std::string& remark : remarks) {
    for (char& c : remark) c = static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return write_dot(machine, remarks);
}

}  // namespace shardsim
