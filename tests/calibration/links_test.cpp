// Copies and collectives made from known figures give these figures back; what others' tools write is read.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "calibration/scratch_file.hpp"
#include "catch.hpp"
#include "model/core/error.hpp"
#include "request/contains.hpp"
#include "sim/calibration/machine.hpp"
#include "sim/topology/dot.hpp"

using namespace shardsim;

namespace {

const DataFolders source = {SHARDSIM_SOURCE "/model/zoo", SHARDSIM_SOURCE "/topologies",
                            SHARDSIM_SOURCE "/tests/published"};
const std::string data = SHARDSIM_SOURCE "/tests/calibration/data/";

Measurements measured(const std::string& text) { return read_measurements(ScratchFile("links.json", text).path()); }

std::string calibrated(const std::vector<Measurements>& files, const std::string& topology) {
  return calibrated_machine(files, topology, "", source);
}

Machine read_back(const std::string& dot) {
  return read_dot(ScratchFile("machine.dot", dot).path(), LinkCatalog(source.topologies / "links.yaml"));
}

const Wire& wire(const Machine& machine, const std::string& a, const std::string& b) {
  for (const Wire& wire : machine.wires) {
    if (machine.parts[wire.a].id == a && machine.parts[wire.b].id == b) return wire;
  }
  FAIL("no wire " << a << " -- " << b);
  return machine.wires.front();
}

template <class Work>
std::string refusal(Work work) {
  try {
    work();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

std::string copies(const std::string& list) { return R"({"device": "A100", "copies": [)" + list + "]}"; }

/// What a ring over the links of 8 A100 takes with these figures.
double ring_seconds(CollectiveKind kind, double bytes, const CollectiveFigures& figures) {
  const CollectiveShape a100{8, 1, HopKind::nvlink, 300e9 * 0.783, figures};
  const CollectiveCost cost = collective_cost(kind, bytes, a100);
  return cost.latency.seconds() + cost.bytes / a100.bandwidth;
}

}  // namespace

TEST_CASE("copies become the efficiency and latency of wires") {
  const Machine machine =
      read_back(calibrated({measured(copies(R"({"from": "host", "to": 0, "bytes": 1e9, "seconds": 0.04},
                                     {"from": 0, "to": "host", "bytes": 1e9, "seconds": 0.05},
                                     {"from": "host", "to": 0, "bytes": 4000, "seconds": 1.016e-5},
                                     {"from": "host", "to": 3, "bytes": 1e9, "seconds": 0.16},
                                     {"from": 2, "to": 5, "bytes": 27e9, "seconds": 0.1})"))},
                           "dgx-a100"));
  // 25 and 20 GB/s of 31.5, over two wires; the small copy's bytes take 0.16 of its 10.16 us.
  CHECK(*wire(machine, "gpu0", "sw0").efficiency == Approx(22.5 / 31.5).epsilon(1e-3));
  CHECK(*wire(machine, "sw0", "numa0").efficiency == Approx(22.5 / 31.5).epsilon(1e-3));
  CHECK(wire(machine, "gpu0", "sw0").latency->seconds() == Approx(5e-6).epsilon(1e-3));
  // GPU 2 shares the switch of GPU 3, which reached 6.25 GB/s alone.
  CHECK(*wire(machine, "gpu3", "sw1").efficiency == Approx(6.25 / 31.5).epsilon(1e-3));
  CHECK_FALSE(wire(machine, "gpu2", "sw1").efficiency);
  CHECK(*wire(machine, "gpu2", "nvswitch").efficiency == Approx(0.9));
  CHECK(*wire(machine, "gpu5", "nvswitch").efficiency == Approx(0.9));
  CHECK_FALSE(wire(machine, "gpu0", "nvswitch").efficiency);
}

TEST_CASE("a wire that several GPUs share carries what the quickest of them got") {
  const Machine machine =
      read_back(calibrated({measured(copies(R"({"from": "host", "to": 2, "bytes": 1e9, "seconds": 0.16},
                                     {"from": "host", "to": 3, "bytes": 1e9, "seconds": 0.04})"))},
                           "dgx-a100"));
  CHECK(*wire(machine, "gpu2", "sw1").efficiency == Approx(6.25 / 31.5).epsilon(1e-3));
  CHECK(*wire(machine, "sw1", "numa0").efficiency == Approx(25 / 31.5).epsilon(1e-3));
}

TEST_CASE("what collectives reach beyond NCCL's model comes back") {
  CollectiveFigures figures;
  figures.all_reduce = 1.3;
  figures.all_gather = 0.8;
  figures.launch = Time(33'000'000);
  figures.fill = Time(45'000'000);
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [kind, name] :
       {std::pair(CollectiveKind::all_reduce, "all_reduce"), std::pair(CollectiveKind::all_gather, "all_gather")}) {
    for (double bytes = 1024; bytes < 5e9; bytes *= 4) {
      const double seconds = ring_seconds(kind, bytes, figures);
      list.push_back({{"collective", name}, {"ranks", 8}, {"bytes", bytes}, {"seconds", seconds}});
    }
  }
  const nlohmann::json document = {{"device", "A100"}, {"collectives", list}};
  const Machine machine = read_back(calibrated({measured(document.dump())}, "dgx-a100"));
  CHECK(machine.collectives.all_reduce == Approx(1.3).epsilon(0.01));
  CHECK(machine.collectives.all_gather == Approx(0.8).epsilon(0.01));
  CHECK(machine.collectives.reduce_scatter == 1);
  CHECK(machine.collectives.launch.seconds() == Approx(33e-6).epsilon(0.05));
  CHECK(machine.collectives.fill.seconds() == Approx(45e-6).epsilon(0.1));
}

TEST_CASE("collectives across nodes become the NICs' efficiency") {
  // 16 GPUs, 8 NICs of 25 GB/s a node: at half of that a ring moves 100 GB/s.
  const double bytes = 8e9, seconds = bytes * 2 * 15 / 16 / 100e9;
  const nlohmann::json document = {
      {"device", "A100"},
      {"collectives",
       {{{"collective", "all_reduce"}, {"ranks", 16}, {"nodes", 2}, {"bytes", bytes}, {"seconds", seconds}}}}};
  const Machine machine = read_back(calibrated({measured(document.dump())}, "dgx-a100"));
  for (const std::size_t nic : machine.of_kind(PartKind::nic)) {
    CHECK(*machine.parts[nic].efficiency == Approx(0.5).epsilon(0.02));
  }
  CHECK(machine.collectives.all_reduce == 1);
}

TEST_CASE("nccl-tests' JSON and listing, and nvbandwidth's JSON, are read") {
  // Figures: stas00/ml-engineering@744d01e1 network (8 A100, all-reduce); microsoft/superbenchmark@700d6501 tests/data.
  const Measurements reduced = read_measurements(data + "all_reduce.json");
  REQUIRE(reduced.collectives.size() == 20);
  CHECK(reduced.collectives.front().kind == CollectiveKind::all_reduce);
  CHECK(reduced.collectives.front().ranks == 8);
  CHECK(reduced.collectives.front().nodes == 1);
  CHECK(reduced.collectives.front().seconds == Approx(43.8e-6).epsilon(1e-3));
  const Measurements gathered = read_measurements(data + "all_gather.txt");
  REQUIRE(gathered.collectives.size() == 8);
  CHECK(gathered.collectives.back().kind == CollectiveKind::all_gather);
  CHECK(gathered.collectives.back().bytes == 8589934592.0);
  CHECK(gathered.collectives.back().seconds == Approx(29475.3e-6));
  const Measurements copied = read_measurements(data + "nvbandwidth.json");
  CHECK(copied.copies.size() == 8 + 8 + 8 * 7);
  const Machine machine = read_back(calibrated({reduced, gathered, copied}, "dgx-a100"));
  CHECK(*wire(machine, "gpu7", "nvswitch").efficiency == Approx(275.0 / 300).epsilon(1e-3));
  // Reads back to what was measured at the largest size.
  const double ring = 300e9 * *wire(machine, "gpu7", "nvswitch").efficiency;
  CHECK(ring * machine.collectives.all_reduce == Approx(234.9e9).epsilon(0.01));
  CHECK(ring * machine.collectives.all_gather == Approx(255e9).epsilon(0.01));
}

TEST_CASE("a machine file that collectives were measured for changes a step") {
  CollectiveFigures slow;
  slow.all_reduce = 0.25;
  nlohmann::json list = nlohmann::json::array();
  for (double bytes = 1024; bytes < 5e9; bytes *= 4) {
    const double seconds = ring_seconds(CollectiveKind::all_reduce, bytes, slow);
    list.push_back({{"collective", "all_reduce"}, {"ranks", 8}, {"bytes", bytes}, {"seconds", seconds}});
  }
  const nlohmann::json document = {{"device", "A100"}, {"collectives", list}};
  const ScratchFile mine("mine.dot", calibrated({measured(document.dump())}, "dgx-a100"));
  const auto step = [](const std::string& topology) {
    Request request;
    request.topology = topology;
    request.model = "gpt2";
    request.strategy = "ddp";
    request.kind = StrategyKind::ddp;
    request.seq_len = 512;
    return simulate(request, source).step;
  };
  CHECK(step(mine.path()).time_s > 1.01 * step("dgx-a100").time_s);
}

TEST_CASE("what cannot be is refused with what would be right") {
  const auto refused = [](const std::string& text, const std::string& topology) {
    return refusal([&] { calibrated({measured(text)}, topology); });
  };
  const std::string quick = copies(R"({"from": "host", "to": 0, "bytes": 55e9, "seconds": 1})");
  CHECK_THAT(refused(quick, "dgx-a100"), Contains("55 GB/s, and pcie4x16 carries 31.5 GB/s"));
  const std::string slow = copies(R"({"from": "host", "to": 0, "bytes": 1024, "seconds": 1e-5})");
  CHECK_THAT(refused(slow, "dgx-a100"), Contains("0.1024 GB/s, and pcie4x16 carries 31.5 GB/s"));
  CHECK_THAT(refused(quick, "2xdgx-a100"), Contains("several nodes"));
  CHECK_THAT(refused(copies(R"({"from": "host", "to": 8, "bytes": 1, "seconds": 1})"), "dgx-a100"),
             Contains("GPU 8, and dgx-a100 has 8"));
  CHECK_THAT(refused(copies(R"({"from": "here", "to": 0, "bytes": 1, "seconds": 1})"), "dgx-a100"),
             Contains("copies[0].from"));
  CHECK_THAT(refused(copies(R"({"from": 1, "to": 1, "bytes": 1, "seconds": 1})"), "dgx-a100"), Contains("copies[0]"));
  CHECK_THAT(refused(copies(""), "dgx-a100"), Contains("nothing of a machine's links"));
  const auto reduce = [](const std::string& rest) {
    return R"({"device": "A100", "collectives": [{"collective": "all_reduce", )" + rest + "}]}";
  };
  CHECK_THAT(refused(reduce(R"("ranks": 9, "bytes": 1e9, "seconds": 1)"), "dgx-a100"), Contains("9 ranks"));
  CHECK_THAT(refused(reduce(R"("ranks": 8, "bytes": 1e6, "seconds": 1)"), "dgx-a100"), Contains("tells no bandwidth"));
  CHECK_THAT(refused(reduce(R"("ranks": 8, "bytes": 1e9, "seconds": 1e-5)"), "dgx-a100"), Contains("takes 0.01 ms"));
  CHECK_THAT(refused(reduce(R"("ranks": 8, "bytes": 1024, "seconds": 1e12)"), "dgx-a100"),
             Contains("collectives[0].seconds"));
  CHECK_THAT(refused(R"({"device": "A100", "collectives": [{"collective": "all_to_all"}]})", "dgx-a100"),
             Contains("all_to_all"));
}

TEST_CASE("others' output that lacks something is refused with its place") {
  const auto refused = [](const std::string& text) { return refusal([&] { measured(text); }); };
  const std::string config = R"("config": {"nthreads": 1, "ngpus": 8, "devices": [{"hostname": "a"}]})";
  const auto nccl = [&](const std::string& program, const std::string& results) {
    return R"({"nccl_version": 1, "args": [")" + program + "\"], " + config + R"(, "results": [)" + results + "]}";
  };
  CHECK_THAT(refused(nccl("./alltoall_perf", "")), Contains("'./alltoall_perf' times no collective"));
  CHECK_THAT(refused(nccl("all_reduce_perf", "")), Contains("no results"));
  CHECK_THAT(refused(nccl("all_reduce_perf", R"({"size": 8, "out_of_place": {"cpu_time": 1}})")),
             Contains("a run without -C"));
  CHECK_THAT(refused(nccl("all_reduce_perf", R"({"size": 8, "out_of_place": {"time": "nan"}})")),
             Contains("results[0].out_of_place.time"));
  CHECK_THAT(refused(R"({"nccl_version": 1, "args": ["all_reduce_perf"], "results": [],
                        "config": {"nthreads": 1e15, "ngpus": 1e15, "devices": [{"hostname": "a"}]}})"),
             Contains("config.nthreads"));
  CHECK_THAT(refused(R"({"nccl_version": 1, "args": ["all_reduce_perf"], "results": []})"), Contains("config"));
  CHECK_THAT(refused(R"({"nvbandwidth": {"testcases": []}})"), Contains("no copy"));
  CHECK_THAT(refused(R"({"nvbandwidth": {"testcases": [{"name": "host_to_device_memcpy_ce", "status": "Passed",
                         "bandwidth_matrix": [["fast"]]}]}})"),
             Contains("no bandwidth"));
  // Older listings do not name the program: reductions are told by their factor, all-gather cannot be.
  const std::string head = "#  Rank 0 Group 0 Pid 1 on a device 0\n#  Rank 1 Group 0 Pid 1 on b device 1\n# busbw\n";
  const Measurements old = measured(head + "1048576 262144 float sum -1 100 10.48 10.48 0 100 10.48 10.48 0\n");
  REQUIRE(old.collectives.size() == 1);
  CHECK(old.collectives[0].kind == CollectiveKind::all_reduce);
  CHECK(old.collectives[0].nodes == 2);
  CHECK_THAT(refused(head + "1048576 262144 float none -1 100 10.48 5.24 0 100 10.48 5.24 0\n"),
             Contains("does not say which collective"));
  CHECK_THAT(refused(head), Contains("no results"));
}
