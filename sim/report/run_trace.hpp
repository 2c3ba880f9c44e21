// The whole run as the trace viewers draw it: processes with tracks of slices, counters, and arrows between slices.
// What Chrome's and Perfetto's formats are both written from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/outcome.hpp"
#include "sim/plan/plan.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

/// Something that a stream did. Slices of a track come by time and never overlap.
struct TraceSlice {
  std::string name;           ///< "q_proj"
  std::string_view category;  ///< "compute", "copy", "collective", ...; of static storage
  std::string where;          ///< "backward, layer 31"
  Time begin, end;
  double bytes = 0;  ///< that it moves over links
};

struct TraceTrack {
  std::string name;
  std::vector<TraceSlice> slices;
};

/// What a counter shows from an instant on: one value a series.
struct TraceSample {
  Time instant;
  std::vector<double> values;
};
struct TraceCounter {
  std::string name;
  std::string_view unit;  ///< "bytes", "GB/s"
  std::vector<std::string> series;
  std::vector<TraceSample> samples;  ///< by instant, each once
};

struct TraceProcess {
  std::string name;
  std::vector<TraceTrack> tracks;
  std::vector<TraceCounter> counters;
};

/// The later slice waited for the earlier one, which ran on another track of the same process.
struct TraceFlow {
  struct End {
    std::size_t track = 0, slice = 0;
  };
  std::size_t process = 0;
  End from, to;
};

struct RunTrace {
  std::vector<TraceProcess> processes;
  std::vector<TraceFlow> flows;
};

/// A process for each group of equal ranks (a track a stream, one for the host thread's place in the program and one
/// for its waits, memory by category), one for each class of hosts (memory by category), and one for the links (rates).
/// Instants are those of the run, from loading on; what takes no time is left out.
RunTrace make_run_trace(const Plan& plan, const Topology& topology, const Outcome& outcome);

/// Chrome's Trace Event Format, as chrome://tracing and https://ui.perfetto.dev read it.
std::string render_chrome_trace(const RunTrace& trace);
/// Perfetto's protobuf, TrackEvents.
std::string render_perfetto_trace(const RunTrace& trace);

}  // namespace shardsim
