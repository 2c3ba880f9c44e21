// A user's own measurements -> a device file.
#include "sim/calibration/calibrate.hpp"

#include <optional>

#include "model/core/error.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {
const std::string usage = "shardsim calibrate FILE [-o DEVICE.yaml]";
}  // namespace

ExitStatus run_calibrate(const Command& command) {
  std::optional<std::string> file;
  std::string output;
  for (std::size_t i = 0; i < command.arguments.size(); ++i) {
    const std::string& word = command.arguments[i];
    if (word == "-o" || word == "--output") {
      if (++i == command.arguments.size()) throw InputError(word + " has no value", "calibrate", usage);
      output = command.arguments[i];
    } else if (word.starts_with('-') || file) {
      throw InputError("unexpected argument '" + word + "'", "calibrate", usage);
    } else {
      file = word;
    }
  }
  if (!file) throw InputError("the file of measurements is missing", "calibrate", usage);
  write_result(calibrated_device(read_measurements(*file), find_data(command.program)), output);
  return ExitStatus::fits;
}

std::string calibrate_help() {
  return "Usage: " + usage + R"(

Turns measurements of your own machine into a device file that overrides ours:
  shardsim calibrate measured.json -o my-a100.yaml
  shardsim --topology 4xA100 --gpu my-a100.yaml --strategy zero3

FILE is JSON; all but "device" may be left out:
  {"device": "A100-SXM4-80GB",                                    the nearest of shardsim list devices
   "source": "who measured it, and how",
   "memory_bytes": 84974239744,                                   torch.cuda.mem_get_info()[1]
   "launch_seconds": 8e-6,                                        host time of one small operation
   "matmul": [{"m": 8192, "n": 8192, "k": 8192, "seconds": 4.6e-3}],   16-bit products
   "elementwise": [{"bytes": 1e9, "seconds": 6e-4}],              all that a kernel reads and writes
   "steps": [{"seconds": 4.5, "options": {"topology": "1xA100", "strategy": "single", "seq-len": 2048}}]}
tests/oracle/measure_device.py writes such a file on a CUDA machine with PyTorch. Links are not calibrated: their
efficiencies stand in topologies/links.yaml, and a DOT file of your own may name others.

Exit status: 0 the file was written, 2 the file or an option is wrong, 3 a bug.
)";
}

}  // namespace shardsim
