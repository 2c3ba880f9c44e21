// The device files: all load, names resolve, figures keep their sources.
#include "data.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/link_type.hpp"
#include "sim/topology/spec_file.hpp"

using namespace shardsim;

namespace {
DeviceCatalog catalog() { return DeviceCatalog(topologies() / "devices"); }
}  // namespace

TEST_CASE("every GPU file loads, with figures that make sense") {
  const std::vector<std::string> names = catalog().gpu_names();
  REQUIRE(names.size() >= 30);
  for (const std::string& name : names) {
    INFO(name);
    std::vector<std::string> assumptions;
    const GpuSpec spec = catalog().gpu(name, "test", assumptions);
    CHECK(spec.name == name);
    CHECK(assumptions.empty());
    CHECK(spec.memory > Bytes(std::int64_t{10} << 30));
    CHECK(spec.matmul_16bit > spec.matmul_f32 * 0.99);
    CHECK(spec.memory_bandwidth.bytes_per_second > 1e11);
    CHECK(spec.memory_efficiency > 0.5);
    CHECK(spec.kernel_launch > spec.kernel_floor);
    CHECK(spec.cublas_workspace >= Bytes(8 << 20));
    for (const std::string& system : spec.default_systems) {
      CHECK(std::filesystem::exists(topologies() / (system + ".dot")));
    }
    if (spec.nvlink_switch) {
      const LinkType wire = LinkCatalog(topologies() / "links.yaml").find(spec.nvlink_type, name);
      CHECK(wire.bandwidth.bytes_per_second == Approx(spec.nvlink->bytes_per_second));
    }
  }
}

TEST_CASE("every other device file loads as what it says it is, and no two share a name") {
  std::map<std::string, std::string> owner;
  std::size_t parts = 0;
  for (const auto& entry : std::filesystem::directory_iterator(topologies() / "devices")) {
    const std::string name = entry.path().stem().string();
    INFO(name);
    const SpecFile file(entry.path());
    const std::string kind = file.text("kind");
    if (kind == "cpu") CHECK(catalog().cpu(name, "test").cores > 0);
    if (kind == "nic") CHECK(catalog().nic(name, "test").latency > Time(0));
    if (kind == "drive") CHECK(catalog().drive(name, "test").capacity > Bytes(0));
    std::vector<std::string> known = file.list("aliases");
    known.push_back(name);
    for (const std::string& each : known) CHECK(owner.emplace(normalized_name(each), name).second);
    std::vector<std::string> assumptions;
    for (const std::string& alias : file.list("aliases")) {
      if (kind == "gpu") CHECK(catalog().gpu(alias, "test", assumptions).name == name);
      if (kind == "cpu") CHECK(catalog().cpu(alias, "test").name == name);
    }
    ++parts;
  }
  CHECK(parts > catalog().gpu_names().size() + 20);
}

TEST_CASE("names match without regard to case and punctuation; short ones are completed and say so") {
  std::vector<std::string> assumptions;
  CHECK(catalog().gpu("a100 sxm4 80gb", "test", assumptions).name == "A100-SXM4-80GB");
  CHECK(catalog().gpu("rtx4090", "test", assumptions).name == "RTX-4090");
  CHECK(assumptions.empty());
  CHECK(catalog().gpu("A100", "test", assumptions).name == "A100-SXM4-80GB");
  REQUIRE(assumptions.size() == 1);
  CHECK(assumptions[0] ==
        "A100 is taken as A100-SXM4-80GB; name A100-PCIE-40GB, A100-PCIE-80GB or A100-SXM4-40GB for the others");
  CHECK(catalog().gpu("H100", "test", assumptions).name == "H100-SXM5-80GB");
  CHECK(catalog().gpu("V100", "test", assumptions).name == "V100-SXM2-32GB");
  CHECK(catalog().gpu("h200", "test", assumptions).name == "H200-SXM-141GB");
  CHECK(catalog().gpu("B200", "test", assumptions).name == "B200-SXM-180GB");
  CHECK(catalog().gpu("A100-40GB", "test", assumptions).name == "A100-SXM4-40GB");
}

