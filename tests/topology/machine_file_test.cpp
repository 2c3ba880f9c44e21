// Machines' own descriptions: each file of data/ comes out with the parts that it shows, is drawn, and reads back.
#include <algorithm>
#include <map>

#include "data.hpp"
#include "sim/topology/dot.hpp"
#include "sim/topology/named_machine.hpp"
#include "sim/topology/write_dot.hpp"

using namespace shardsim;

namespace {

std::filesystem::path data() { return std::filesystem::path(SHARDSIM_SOURCE) / "tests/topology/data"; }
std::string file(const std::string& name) { return "@" + (data() / name).string(); }

struct Shown {
  std::string name, gpu;
  std::size_t gpus, switches, numas, nics, nvswitches, direct;  ///< direct: NVLink or xGMI cables between GPUs
};

/// Counted by hand in the files.
const std::vector<Shown> shown = {{"a100_pcie_8gpu_nvlink_pairs.txt", "A100-PCIE-80GB", 8, 0, 2, 0, 0, 4},
                                  {"a100_sxm4_4gpu_slingshot.txt", "A100-SXM4-40GB", 4, 0, 4, 0, 0, 6},
                                  {"a100_sxm_4gpu_4nic_booster.txt", "A100-SXM4-40GB", 4, 4, 1, 4, 0, 6},
                                  {"a100_sxm_4gpu_4nic_nccltests331.txt", "A100-SXM4-40GB", 4, 4, 4, 4, 0, 6},
                                  {"a800_sxm_8gpu_9nic.txt", "A800-SXM4-80GB", 8, 8, 2, 9, 1, 0},
                                  {"aws_g5_48xlarge.xml", "A10G", 8, 0, 2, 1, 0, 0},
                                  {"aws_p4d_24xlarge.xml", "", 8, 4, 2, 4, 1, 0},
                                  {"aws_p4d_24xlarge_topo_m.txt", "A100-SXM4-40GB", 8, 4, 2, 0, 1, 0},
                                  {"aws_p4de_24xlarge.xml", "", 8, 4, 2, 4, 1, 0},
                                  {"azure_nc96ads_a100_v4.xml", "", 4, 0, 4, 1, 0, 2},
                                  {"azure_nd40rs_v2.xml", "V100-SXM2-32GB", 8, 0, 2, 1, 0, 16},
                                  {"azure_nd96asr_a100_v4.xml", "A100-SXM4-80GB", 8, 4, 4, 8, 1, 0},
                                  {"azure_nd96isr_h100_v5.xml", "H100-SXM5-80GB", 8, 8, 2, 8, 1, 0},
                                  {"desktop_5gpu_dual4090_mixed.txt", "RTX-4090", 5, 0, 2, 0, 0, 0},
                                  {"dgx2h_hwloc.xml", "", 16, 12, 2, 0, 1, 0},
                                  {"dgx2h_hwloc_tree.txt", "", 16, 12, 2, 0, 1, 0},
                                  {"dgx_a100_40gb.txt", "A100-SXM4-40GB", 8, 4, 4, 10, 1, 0},
                                  {"h100_sxm_4gpu_cloud_vm.txt", "H100-SXM5-80GB", 4, 0, 1, 1, 1, 0},
                                  {"h100_sxm_8gpu_9nic_vm.txt", "H100-SXM5-80GB", 8, 8, 2, 9, 1, 0},
                                  {"h100_sxm_8gpu_mleng.txt", "H100-SXM5-80GB", 8, 0, 2, 0, 1, 0},
                                  {"hgx_b300_8gpu_cx8.txt", "B300-SXM-288GB", 8, 8, 2, 8, 1, 0},
                                  {"hgx_h100_sxm_8gpu_10nic.txt", "H100-SXM5-80GB", 8, 8, 2, 10, 1, 0},
                                  {"l40s_4gpu_2socket.txt", "L40S", 4, 1, 2, 2, 0, 0},
                                  {"mi100_8gpu_2hives_rccl.txt", "MI100", 8, 0, 4, 1, 0, 12},
                                  {"mi250_16gcd_8oam_rccl.txt", "MI250X-GCD", 16, 12, 4, 8, 0, 28},
                                  {"mi250_8gcd_4oam_rccl.txt", "MI250X-GCD", 8, 6, 2, 4, 0, 12},
                                  {"mi250x_8gcd_trento_rccl.txt", "MI250X-GCD", 8, 0, 1, 0, 0, 12},
                                  {"mi300x_8way_intel_spr_rccl.txt", "MI300X", 8, 8, 2, 8, 0, 28},
                                  {"pcie_8gpu_pix_pairs_2socket.txt", "A100-PCIE-40GB", 8, 4, 2, 0, 0, 0},
                                  {"pcie_8gpu_switch_tree_vllm11122.txt", "L40S", 8, 4, 2, 0, 0, 0},
                                  {"pcie_box_hwloc.xml", "", 3, 1, 2, 1, 0, 0},
                                  {"rtx4090_8gpu_2socket_sys.txt", "RTX-4090", 8, 0, 2, 2, 0, 0},
                                  {"rtx4090_8gpu_node_sys.txt", "RTX-4090", 8, 0, 2, 0, 0, 0},
                                  {"rtx5090_2gpu_threadripper.txt", "RTX-5090", 2, 0, 1, 0, 0, 0},
                                  {"rtx_pro6000_6gpu_epyc9355.txt", "RTX-PRO-6000", 6, 3, 2, 0, 0, 0},
                                  {"titanx_4gpu_2socket.txt", "P100-PCIE-16GB", 4, 0, 2, 2, 0, 0},
                                  {"v100_sxm2_4gpu_dell_c4140.txt", "V100-SXM2-32GB", 4, 2, 1, 1, 0, 6},
                                  {"v100_sxm2_8gpu_dgx1like_dlperf.txt", "V100-SXM2-16GB", 8, 4, 2, 1, 0, 16},
                                  {"v100_sxm2_8gpu_gold6271c_dlperf.txt", "V100-SXM2-16GB", 8, 4, 2, 2, 0, 16}};

NamedMachine machine_of(const std::string& text, const std::string& gpu = "") {
  return load_machine(text, gpu, Catalogs(topologies()));
}

std::size_t direct_links(const Machine& machine) {
  return static_cast<std::size_t>(std::count_if(machine.wires.begin(), machine.wires.end(), [&](const Wire& wire) {
    return machine.parts[wire.a].kind == PartKind::gpu && machine.parts[wire.b].kind == PartKind::gpu;
  }));
}

/// What two machines have in common when they are the same one.
std::string fingerprint(const Machine& machine) {
  std::string text = std::to_string(machine.host_power_watts) + " " + std::to_string(machine.price_per_hour_usd) + "\n";
  for (const Part& part : machine.parts) {
    text += part.id + " " + std::to_string(static_cast<int>(part.kind)) + " " + part.device + " " +
            std::to_string(part.count) + " " + std::to_string(part.cores) + " " + std::to_string(part.memory.value()) +
            " " + std::to_string(part.memory_bandwidth.bytes_per_second) + "\n";
  }
  for (const Wire& wire : machine.wires) {
    text += machine.parts[wire.a].id + " -- " + machine.parts[wire.b].id + " " + wire.type.name + "\n";
  }
  return text;
}

void check_round_trip(const Machine& machine) {
  const ScratchFile drawing("drawing.dot", write_dot(machine, {"a remark"}));
  const Machine again = read_dot(drawing.path(), LinkCatalog(topologies() / "links.yaml"));
  CHECK(fingerprint(again) == fingerprint(machine));
}

bool mentions(const std::vector<std::string>& sentences, const std::string& part) {
  return std::any_of(sentences.begin(), sentences.end(),
                     [&](const std::string& sentence) { return sentence.find(part) != std::string::npos; });
}

std::string complaint(const std::string& text, const std::string& gpu = "L40S", const std::string& name = "box.txt") {
  const ScratchFile scratch(name, text);
  return refusal([&] { load("@" + scratch.path(), {gpu, {}, {}}); });
}

const std::string matrix =
    "\tGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\n"
    "GPU0\t X \tPIX\tNODE\t0-31,64-95\t0\t\tN/A\n"
    "GPU1\tPIX\t X \tNODE\t0-31,64-95\t0\t\tN/A\n"
    "NIC0\tNODE\tNODE\t X \t\t\t\n\nLegend:\n\n  X    = Self\n\nNIC Legend:\n\n  NIC0: mlx5_0\n";

std::string with(std::string text, const std::string& old, const std::string& now) {
  const auto at = text.find(old);
  REQUIRE(at != std::string::npos);
  return text.replace(at, old.size(), now);
}

}  // namespace

