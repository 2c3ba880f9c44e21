// Perfetto's trace protocol: a sequence of TracePackets with TrackDescriptors and TrackEvents. Times are nanoseconds,
// rounded down, so that slices that touch still touch.
#include <fmt/format.h>

#include <limits>
#include <map>
#include <protozero/pbf_builder.hpp>

#include "sim/report/run_trace.hpp"

namespace shardsim {

namespace {

// Field numbers of protos/perfetto/trace/trace.proto, trace_packet.proto and track_event/*.proto.
enum class TraceField : protozero::pbf_tag_type { packet = 1 };
enum class Packet : protozero::pbf_tag_type {
  timestamp = 8,
  trusted_packet_sequence_id = 10,
  track_event = 11,
  track_descriptor = 60,
};
enum class Track : protozero::pbf_tag_type {
  uuid = 1,
  name = 2,
  process = 3,
  thread = 4,
  parent_uuid = 5,
  counter = 8
};
enum class Process : protozero::pbf_tag_type { pid = 1, process_name = 6 };
enum class Thread : protozero::pbf_tag_type { pid = 1, tid = 2, thread_name = 5 };
enum class Counter : protozero::pbf_tag_type { unit = 3, unit_name = 6 };
enum class Event : protozero::pbf_tag_type {
  debug_annotations = 4,
  type = 9,
  track_uuid = 11,
  categories = 22,
  name = 23,
  double_counter_value = 44,
  flow_ids = 47,
  terminating_flow_ids = 48,
};
enum class Annotation : protozero::pbf_tag_type { double_value = 5, string_value = 6, name = 10 };
enum EventType : std::int32_t { slice_begin = 1, slice_end = 2, counter_value = 4 };
constexpr std::int32_t unit_size_bytes = 3;

template <class Field>
using Message = protozero::pbf_builder<Field>;

std::uint64_t nanoseconds(Time time) { return static_cast<std::uint64_t>(time.picoseconds() / 1000); }

/// The arrows that leave a slice and those that reach it, by process, track and slice.
struct SliceFlows {
  std::vector<std::uint64_t> from, to;
};
using Flows = std::map<std::tuple<std::size_t, std::size_t, std::size_t>, SliceFlows>;

class PerfettoWriter {
 public:
  explicit PerfettoWriter(const RunTrace& trace) : trace_(trace) {
    for (std::size_t f = 0; f < trace.flows.size(); ++f) {
      const TraceFlow& flow = trace.flows[f];
      flows_[{flow.process, flow.from.track, flow.from.slice}].from.push_back(f + 1);
      flows_[{flow.process, flow.to.track, flow.to.slice}].to.push_back(f + 1);
    }
  }

  std::string write() && {
    for (std::size_t p = 0; p < trace_.processes.size(); ++p) write_process(p);
    return std::move(bytes_);
  }

 private:
  template <class Fill>
  void packet(Fill fill) {
    Message<TraceField> trace(bytes_);
    Message<Packet> packet(trace, TraceField::packet);
    packet.add_uint32(Packet::trusted_packet_sequence_id, 1);
    fill(packet);
  }

  template <class Fill>
  void event(Time time, EventType type, std::uint64_t track, Fill fill) {
    packet([&](Message<Packet>& packet) {
      packet.add_uint64(Packet::timestamp, nanoseconds(time));
      Message<Event> event(packet, Packet::track_event);
      event.add_int32(Event::type, type);
      event.add_uint64(Event::track_uuid, track);
      fill(event);
    });
  }

  std::uint64_t new_track() { return ++tracks_; }

