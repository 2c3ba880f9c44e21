// Traces that PyTorch's own CUDACachingAllocator replayed (tests/oracle/allocator), through ours: what is allocated and
// what is reserved must be equal after every operation.
#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "recording.hpp"
#include "sim/engine/caching_allocator.hpp"

using namespace shardsim;

namespace {

struct Operation {
  char kind = 0;
  std::int64_t first = 0, second = 0;
  std::int64_t allocated = 0, reserved = 0;  ///< by how much they changed
  bool out_of_memory = false;
};

struct RecordedTrace {
  std::string name, allocator;
  std::int64_t device_bytes = 0, available = 0;
  std::vector<Operation> operations;
};

Operation read_operation(const std::string& line) {
  std::istringstream words(line);
  Operation op;
  words >> op.kind;
  if (op.kind != 'c') words >> op.first;
  if (op.kind == '+' || op.kind == 'r') words >> op.second;
  if (op.kind == 'e' && !(words >> op.second)) words.clear();
  op.out_of_memory = line.find("out of memory") != std::string::npos;
  if (!op.out_of_memory) words >> op.allocated >> op.reserved;
  return op;
}

std::vector<RecordedTrace> read_traces(const std::string& file) {
  std::ifstream in(std::string(SHARDSIM_SOURCE "/tests/oracle/data/") + file);
  REQUIRE(in);
  std::vector<RecordedTrace> traces;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("trace ")) {
      RecordedTrace& trace = traces.emplace_back();
      std::string word;
      std::istringstream(line) >> word >> trace.name >> trace.allocator >> trace.device_bytes >> trace.available;
    } else {
      traces.back().operations.push_back(read_operation(line));
    }
  }
  return traces;
}

/// For each release, the operation at which its other users are done; 0: it has none.
std::vector<std::size_t> find_ends(const RecordedTrace& trace) {
  constexpr std::int64_t all = 0;
  std::vector<std::size_t> ends(trace.operations.size()), waits(trace.operations.size());
  std::map<std::int64_t, std::set<std::int64_t>> users;       // by block
  std::map<std::int64_t, std::vector<std::size_t>> releases;  // by stream, those that wait for it, in their order
  std::map<std::int64_t, std::size_t> done;                   // by stream, how many of them do not wait any more
  for (std::size_t i = 0; i < trace.operations.size(); ++i) {
    const Operation& op = trace.operations[i];
    if (op.kind == 'r') users[op.first].insert(op.second);
    if (op.kind == '-' && !users[op.first].empty()) {
      ends[i] = trace.operations.size();
      waits[i] = users[op.first].size();
      for (const std::int64_t stream : users[op.first]) releases[stream].push_back(i);
    }
    if (op.kind != 'e') continue;
    const std::vector<std::size_t>& waiting = releases[op.first];
    const std::size_t count = op.second == all ? waiting.size() : static_cast<std::size_t>(op.second);
    for (std::size_t& next = done[op.first]; next < count; ++next) {
      if (--waits[waiting.at(next)] == 0) ends[waiting.at(next)] = i;
    }
  }
  return ends;
}

Time instant(std::size_t operation) { return Time(static_cast<std::int64_t>(operation)); }

std::size_t streams_of(const RecordedTrace& trace) {
  std::int64_t last = 0;
  for (const Operation& op : trace.operations) {
    if (op.kind == '+') last = std::max(last, op.first);
  }
  return static_cast<std::size_t>(last) + 1;
}

struct Replayed {
  std::int64_t equal = 0;             ///< operations until allocated or reserved bytes differ
  std::int64_t ours = 0, theirs = 0;  ///< peak reserved
};

/// Plays the whole trace, or up to the first operation that leaves other bytes than PyTorch's allocator has.
Replayed replay(const RecordedTrace& trace) {
  using Segments = CachingAllocator::Segments;
  CachingAllocator allocator(streams_of(trace), trace.available,
                             trace.allocator == "expandable" ? Segments::expandable : Segments::fixed,
                             trace.device_bytes);
  const std::vector<std::size_t> ends = find_ends(trace);
  std::vector<BlockId> blocks;
  std::int64_t allocated = 0, reserved = 0;
  Replayed result;
  for (std::size_t i = 0; i < trace.operations.size(); ++i, ++result.equal) {
    const Operation& op = trace.operations[i];
    if (op.kind == '+') {
      blocks.push_back(allocator.allocate(StreamId(static_cast<std::size_t>(op.first)), op.second, instant(i)));
    } else if (op.kind == '-') {
      allocator.release(blocks.at(static_cast<std::size_t>(op.first)), instant(ends[i]));
    } else if (op.kind == 'c') {
      allocator.release_cached_segments();
    }
    // We take what is not there, too; the trace ends.
    if (op.out_of_memory != (allocator.reserved() > trace.available)) return result;
    if (op.out_of_memory) continue;
    allocated += op.allocated;
    reserved += op.reserved;
    result.theirs = std::max(result.theirs, reserved);
    result.ours = std::max(result.ours, allocator.reserved());
    if (allocator.allocated() != allocated || allocator.reserved() != reserved) return result;
  }
  return result;
}

}  // namespace

std::vector<oracle::Row> oracle::allocator() {
  std::vector<Row> rows;
  for (const char* file : {"allocator_random.trace", "allocator_plans.trace"}) {
    for (const RecordedTrace& trace : read_traces(file)) {
      const Replayed replayed = replay(trace);
      rows.push_back({trace.name, trace.allocator + " operations that leave the same", replayed.equal,
                      static_cast<std::int64_t>(trace.operations.size()), 0, ""});
      rows.push_back({trace.name, "peak reserved", replayed.ours, replayed.theirs, 0, ""});
    }
  }
  return rows;
}

TEST_CASE("traces leave PyTorch's allocator and ours with the same bytes after every operation") {
  const std::vector<oracle::Row> rows = oracle::allocator();
  REQUIRE(rows.size() >= 2 * (28 + 20));
  oracle::check(rows);
}

TEST_CASE("the traces go where the rules differ") {
  std::map<std::string, std::size_t> kinds, out_of_memory;
  for (const RecordedTrace& trace : read_traces("allocator_random.trace")) {
    for (const Operation& op : trace.operations) ++kinds[trace.allocator + op.kind];
    if (trace.operations.back().out_of_memory) ++out_of_memory[trace.allocator];
  }
  for (const std::string allocator : {"caching", "expandable"}) {
    CHECK(kinds[allocator + '+'] > 8000);
    CHECK(kinds[allocator + 'r'] > 500);
    CHECK(kinds[allocator + 'e'] > 500);
    CHECK(kinds[allocator + 'c'] > 50);
    CHECK(out_of_memory[allocator] >= 2);
  }
}