TEST_CASE("every description shows its parts, is a machine, and reads back from its drawing") {
  for (const Shown& each : shown) {
    INFO(each.name);
    const NamedMachine named = machine_of(file(each.name), each.gpu);
    const Machine& machine = named.machine;
    CHECK(machine.of_kind(PartKind::gpu).size() == each.gpus);
    CHECK(machine.of_kind(PartKind::pcie_switch).size() == each.switches);
    CHECK(machine.of_kind(PartKind::numa).size() == each.numas);
    CHECK(machine.of_kind(PartKind::nic).size() == each.nics);
    CHECK(machine.of_kind(PartKind::nvswitch).size() == each.nvswitches);
    CHECK(direct_links(machine) == each.direct);
    check_round_trip(machine);
    const Topology topology = load(file(each.name), {each.gpu, {}, {}});
    CHECK(topology.devices.size() == each.gpus);
    CHECK_FALSE(topology.assumptions.empty());
    CHECK(load("2x" + file(each.name), {each.gpu, {}, {}}).devices.size() == 2 * each.gpus);
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(data())) files += entry.is_regular_file() ? 1 : 0;
  CHECK(files == shown.size() + 1);  // synthetic_hwloc.xml has no GPU
}

TEST_CASE("every shipped system reads back from its drawing") {
  for (const std::string& name : system_names(topologies())) {
    INFO(name);
    check_round_trip(machine_of(name).machine);
  }
  check_round_trip(machine_of("4xA100").machine);
}

