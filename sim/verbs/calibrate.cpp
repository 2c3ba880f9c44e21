// A user's own measurements -> a device file, or a machine file.
#include "sim/calibration/calibrate.hpp"

#include <array>
#include <limits>

#include "model/core/error.hpp"
#include "sim/calibration/machine.hpp"
#include "sim/request/option_text.hpp"
#include "sim/verbs/output.hpp"
#include "sim/verbs/verb.hpp"

namespace shardsim {

namespace {

constexpr std::array own_options = {
    OptionSpec{"Options", "topology", 't', "MACHINE", "write this machine, with its links as measured"},
    OptionSpec{"Options", "gpu", 0, "DEVICE", "the GPU in it, where MACHINE names none"},
    OptionSpec{"Options", "output", 'o', "OUT", "where the device or machine goes [stdout]"},
};

struct Arguments {
  std::vector<std::string> files;
  std::string topology, gpu, output;
};

Arguments read_arguments(const std::vector<std::string>& words) {
  const CommandLine line = read_command_line(words, own_options, std::numeric_limits<std::size_t>::max());
  const auto value = [&](std::string_view name) {
    const auto given = line.options.find(name);
    return given == line.options.end() ? std::string() : given->second.value;
  };
  Arguments arguments{line.operands, value("topology"), value("gpu"), value("output")};
  if (arguments.files.empty()) {
    throw InputError("the file of measurements is missing", "calibrate",
                     "shardsim calibrate FILE... [--topology MACHINE [--gpu DEVICE]] [-o OUT]");
  }
  if (arguments.topology.empty() && arguments.files.size() > 1) {
    throw InputError("several files, and no machine", "calibrate",
                     "one file for a device, or --topology MACHINE for a machine");
  }
  if (arguments.topology.empty() && !arguments.gpu.empty()) {
    throw InputError("--gpu without --topology", "calibrate", "the device's name in the file of measurements");
  }
  return arguments;
}

}  // namespace

ExitStatus run_calibrate(const Command& command) {
  const Arguments arguments = read_arguments(command.arguments);
  const DataFolders data = find_data(command.program);
  std::vector<Measurements> measured;
  for (const std::string& file : arguments.files) measured.push_back(read_measurements(file));
  write_result(arguments.topology.empty() ? calibrated_device(measured.front(), data)
                                          : calibrated_machine(measured, arguments.topology, arguments.gpu, data),
               arguments.output);
  return ExitStatus::fits;
}

std::vector<OptionSpec> calibrate_options() { return {own_options.begin(), own_options.end()}; }

std::string calibrate_help() {
  return R"(Usage: shardsim calibrate FILE... [--topology MACHINE [--gpu DEVICE]] [-o OUT]

Turns measurements of your own machine into a device file that overrides ours:
  shardsim calibrate measured.json -o my-a100.yaml
  shardsim --topology 4xA100 --gpu my-a100.yaml --strategy zero3
or, with --topology, into a machine file (one node; what was not measured stays as it is):
  shardsim calibrate all_reduce.json nvbandwidth.json --topology dgx-a100 -o mine.dot
  shardsim --topology mine.dot --strategy zero3

A FILE is one of these, told apart by what it holds:
  what NVIDIA/nccl-tests' all_reduce_perf, all_gather_perf or reduce_scatter_perf writes with
    --json, or prints (-b 8 -e 4G -f 2 -g 8); across nodes they tell what the NICs reach
  what nvbandwidth --json prints of host_to_device_memcpy_ce, device_to_host_memcpy_ce and
    device_to_device_memcpy_read_ce
  our own JSON, of which all but "device" may be left out; the last two tell a machine:
  {"device": "A100-SXM4-80GB",                        the nearest of shardsim list devices
   "source": "who measured it, and how",
   "memory_bytes": 84974239744,                       torch.cuda.mem_get_info()[1]
   "launch_seconds": 8e-6,                            host time of one small operation
   "matmul": [{"m": 8192, "n": 8192, "k": 8192, "seconds": 4.6e-3}],       16-bit products
   "elementwise": [{"bytes": 1e9, "seconds": 6e-4}],  all that a kernel reads and writes
   "steps": [{"seconds": 4.5, "options": {"topology": "1xA100", "strategy": "single"}}],
   "copies": [{"from": "host", "to": 0, "bytes": 1e9, "seconds": 0.038}],  pinned, one at a time
   "collectives": [{"collective": "all_reduce", "ranks": 8, "nodes": 1, "bytes": 1e9,
                    "seconds": 7.6e-3}]}
tests/oracle/measure_device.py writes such a file on a CUDA machine with PyTorch.
)" + options_help(own_options) +
         R"(
Exit status: 0 the file was written, 2 the file or an option is wrong, 3 a bug.
)";
}

}  // namespace shardsim
