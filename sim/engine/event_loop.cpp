#include "sim/engine/event_loop.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "model/core/check.hpp"
#include "sim/engine/max_min.hpp"

namespace shardsim {

namespace {

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

/// What is below the rounding noise of an amount counted down in doubles is not a byte that is left to move.
constexpr double noise = 4 * std::numeric_limits<double>::epsilon();

/// A task, numbered over all programs.
struct TaskState {
  Time ready;  ///< latest of the ends and instants known so far that it waits for
  Time duration;
  std::uint32_t unknown = 0;          ///< how many that it waits for are not known yet
  std::uint32_t first_waiter = none;  ///< list in waiters_
  std::uint32_t transfer = none;
  std::uint32_t next_participant = none;
};

struct TransferState {
  Time ready;  ///< all that have arrived are through with their fixed part
  std::uint32_t arrived = 0;
  std::uint32_t first_participant = none;
};

/// Waits for a task's end: a task, or (numbered after all tasks) a host thread.
struct Waiter {
  std::uint32_t target = none;
  std::uint32_t next = none;
};

struct Host {
  const Program* program = nullptr;
  std::uint32_t first_task = 0;  ///< number of the program's task 0
  std::size_t next = 0;          ///< instruction
  Time clock;
  std::vector<std::uint32_t> last_on_stream;
  std::vector<Time> instants;
};

struct Begin {
  Time instant;
  std::uint32_t transfer;
  auto operator<=>(const Begin&) const = default;
};

/// A transfer whose bytes flow. `remaining` is as of `since`, when the rate last changed.
struct ActiveFlow {
  double remaining = 0;
  double rate = 0;
  Time since;
  std::uint32_t span = none;  ///< in Timeline::flows
};

class EventLoop {
 public:
  EventLoop(const Plan& plan, const Delays& delays);
  Timeline play();

 private:
  void run_host(std::uint32_t host);
  void launch(Host& host, const Task& task, std::uint32_t number);
  void wait_for(std::uint32_t before, std::uint32_t number);
  void start(std::uint32_t number);
  void arrive(std::uint32_t number);
  void end_task(std::uint32_t number, Time end);
  void settle();

  Time next_instant() const;
  void end_flows(Time now);
  void begin_flows(Time now);
  void share_links(Time now);
  void end_transfer(std::uint32_t transfer, Time now);