TEST_CASE("a DGX-2H hangs four GPUs below each root port, as hwloc saw it and as it is shipped") {
  for (const std::string& name : {file("dgx2h_hwloc.xml"), file("dgx2h_hwloc_tree.txt"), std::string("dgx-2h")}) {
    INFO(name);
    const Topology box = load(name);
    std::map<std::string, int> ports;
    for (std::size_t g = 0; g < 16; ++g) {
      const std::vector<LinkUse> route = box.device_to_host(DeviceId(g));
      REQUIRE(route.size() == 4);  // its switch, the upper switch, the root port, DRAM
      ++ports[box.name_of(route[2].link)];
    }
    CHECK(ports.size() == 4);
    for (const auto& [port, gpus] : ports) CHECK(gpus == 4);
    CHECK(box.hosts[0].cpu.name == "Xeon-8174");
    CHECK(box.devices[0].spec.name == "V100-SXM3-32GB");
    CHECK(box.is_switched(everyone(box)));
  }
  CHECK(load(file("dgx2h_hwloc.xml")).hosts[0].memory == Bytes(810234351616 + 811737923584));
}

TEST_CASE("hwloc's tree as text: what it cannot be names its place") {
  const std::string tree =
      "# a box\nPackage 0\n  NUMANode 0 mem_bytes=1000000000000\n  Bridge hostbridge link_GB/s=\n"
      "    Bridge 0000:01:00.0 link_GB/s=31.5\n      PCIDev 0000:02:00.0\n        OSDev nvml0 NVIDIA L40S\n"
      "      PCIDev 0000:03:00.0\n        OSDev mlx5_0\n";
  const ScratchFile scratch("box.txt", tree);
  const Topology box = load("@" + scratch.path());
  CHECK(box.devices[0].spec.name == "L40S");
  CHECK(box.hosts[0].memory == Bytes(1000000000000));
  CHECK(path_of(box, box.device_to_host(DeviceId(0))) == "gpu0>sw0 sw0>numa0 dram0");
  CHECK(complaint(with(tree, "  NUMANode 0 mem_bytes=1000000000000\n", "")).find("box.txt:3:3") != std::string::npos);
  CHECK(complaint(with(tree, "=31.5", "=fast")).find("box.txt:5:25") != std::string::npos);
  CHECK(complaint(with(tree, "PCIDev 0000:03", "PCIThing 0000:03")).find("box.txt:8:7") != std::string::npos);
  CHECK(complaint("Package 0\nOSDev nvml0\n").find("box.txt:2:1") != std::string::npos);
}

TEST_CASE("p4d hangs two GPUs and a NIC below each switch, on PCIe 3 as AWS declares") {
  const Topology box = load(file("aws_p4d_24xlarge.xml"));
  CHECK(box.devices[0].spec.name == "A100-SXM4-40GB");
  CHECK(path_of(box, box.device_to_host(DeviceId(0))) == "gpu0>sw0 sw0>numa0 dram0");
  CHECK(path_of(box, box.device_to_host(DeviceId(1))) == "gpu1>sw0 sw0>numa0 dram0");
  CHECK(path_of(box, box.device_to_host(DeviceId(7))) == "gpu7>sw3 sw3>numa1 dram1");
  CHECK(box.links[box.device_to_host(DeviceId(0))[1].link.index()].bandwidth.bytes_per_second == Approx(15.75e9));
}

