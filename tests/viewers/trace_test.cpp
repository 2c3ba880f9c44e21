// Does --trace write what Chrome's and Perfetto's viewers draw? Every event of both formats is looked at.
#include <zlib.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <protozero/pbf_reader.hpp>
#include <set>

#include "catch.hpp"
#include "cli/program.hpp"

namespace {

using Json = nlohmann::json;

std::string traced(const std::string& request, const std::string& name) {
  const Run made = run(request + " -q --trace '" + scratch().file(name) + "' --format json");
  REQUIRE(made.status < 2);
  return contents(scratch().file(name));
}

Json report_of(const std::string& request) { return Json::parse(run(request + " -q --format json").out); }

/// Microseconds with six decimals, as picoseconds.
std::int64_t picoseconds(const Json& microseconds) { return std::llround(microseconds.get<double>() * 1e6); }

std::string gunzipped(const std::string& file) {
  gzFile in = gzopen(file.c_str(), "rb");
  std::string text(1 << 16, '\0'), all;
  for (int got = 0; (got = gzread(in, text.data(), static_cast<unsigned>(text.size()))) > 0;) all.append(text, 0, got);
  gzclose(in);
  return all;
}

const std::string offload = "--topology 4xA100 --strategy zero3-offload --model tinyllama-1.1b";

/// What is said of the slices of one thread.
struct Thread {
  std::string name;
  std::int64_t end = 0;
  std::map<std::int64_t, std::int64_t> slices;  ///< end by begin
};

struct Chrome {
  std::map<int, std::string> processes;
  std::map<std::pair<int, int>, Thread> threads;
  std::map<std::int64_t, std::vector<Json>> flows;
  std::map<std::pair<int, std::string>, std::vector<Json>> counters;
  std::size_t overlaps = 0, slices = 0, strangers = 0;
};

Chrome read_chrome(const Json& trace) {
  Chrome seen;
  for (const Json& event : trace.at("traceEvents")) {
    const std::string phase = event.at("ph");
    const int pid = event.at("pid");
    if (phase == "M") {
      const std::string what = event.at("name");
      if (what == "process_name") seen.processes[pid] = event.at("args").at("name");
      if (what == "thread_name") seen.threads[{pid, event.at("tid")}].name = event.at("args").at("name");
    } else if (phase == "X") {
      Thread& thread = seen.threads[{pid, event.at("tid")}];
      const std::int64_t begin = picoseconds(event.at("ts")), length = picoseconds(event.at("dur"));
      seen.overlaps += begin < thread.end || length <= 0;
      thread.end = begin + length;
      thread.slices[begin] = thread.end;
      seen.strangers += event.at("name").get<std::string>().empty() || event.at("cat").get<std::string>().empty() ||
                        event.at("args").at("where").get<std::string>().empty();
      ++seen.slices;
    } else if (phase == "C") {
      seen.counters[{pid, event.at("name")}].push_back(event);
    } else if (phase == "s" || phase == "f") {
      seen.flows[event.at("id")].push_back(event);
    } else {
      ++seen.strangers;
    }
  }
  return seen;
}

double most(const std::vector<Json>& samples) {
  double most = 0;
  for (const Json& sample : samples) {
    double sum = 0;
    for (const auto& [series, value] : sample.at("args").items()) sum += value.get<double>();
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace

TEST_CASE("Chrome's trace: every slice has its track, and none overlaps another") {
  for (const std::string& request : {offload, std::string("--topology 2x8xH100 --strategy hsdp --model llama-3-8b"),
                                     std::string("--topology 2xRTX-3090 --strategy device-map --peft lora")}) {
    INFO(request);
    const Chrome seen = read_chrome(Json::parse(traced(request, "t.json")));
    CHECK(seen.slices > 1000);
    CHECK(seen.overlaps == 0);
    CHECK(seen.strangers == 0);
    std::set<int> named;
    for (const auto& [id, thread] : seen.threads) {
      CHECK_FALSE(thread.name.empty());
      named.insert(id.first);
    }
    for (const int pid : named) CHECK(seen.processes.count(pid) == 1);
  }
}

TEST_CASE("Chrome's trace: each arrow leaves a slice and reaches a later one of another track") {
  const Chrome seen = read_chrome(Json::parse(traced(offload, "t.json")));
  REQUIRE(seen.flows.size() > 100);
  std::size_t wrong = 0;
  for (const auto& [id, ends] : seen.flows) {
    const bool whole =
        ends.size() == 2 && ends[0].at("ph") == "s" && ends[1].at("ph") == "f" && ends[1].at("bp") == "e";
    if (!whole) {
      ++wrong;
      continue;
    }
    const auto end_of = [&](const Json& end) {
      const Thread& thread = seen.threads.at({end.at("pid"), end.at("tid")});
      const auto slice = thread.slices.find(picoseconds(end.at("ts")));
      return slice == thread.slices.end() ? -1 : slice->second;
    };
    wrong += end_of(ends[0]) < 0 || end_of(ends[1]) < 0 || end_of(ends[0]) > picoseconds(ends[1].at("ts")) ||
             ends[0].at("tid") == ends[1].at("tid");
  }
  CHECK(wrong == 0);
}

TEST_CASE("Chrome's trace: the counters peak where the report says") {
  const Chrome seen = read_chrome(Json::parse(traced(offload, "t.json")));
  const Json report = report_of(offload);
  const Json& device = report["devices"][0];
  CHECK(seen.processes.at(1) == "gpu0-gpu3 (A100-SXM4-80GB)");
  CHECK(most(seen.counters.at({1, "memory (bytes)"})) == device["peak_allocated_bytes"].get<double>());
  CHECK(most(seen.counters.at({1, "reserved (bytes)"})) == device["peak_reserved_bytes"].get<double>());
  CHECK(most(seen.counters.at({2, "memory (bytes)"})) == report["hosts"][0]["peak_bytes"].get<double>());
  std::size_t wrong = 0;
  for (const auto& [name, samples] : seen.counters) {
    std::int64_t before = -1;
    for (const Json& sample : samples) {
      wrong += picoseconds(sample.at("ts")) <= before;
      before = picoseconds(sample.at("ts"));
      for (const auto& [series, value] : sample.at("args").items()) wrong += value.get<double>() < 0;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("a link never carries more than its datasheet says") {
  const Json report = report_of(offload);
  const Chrome seen = read_chrome(Json::parse(traced(offload, "t.json")));
  std::size_t links = 0;
  for (const Json& link : report["links"]) {
    for (const auto& [name, samples] : seen.counters) {
      const std::string id = link["kind"].get<std::string>() + " " + link["id"].get<std::string>();
      if (name.second.rfind(id + " ", 0) != 0) continue;
      ++links;
      CHECK(most(samples) > 0);
      CHECK(most(samples) * 1e9 <= link["bandwidth_Bps"].get<double>() * (1 + 1e-9));
    }
  }
  CHECK(links > 3);
}

TEST_CASE("the compressed trace is the plain one, compressed") {
  const std::string plain = traced(offload, "t.json");
  const std::string packed = traced(offload, "t.json.gz");
  CHECK(packed.size() < plain.size() / 5);
  CHECK(gunzipped(scratch().file("t.json.gz")) == plain);
  CHECK(traced(offload, "t.json.gz") == packed);
}

namespace {

/// TrackEvents of one track, in the order of the file.
struct PerfettoTrack {
  std::string name;
  std::uint64_t parent = 0;
  bool is_process = false, is_thread = false, is_counter = false;
  std::size_t begun = 0, ended = 0, samples = 0, wrong = 0;
  std::uint64_t last = 0;
};

struct Perfetto {
  std::map<std::uint64_t, PerfettoTrack> tracks;
  std::map<std::uint64_t, int> leaving, reaching;
  std::size_t strangers = 0;
};

std::string text_of(protozero::pbf_reader message, protozero::pbf_tag_type field) {
  while (message.next()) {
    if (message.tag() == field) return message.get_string();
    message.skip();
  }
  return "";
}

void read_descriptor(protozero::pbf_reader message, Perfetto& seen) {
  PerfettoTrack track;
  std::uint64_t uuid = 0;
  while (message.next()) {
    switch (message.tag()) {
      case 1:
        uuid = message.get_uint64();
        break;
      case 2:
        track.name = message.get_string();
        break;
      case 3:
        track.is_process = true;
        track.name = text_of(message.get_message(), 6);
        break;
      case 4:
        track.is_thread = true;
        track.name = text_of(message.get_message(), 5);
        break;
      case 5:
        track.parent = message.get_uint64();
        break;
      case 8:
        track.is_counter = true;
        message.skip();
        break;
      default:
        ++seen.strangers;
        message.skip();
    }
  }
  seen.strangers += uuid == 0 || seen.tracks.count(uuid) != 0;
  seen.tracks[uuid] = track;
}

void read_event(protozero::pbf_reader message, std::uint64_t time, Perfetto& seen) {
  int type = 0;
  std::uint64_t uuid = 0;
  std::string name;
  while (message.next()) {
    switch (message.tag()) {
      case 9:
        type = message.get_int32();
        break;
      case 11:
        uuid = message.get_uint64();
        break;
      case 23:
        name = message.get_string();
        break;
      case 47:
        ++seen.leaving[message.get_fixed64()];
        break;
      case 48:
        ++seen.reaching[message.get_fixed64()];
        break;
      default:
        message.skip();
    }
  }
  PerfettoTrack& track = seen.tracks[uuid];  // described before
  track.wrong += time < track.last || track.name.empty();
  track.last = time;
  if (type == 1) {
    track.wrong += track.begun != track.ended || name.empty() || !track.is_thread;
    ++track.begun;
  } else if (type == 2) {
    ++track.ended;
    track.wrong += track.begun != track.ended;
  } else {
    track.wrong += type != 4 || !track.is_counter;
    ++track.samples;
  }
}

Perfetto read_perfetto(const std::string& bytes) {
  Perfetto seen;
  protozero::pbf_reader trace(bytes);
  while (trace.next()) {
    REQUIRE(trace.tag() == 1);
    protozero::pbf_reader packet = trace.get_message();
    std::uint64_t time = 0;
    std::uint32_t sequence = 0;
    while (packet.next()) {
      switch (packet.tag()) {
        case 8:
          time = packet.get_uint64();
          break;
        case 10:
          sequence = packet.get_uint32();
          break;
        case 11:
          read_event(packet.get_message(), time, seen);
          break;
        case 60:
          read_descriptor(packet.get_message(), seen);
          break;
        default:
          ++seen.strangers;
          packet.skip();
      }
    }
    seen.strangers += sequence == 0;
  }
  return seen;
}

}  // namespace

TEST_CASE("Perfetto's trace: every packet, track, slice and arrow is as its protocol says") {
  const Perfetto seen = read_perfetto(traced(offload, "t.pftrace"));
  CHECK(seen.strangers == 0);
  std::size_t slices = 0, samples = 0, processes = 0;
  for (const auto& [uuid, track] : seen.tracks) {
    INFO(track.name);
    CHECK(track.wrong == 0);
    CHECK(track.begun == track.ended);
    if (track.is_process) {
      ++processes;
    } else {
      REQUIRE(seen.tracks.count(track.parent) == 1);
      CHECK(seen.tracks.at(track.parent).is_process);
    }
    slices += track.begun;
    samples += track.samples;
  }
  CHECK(processes == 3);
  CHECK(samples > 1000);
  CHECK(seen.leaving.size() > 100);
  CHECK(seen.leaving == seen.reaching);
  for (const auto& [id, count] : seen.leaving) REQUIRE(count == 1);

  const Chrome same = read_chrome(Json::parse(traced(offload, "t.json")));
  CHECK(slices == same.slices);
  CHECK(seen.leaving.size() == same.flows.size());
}

TEST_CASE("a trace whose format nobody can tell is refused before anything is simulated") {
  const Run made = run(offload + " --trace run.txt");
  CHECK(made.status == 2);
  CHECK(made.out == "");
  CHECK(made.err.find(".json, .json.gz or .pftrace") != std::string::npos);
  const Run elsewhere = run(offload + " --trace /no/such/folder/run.json");
  CHECK(elsewhere.status == 2);
  CHECK(elsewhere.err.find("--trace") != std::string::npos);
}