  void write_process(std::size_t p) {
    const TraceProcess& process = trace_.processes[p];
    const auto pid = static_cast<std::int32_t>(p + 1);
    const std::uint64_t parent = new_track();
    packet([&](Message<Packet>& packet) {
      Message<Track> track(packet, Packet::track_descriptor);
      track.add_uint64(Track::uuid, parent);
      Message<Process> described(track, Track::process);
      described.add_int32(Process::pid, pid);
      described.add_string(Process::process_name, process.name);
    });
    for (std::size_t t = 0; t < process.tracks.size(); ++t) write_track(p, t, pid, parent);
    for (const TraceCounter& counter : process.counters) {
      for (std::size_t s = 0; s < counter.series.size(); ++s) write_counter(counter, s, parent);
    }
  }

  void write_track(std::size_t p, std::size_t t, std::int32_t pid, std::uint64_t parent) {
    const TraceTrack& drawn = trace_.processes[p].tracks[t];
    const std::uint64_t uuid = new_track();
    packet([&](Message<Packet>& packet) {
      Message<Track> track(packet, Packet::track_descriptor);
      track.add_uint64(Track::uuid, uuid);
      track.add_uint64(Track::parent_uuid, parent);
      Message<Thread> thread(track, Track::thread);
      thread.add_int32(Thread::pid, pid);
      // Thread numbers are one space over all processes; the first of a process would be its main thread.
      thread.add_int32(Thread::tid, static_cast<std::int32_t>(1000 * static_cast<std::size_t>(pid) + t + 1));
      thread.add_string(Thread::thread_name, drawn.name);
    });
    for (std::size_t s = 0; s < drawn.slices.size(); ++s) write_slice(uuid, drawn.slices[s], {p, t, s});
  }

  void write_slice(std::uint64_t track, const TraceSlice& slice, const Flows::key_type& place) {
    event(slice.begin, slice_begin, track, [&](Message<Event>& event) {
      event.add_string(Event::name, slice.name);
      event.add_string(Event::categories, slice.category.data(), slice.category.size());
      if (const auto flows = flows_.find(place); flows != flows_.end()) {
        for (const std::uint64_t id : flows->second.from) event.add_fixed64(Event::flow_ids, id);
        for (const std::uint64_t id : flows->second.to) event.add_fixed64(Event::terminating_flow_ids, id);
      }
      {
        Message<Annotation> where(event, Event::debug_annotations);
        where.add_string(Annotation::name, "where");
        where.add_string(Annotation::string_value, slice.where);
      }
      if (slice.bytes <= 0) return;
      Message<Annotation> bytes(event, Event::debug_annotations);
      bytes.add_string(Annotation::name, "bytes");
      bytes.add_double(Annotation::double_value, slice.bytes);
    });
    event(slice.end, slice_end, track, [](Message<Event>&) {});
  }

  /// A track a series; only changes are written.
  void write_counter(const TraceCounter& counter, std::size_t series, std::uint64_t parent) {
    const std::uint64_t uuid = new_track();
    const std::string& of = counter.series[series];
    const std::string name = counter.series.size() == 1 ? counter.name : fmt::format("{}: {}", counter.name, of);
    packet([&](Message<Packet>& packet) {
      Message<Track> track(packet, Packet::track_descriptor);
      track.add_uint64(Track::uuid, uuid);
      track.add_uint64(Track::parent_uuid, parent);
      track.add_string(Track::name, name);
      Message<Counter> described(track, Track::counter);
      if (counter.unit == "bytes") {
        described.add_int32(Counter::unit, unit_size_bytes);
      } else {
        described.add_string(Counter::unit_name, counter.unit.data(), counter.unit.size());
      }
    });
    double before = std::numeric_limits<double>::quiet_NaN();
    for (const TraceSample& sample : counter.samples) {
      if (sample.values[series] == before) continue;
      before = sample.values[series];
      event(sample.instant, counter_value, uuid,
            [&](Message<Event>& event) { event.add_double(Event::double_counter_value, before); });
    }
  }

  const RunTrace& trace_;
  Flows flows_;
  std::string bytes_;
  std::uint64_t tracks_ = 0;
};

}  // namespace

std::string render_perfetto_trace(const RunTrace& trace) { return PerfettoWriter(trace).write(); }

}  // namespace shardsim