TEST_CASE("hwloc's file: idle links, slow slots, boards' own screens and Ethernet") {
  const NamedMachine named = machine_of(file("pcie_box_hwloc.xml"));
  const Topology box = load(file("pcie_box_hwloc.xml"));
  CHECK(mentions(named.assumptions, "the PCIe links of gpu0 were idle when pcie_box_hwloc.xml was written"));
  CHECK(path_of(box, box.device_to_host(DeviceId(0))) == "gpu0>sw0 sw0>numa0 dram0");
  CHECK(box.links[box.device_to_host(DeviceId(0))[0].link.index()].bandwidth.bytes_per_second == Approx(31.5e9));
  // The third sits in a slot of generation 3.
  CHECK(path_of(box, box.device_to_host(DeviceId(2))) == "gpu2>numa1 dram1");
  CHECK(box.links[box.device_to_host(DeviceId(2))[0].link.index()].bandwidth.bytes_per_second == Approx(15.75e9));
  CHECK(box.hosts[0].cores == 4);
  CHECK(box.hosts[0].cpu.name == "EPYC-7763");
  CHECK(box.hosts[0].memory == Bytes(std::int64_t{384} << 30));
  CHECK(box.storages.size() == 1);
  CHECK(refusal([] { load(file("synthetic_hwloc.xml"), {"L40S", {}, {}}); }).find("the file shows no GPU") == 0);
}

TEST_CASE("a matrix as nvidia-smi prints it, escapes and legends and all") {
  const ScratchFile scratch("box.txt", with(matrix, "\tGPU0\tGPU1", "\t\x1b[4mGPU0\tGPU1"));
  const Topology box = load("@" + scratch.path(), {"L40S", {}, {}});
  CHECK(box.devices.size() == 2);
  CHECK(path_of(box, box.device_to_host(DeviceId(1))) == "gpu1>sw0 sw0>numa0 dram0");
  CHECK(box.hosts[0].cores == 32);
  const ScratchFile old("box.txt", "     GPU0  GPU1  CPU Affinity\nGPU0  X    SOC  0-5\nGPU1  SOC  X    6-11\n");
  CHECK(load("@" + old.path(), {"L40S", {}, {}}).devices[1].socket == 1);
}

TEST_CASE("NVLink counts: bridges, meshes, switches") {
  const auto wire = [](const std::string& name, const std::string& gpu) {
    const Machine machine = machine_of(file(name), gpu).machine;
    const auto found = std::find_if(machine.wires.begin(), machine.wires.end(),
                                    [](const Wire& each) { return each.type.kind == LinkKind::nvlink; });
    return found == machine.wires.end() ? "" : found->type.name;
  };
  CHECK(wire("a100_pcie_8gpu_nvlink_pairs.txt", "A100-PCIE-80GB") == "nvbridge3x12");
  CHECK(wire("a100_sxm4_4gpu_slingshot.txt", "A100-SXM4-40GB") == "nvbridge3x4");
  CHECK(wire("a800_sxm_8gpu_9nic.txt", "A800-SXM4-80GB") == "nvlink3x8");
  CHECK(wire("h100_sxm_8gpu_mleng.txt", "H100-SXM5-80GB") == "nvlink4x18");
  CHECK(wire("mi250_8gcd_4oam_rccl.txt", "MI250X") == "xgmi2gpux4");
  const auto refused = [](const std::string& name, const std::string& gpu) {
    return refusal([&] { load(file(name), {gpu, {}, {}}); });
  };
  CHECK(refused("a100_pcie_8gpu_nvlink_pairs.txt", "RTX-4090").find("'gpu0' has 12 NVLinks, and a RTX-4090 has 0") ==
        0);
  CHECK(refused("h100_sxm_8gpu_mleng.txt", "A100").find("'gpu0' has 18 NVLinks, and a A100-SXM4-80GB has 12") == 0);
  CHECK(refused("h100_sxm_8gpu_mleng.txt", "").find("the file does not name its GPUs") == 0);
}

TEST_CASE("a DeepSpeed hostfile counts nodes and GPUs") {
  const ScratchFile hosts("hostfile", "# two nodes\nworker-1 slots=8\nworker-2 slots=8\n");
  const Topology topology = load("@" + hosts.path(), {"H100", {}, {}});
  CHECK(topology.devices.size() == 16);
  CHECK(topology.hosts.size() == 2);
  CHECK(refusal([&] { load("@" + hosts.path()); }).find("the topology names no device") == 0);
  CHECK(complaint("worker-1 slots=8\nworker-2 slots=4\n").find("box.txt:2:10") != std::string::npos);
  CHECK(complaint("worker-1 slots=8\nworker-2 slots=many\n").find("box.txt:2:10") != std::string::npos);
  CHECK(complaint("worker-1 slots=8\nworker-2\n").find("box.txt:2:1)") != std::string::npos);
}