  const Plan& plan_;
  std::vector<Host> hosts_;
  std::vector<TaskState> tasks_;
  std::vector<Span> spans_;
  std::vector<Waiter> waiters_;
  std::size_t running_ = 0;           ///< tasks whose end is not known
  std::vector<std::uint32_t> ended_;  ///< tasks whose end is known and not yet told
  std::vector<TransferState> transfers_;
  std::vector<Begin> begins_;  ///< heap, earliest first
  MaxMin rates_;
  std::vector<ActiveFlow> flows_;  ///< by slot of rates_
  std::vector<Time> flow_ends_;    ///< by slot; `never` where the slot is vacant or the flow stands still
  Timeline timeline_;
};

std::vector<double> capacities(const Plan& plan) {
  std::vector<double> all;
  for (const PlanLink& link : plan.links) all.push_back(link.capacity);
  return all;
}

EventLoop::EventLoop(const Plan& plan, const Delays& delays)
    : plan_(plan), transfers_(plan.transfers.size()), rates_(capacities(plan)) {
  std::size_t tasks = 0, edges = 0;
  for (const Program& program : plan.programs) {
    Host host;
    host.program = &program;
    host.first_task = static_cast<std::uint32_t>(tasks);
    host.last_on_stream.assign(program.streams.size(), none);
    host.instants.resize(program.instructions.size());
    hosts_.push_back(std::move(host));
    tasks += program.tasks.size();
    edges += program.tasks.size() + program.waits.size();
  }
  SHARDSIM_CHECK(tasks + hosts_.size() < none, "tasks are numbered in 32 bits");
  tasks_.resize(tasks);
  for (std::size_t p = 0; p < delays.size(); ++p) {
    for (std::size_t t = 0; t < delays[p].size(); ++t) tasks_[hosts_[p].first_task + t].duration = delays[p][t];
  }
  running_ = tasks;
  spans_.assign(tasks, Span{never, never});
  waiters_.reserve(edges);
  ended_.reserve(tasks);
  timeline_.flows.reserve(plan.transfers.size());
}

/// Two kinds of things happen, and they are kept apart:
/// - what follows from known ends alone (compute tasks, host threads, arrivals) is settled at once, however far it lies
///   ahead: an end is a maximum of known instants plus a duration, so the order of settling cannot change it;
/// - bytes that share links flow in time order, because each that comes or goes changes the rates of the others.
/// Invariants: between rounds `ended_` is empty and every end that can be known is known; no begin and no flow's end
/// lies before `now`, because whatever an end at `now` sets off lies at or after it; rates change only in share_links,
/// after all that happens at `now` has happened, completions first.
Timeline EventLoop::play() {
  for (std::uint32_t host = 0; host < hosts_.size(); ++host) run_host(host);
  settle();
  for (Time now = next_instant(); now != never; now = next_instant()) {
    end_flows(now);
    begin_flows(now);
    share_links(now);
  }
  timeline_.complete = running_ == 0;
  for (Host& host : hosts_) {
    timeline_.complete = timeline_.complete && host.next == host.program->instructions.size();
    timeline_.events += static_cast<std::int64_t>(host.next);
    host.instants.resize(host.next);
    const auto first = spans_.begin() + host.first_task;
    timeline_.programs.push_back(
        {{first, first + static_cast<std::ptrdiff_t>(host.program->tasks.size())}, std::move(host.instants)});
  }
  return std::move(timeline_);
}

/// Walks the host thread until it has to wait for a task whose end is not known yet.
void EventLoop::run_host(std::uint32_t index) {
  Host& host = hosts_[index];
  const Program& program = *host.program;
  for (; host.next < program.instructions.size(); ++host.next) {
    const Instruction instruction = program.instructions[host.next];
    const std::uint32_t number = host.first_task + instruction.index;
    if (instruction.kind == Instruction::Kind::launch) {
      launch(host, program.tasks[instruction.index], number);
    } else if (instruction.kind == Instruction::Kind::synchronize) {
      if (spans_[number].end == never) {
        waiters_.push_back({static_cast<std::uint32_t>(tasks_.size()) + index, tasks_[number].first_waiter});
        tasks_[number].first_waiter = static_cast<std::uint32_t>(waiters_.size() - 1);
        return;
      }
      host.clock = std::max(host.clock, spans_[number].end);
    }
    host.instants[host.next] = host.clock;
  }
}

void EventLoop::launch(Host& host, const Task& task, std::uint32_t number) {
  host.clock += task.issue;
  TaskState& state = tasks_[number];
  state.ready = host.clock;
  state.duration += task.duration;
  if (task.transfer.valid()) state.transfer = static_cast<std::uint32_t>(task.transfer.index());
  std::uint32_t& last = host.last_on_stream[task.stream.index()];
  if (last != none) wait_for(last, number);
  last = number;
  for (std::uint32_t i = task.waits_begin; i < task.waits_end; ++i) {
    wait_for(host.first_task + static_cast<std::uint32_t>(host.program->waits[i].index()), number);
  }
  if (state.unknown == 0) start(number);
}

void EventLoop::wait_for(std::uint32_t before, std::uint32_t number) {
  TaskState& state = tasks_[number];
  if (spans_[before].end != never) {
    state.ready = std::max(state.ready, spans_[before].end);
    return;
  }
  ++state.unknown;
  waiters_.push_back({number, tasks_[before].first_waiter});
  tasks_[before].first_waiter = static_cast<std::uint32_t>(waiters_.size() - 1);
}

void EventLoop::start(std::uint32_t number) {
  TaskState& state = tasks_[number];
  spans_[number].start = state.ready;
  if (state.transfer == none) {
    end_task(number, state.ready + state.duration);
  } else {
    arrive(number);
  }
}

void EventLoop::arrive(std::uint32_t number) {
  TaskState& state = tasks_[number];
  TransferState& transfer = transfers_[state.transfer];
  const Transfer& planned = plan_.transfers[state.transfer];
  SHARDSIM_CHECK(transfer.arrived < planned.participants, "no more tasks take part in a transfer than it says");
  transfer.ready = std::max(transfer.ready, state.ready + state.duration);
  state.next_participant = transfer.first_participant;
  transfer.first_participant = number;
  if (++transfer.arrived < planned.participants) return;
  begins_.push_back({transfer.ready + planned.latency, state.transfer});
  std::push_heap(begins_.begin(), begins_.end(), std::greater<>{});
}

void EventLoop::end_task(std::uint32_t number, Time end) {
  spans_[number].end = end;
  --running_;
  if (tasks_[number].first_waiter != none) ended_.push_back(number);
}

/// Tells every known end to those that wait for it.
void EventLoop::settle() {
  while (!ended_.empty()) {
    const std::uint32_t number = ended_.back();
    ended_.pop_back();
    for (std::uint32_t i = tasks_[number].first_waiter; i != none; i = waiters_[i].next) {
      const std::uint32_t target = waiters_[i].target;
      if (target >= tasks_.size()) {
        run_host(target - static_cast<std::uint32_t>(tasks_.size()));
        continue;
      }
      TaskState& waiting = tasks_[target];
      waiting.ready = std::max(waiting.ready, spans_[number].end);
      if (--waiting.unknown == 0) start(target);
    }
  }
}

Time EventLoop::next_instant() const {
  Time next = begins_.empty() ? never : begins_.front().instant;
  for (const Time end : flow_ends_) next = std::min(next, end);
  return next;
}

void EventLoop::end_flows(Time now) {
  for (MaxMin::Slot slot = 0; slot < flow_ends_.size(); ++slot) {
    if (flow_ends_[slot] != now) continue;
    flow_ends_[slot] = never;
    rates_.remove(slot);
    FlowSpan& span = timeline_.flows[flows_[slot].span];
    span.end = now;
    end_transfer(static_cast<std::uint32_t>(span.transfer.index()), now);
    ++timeline_.events;
  }
  settle();
}

/// What begins may set off more at the same instant: an empty transfer is over at once.
void EventLoop::begin_flows(Time now) {
  while (!begins_.empty() && begins_.front().instant == now) {
    std::pop_heap(begins_.begin(), begins_.end(), std::greater<>{});
    const std::uint32_t index = begins_.back().transfer;
    begins_.pop_back();
    ++timeline_.events;
    const Transfer& transfer = plan_.transfers[index];
    if (transfer.bytes == 0) {
      end_transfer(index, now);
      settle();
      continue;
    }
    const std::span<const TransferUse> uses(plan_.uses.data() + transfer.uses_begin,
                                            transfer.uses_end - transfer.uses_begin);
    const MaxMin::Slot slot = rates_.add(uses, transfer.weight, transfer.limit);
    if (slot == flows_.size()) {
      flows_.emplace_back();
      flow_ends_.push_back(never);
    }
    flows_[slot] = {transfer.bytes, 0, now, static_cast<std::uint32_t>(timeline_.flows.size())};
    timeline_.flows.push_back({TransferId(index), now, never});
  }
}

void EventLoop::share_links(Time now) {
  for (const MaxMin::Slot slot : rates_.solve()) {
    ActiveFlow& flow = flows_[slot];
    if (flow.rate > 0) flow.remaining -= flow.rate * (now - flow.since).seconds();
    flow.since = now;
    flow.rate = rates_.rate(slot);
    const double bytes = plan_.transfers[timeline_.flows[flow.span].transfer.index()].bytes;
    const double left = std::max(0.0, flow.remaining - noise * bytes);
    flow_ends_[slot] = flow.rate > 0 ? now + Time::from_seconds(left / flow.rate) : never;
  }
}

void EventLoop::end_transfer(std::uint32_t transfer, Time now) {
  for (std::uint32_t number = transfers_[transfer].first_participant; number != none;
       number = tasks_[number].next_participant) {
    end_task(number, now);
  }
}

}  // namespace

Timeline play(const Plan& plan, const Delays& delays) { return EventLoop(plan, delays).play(); }

}  // namespace shardsim
