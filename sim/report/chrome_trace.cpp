// Trace Event Format: "X" slices, "C" counters, "s" and "f" arrows, "M" names. Times are microseconds.
#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "sim/report/json_text.hpp"
#include "sim/report/run_trace.hpp"

namespace shardsim {

namespace {

std::string quoted(const std::string& text) { return json_text(nlohmann::json(text)); }

/// Exact: a picosecond is the sixth digit behind the point.
std::string microseconds(Time time) {
  constexpr std::int64_t parts = 1'000'000;
  return fmt::format("{}.{:06}", time.picoseconds() / parts, time.picoseconds() % parts);
}

class ChromeWriter {
 public:
  explicit ChromeWriter(const RunTrace& trace) : trace_(trace) {}

  std::string write() && {
    for (std::size_t p = 0; p < trace_.processes.size(); ++p) write_process(p, trace_.processes[p]);
    for (std::size_t f = 0; f < trace_.flows.size(); ++f) write_flow(f, trace_.flows[f]);
    return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + events_ + "\n]}\n";
  }

 private:
  // Numbers of processes and threads begin with 1: 0 is the idle process to some viewers.
  static std::size_t number(std::size_t index) { return index + 1; }

  template <class... Values>
  void event(fmt::format_string<Values...> format, Values&&... values) {
    if (!events_.empty()) events_ += ",\n";
    fmt::format_to(std::back_inserter(events_), format, std::forward<Values>(values)...);
  }

  void write_process(std::size_t p, const TraceProcess& process) {
    const std::size_t pid = number(p);
    event(R"({{"ph":"M","name":"process_name","pid":{},"args":{{"name":{}}}}})", pid, quoted(process.name));
    event(R"({{"ph":"M","name":"process_sort_index","pid":{},"args":{{"sort_index":{}}}}})", pid, p);
    for (std::size_t t = 0; t < process.tracks.size(); ++t) {
      const std::size_t tid = number(t);
      event(R"({{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":{}}}}})", pid, tid,
            quoted(process.tracks[t].name));
      event(R"({{"ph":"M","name":"thread_sort_index","pid":{},"tid":{},"args":{{"sort_index":{}}}}})", pid, tid, t);
      for (const TraceSlice& slice : process.tracks[t].slices) write_slice(pid, tid, slice);
    }
    for (const TraceCounter& counter : process.counters) write_counter(pid, counter);
  }

  void write_slice(std::size_t pid, std::size_t tid, const TraceSlice& slice) {
    const std::string bytes = slice.bytes > 0 ? fmt::format(",\"bytes\":{:.0f}", slice.bytes) : "";
    event(R"({{"ph":"X","name":{},"cat":"{}","pid":{},"tid":{},"ts":{},"dur":{},"args":{{"where":{}{}}}}})",
          quoted(slice.name), slice.category, pid, tid, microseconds(slice.begin),
          microseconds(slice.end - slice.begin), quoted(slice.where), bytes);
  }

  void write_counter(std::size_t pid, const TraceCounter& counter) {
    for (const TraceSample& sample : counter.samples) {
      std::string values;
      for (std::size_t s = 0; s < counter.series.size(); ++s) {
        values += fmt::format("{}{}:{}", s > 0 ? "," : "", quoted(counter.series[s]), sample.values[s]);
      }
      event(R"({{"ph":"C","name":{},"pid":{},"ts":{},"args":{{{}}}}})",
            quoted(fmt::format("{} ({})", counter.name, counter.unit)), pid, microseconds(sample.instant), values);
    }
  }

  /// An arrow is bound to the slice that runs at its time.
  void write_flow(std::size_t id, const TraceFlow& flow) {
    const std::vector<TraceTrack>& tracks = trace_.processes[flow.process].tracks;
    const auto end = [&](const char* phase, const TraceFlow::End& at, const char* binding) {
      event(R"({{"ph":"{}","name":"waits","cat":"dependency","id":{},"pid":{},"tid":{},"ts":{}{}}})", phase, id,
            number(flow.process), number(at.track), microseconds(tracks[at.track].slices[at.slice].begin), binding);
    };
    end("s", flow.from, "");
    end("f", flow.to, R"(,"bp":"e")");
  }

  const RunTrace& trace_;
  std::string events_;
};

}  // namespace

std::string render_chrome_trace(const RunTrace& trace) { return ChromeWriter(trace).write(); }

}  // namespace shardsim