TEST_CASE("a malformed description is refused with line and column") {
  const auto says = [](const std::string& text, const std::string& what, const std::string& where) {
    const std::string said = complaint(text);
    INFO(said);
    CHECK(said.find(what) == 0);
    CHECK(said.find("box.txt:" + where + ")") != std::string::npos);
    CHECK(said.find('\n') == std::string::npos);
  };
  says("", "the matrix has no header", "1:1");
  says("# nothing\n  some words\n", "the matrix has no header", "2:3");
  says(with(matrix, "PIX", "PIC"), "'PIC' is no connection", "2:10");
  says(with(matrix, "PIX", "NV0"), "'NV0' is no connection", "2:10");
  says(with(matrix, "PIX", "X"), "'X' stands between GPU0 and GPU1", "2:10");
  says(with(matrix, "GPU1\tPIX", "GPU1\tPXB"), "GPU1 to GPU0 is 'PXB' here and 'PIX' on line 2", "3:6");
  says(with(matrix, "GPU1\tPIX", "GPU7\tPIX"), "the row 'GPU7' has no column", "3:1");
  says(with(matrix, "GPU1\tPIX\t X \tNODE\t0-31,64-95\t0\t\tN/A\n", ""), "the row of GPU1 is missing", "1:1");
  says(with(matrix, "NODE\t0-31,64-95\t0\t\tN/A\nGPU1", "\nGPU1"), "the row 'GPU0' has 2 of 3 cells", "2:14");
  says(with(matrix, "N/A", "N/A more"), "'more' stands in no column", "2:37");
  says(with(matrix, "GPU NUMA ID", "Colour"), "unknown column 'Colour'", "1:44");
  says(with(matrix, "\tNODE\t0-31", "\tNV4\t0-31"), "NVLink stands between GPU0 and NIC0", "2:14");
  says("<system><cpu numaid=\"0\">\n  <pci></cpu></system>", "malformed XML: mismatched tag", "2:10");
  says("<system version=\"1\"/>", "the system has no cpu", "1:1");
  says("<html/>", "the root element is <html>", "1:1");
  says("<system><cpu>\n <pci busid=\"0\" class=\"0x030200\" link_speed=\"fast\" link_width=\"16\"/></cpu></system>",
       "'fast' is no usable link_speed", "2:2");
  says(
      "<system><cpu>\n <pci busid=\"0\" class=\"0x030200\"><gpu>\n<nvlink target=\"1\" "
      "count=\"4\"/></gpu></pci></cpu></system>",
      "the link leads to '1', which is no GPU", "3:1");
  std::string deep = "<system>";
  for (int i = 0; i < 100; ++i) deep += "<pci>";
  CHECK(complaint(deep).find("malformed XML: elements are nested deeper than 64") == 0);
  CHECK(
      complaint("<!DOCTYPE system [<!ENTITY a \"b\">]><system>&a;</system>").find("malformed XML: the file declares") ==
      0);
  says("<topology version=\"1.0\"/>", "the file is of hwloc version '1.0'", "1:1");
  says("<topology version=\"2.0\">\n <object type=\"Nothing\"/></topology>", "the file has no machine", "1:1");
  says("<topology version=\"2.0\">\n <object type=\"Machine\"/></topology>", "'' is no usable cpuset", "2:2");
  CHECK(refusal([] { load("@/nonexistent"); }).find("cannot read '/nonexistent'") == 0);
  CHECK(refusal([] { load("0x@/nonexistent"); }).find("is no usable count of nodes") != std::string::npos);
}

TEST_CASE("no cut and no flipped byte of a description does worse than a refusal") {
  for (const std::string name : {"dgx_a100_40gb.txt", "azure_nc96ads_a100_v4.xml", "pcie_box_hwloc.xml"}) {
    std::ifstream stream(data() / name);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    for (std::size_t i = 0; i < 120; ++i) {
      std::string broken = text;
      const std::size_t at = i * 7919 % text.size();
      if (i % 2 == 0) {
        broken.resize(at);
      } else {
        broken[at] = static_cast<char>(broken[at] ^ (1 << i % 7));
      }
      const ScratchFile scratch("broken.txt", broken);
      try {
        load("@" + scratch.path(), {"A100-PCIE-80GB", {}, {}});
      } catch (const InputError& error) {
        CHECK(std::string(error.what()).find('\n') == std::string::npos);
      }
    }
  }
  SUCCEED();
}