TEST_CASE("unknown names and wrong kinds are refused with what would be right") {
  std::vector<std::string> none;
  const std::string unknown = refusal([&] { catalog().gpu("A10O", "--gpu", none); });
  CHECK(unknown.find("unknown device 'A10O'") != std::string::npos);
  CHECK(unknown.find("A10G") != std::string::npos);
  CHECK(refusal([&] { catalog().gpu("EPYC-7742", "--gpu", none); }) ==
        "EPYC-7742 is a cpu, not a gpu (--gpu); expected the name of a gpu");
}

TEST_CASE("a GPU without own measurements takes those of its family, and only those") {
  std::vector<std::string> none;
  const GpuSpec l40s = catalog().gpu("L40S", "test", none);
  const GpuSpec a100 = catalog().gpu("A100-PCIE-80GB", "test", none);
  CHECK(l40s.matmul_efficiency == a100.matmul_efficiency);
  CHECK(l40s.multiprocessors != a100.multiprocessors);
  CHECK(l40s.memory_efficiency != a100.memory_efficiency);
  CHECK(!l40s.nvlink.has_value());
}

TEST_CASE("malformed device files are refused with file and line or key") {
  const auto read = [](const std::string& text) {
    const ScratchFile file("part.yaml", text);
    return refusal([&] {
      const SpecFile spec(file.path());
      spec.bytes("memory");
      spec.curve("curve");
      spec.refuse_unread();
    });
  };
  const std::string memory = "memory: {value: 1 GiB, basis: assumed, source: \"x\"}\n";
  const std::string curve = "curve: {value: [[1, 0.5]], basis: assumed, source: \"x\"}\n";
  CHECK(read("a: [").find("malformed YAML") != std::string::npos);
  CHECK(read("memory: {value: 1 GiB, source: \"x\"}").find(":1: memory); expected basis") != std::string::npos);
  CHECK(read("memory: {value: 1 GiB, basis: measured}").find("the figure has no source") != std::string::npos);
  CHECK(read("memory: {value: 1, basis: measured, source: \"x\"}").find("'1'") != std::string::npos);
  CHECK(read(memory).find("the figure 'curve' is missing") != std::string::npos);
  CHECK(read(memory + "curve: {value: [[1, 0.5], [1, 0.6]], basis: assumed, source: \"x\"}").find("malformed") !=
        std::string::npos);
  CHECK(read(memory + "curve: {value: [[1, 1.5]], basis: assumed, source: \"x\"}").find("malformed") !=
        std::string::npos);
  CHECK(read(memory + "curve: {value: [[1, x]], basis: assumed, source: \"x\"}").find(":2: curve") !=
        std::string::npos);
  CHECK(read(memory + curve + "memroy: 3").find("unknown key 'memroy'") != std::string::npos);
  CHECK(refusal([] { SpecFile("/nonexistent/x.yaml"); }).find("cannot read") != std::string::npos);
}

TEST_CASE("link types multiply their lanes") {
  const LinkCatalog links(topologies() / "links.yaml");
  CHECK(links.find("pcie4x16", "test").bandwidth.bytes_per_second == Approx(31.5e9));
  CHECK(links.find("nvlink3x12", "test").bandwidth.bytes_per_second == Approx(300e9));
  CHECK(links.find("nvbridge3gx4", "test").bandwidth.bytes_per_second == Approx(56.25e9));
  CHECK(links.find("nvlinkc2c", "test").lanes == 1);
  CHECK(refusal([&] { links.find("pcie4x0", "here"); }).find("no usable number of lanes (here)") != std::string::npos);
  CHECK(refusal([&] { links.find("pcie4x999999999999999999999", "here"); }).find("lanes") != std::string::npos);
  CHECK(refusal([&] { links.find("pcei4x16", "here"); }).find("unknown link type 'pcei4'") != std::string::npos);
}
