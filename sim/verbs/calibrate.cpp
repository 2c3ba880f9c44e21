// A user's own measurements -> a device file.
#include "sim/calibration/calibrate.hpp"

#include <array>

#include "model/core/error.hpp"
#include "sim/request/option_text.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

constexpr std::array own_options = {
    OptionSpec{"Options", "output", 'o', "DEVICE.yaml", "where the device goes [stdout]"},
};

}  // namespace

ExitStatus run_calibrate(const Command& command) {
  const CommandLine line = read_command_line(command.arguments, own_options, 1);
  if (line.operands.empty()) {
    throw InputError("the file of measurements is missing", "calibrate", "shardsim calibrate FILE [-o DEVICE.yaml]");
  }
  const auto output = line.options.find("output");
  write_result(calibrated_device(read_measurements(line.operands.front()), find_data(command.program)),
               output == line.options.end() ? "" : output->second.value);
  return ExitStatus::fits;
}

std::vector<OptionSpec> calibrate_options() { return {own_options.begin(), own_options.end()}; }

std::string calibrate_help() {
  return R"(Usage: shardsim calibrate FILE [-o DEVICE.yaml]

Turns measurements of your own machine into a device file that overrides ours:
  shardsim calibrate measured.json -o my-a100.yaml
  shardsim --topology 4xA100 --gpu my-a100.yaml --strategy zero3

FILE is JSON; all but "device" may be left out:
  {"device": "A100-SXM4-80GB",                             the nearest of shardsim list devices
   "source": "who measured it, and how",
   "memory_bytes": 84974239744,                            torch.cuda.mem_get_info()[1]
   "launch_seconds": 8e-6,                                 host time of one small operation
   "matmul": [{"m": 8192, "n": 8192, "k": 8192,            16-bit products
               "seconds": 4.6e-3}],
   "elementwise": [{"bytes": 1e9, "seconds": 6e-4}],       all that a kernel reads and writes
   "steps": [{"seconds": 4.5, "options": {"topology": "1xA100", "strategy": "single"}}]}
tests/oracle/measure_device.py writes such a file on a CUDA machine with PyTorch. Links are not
calibrated: their efficiencies stand in topologies/links.yaml, and your own DOT file may name
others.
)" + options_help(own_options) +
         R"(
Exit status: 0 the file was written, 2 the file or an option is wrong, 3 a bug.
)";
}

}  // namespace shardsim
