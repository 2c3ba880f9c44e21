// What happened when a plan ran: when each task ran, what each memory held, what each link carried.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "model/core/units.hpp"
#include "sim/plan/plan.hpp"

namespace shardsim {

/// Later than every instant: a start or end that never came, because the plan deadlocked.
inline constexpr Time never{std::numeric_limits<std::int64_t>::max()};

struct Span {
  Time start;  ///< of a transfer: where its task arrived, so that waiting for partners and latency are included
  Time end;
};

/// The interval in which a transfer's bytes flowed, its latency passed.
struct FlowSpan {
  TransferId transfer;
  Time begin;
  Time end = never;
};

/// One pool's high-water mark over all simulated steps.
struct PoolPeak {
  std::int64_t allocated = 0;  ///< block sizes, as torch.cuda.max_memory_allocated counts them
  std::int64_t reserved = 0;   ///< segments held, as torch.cuda.max_memory_reserved counts them (own peak)
  std::array<std::int64_t, category_count> by_category{};  ///< at the allocated peak; sums to `allocated`
  Time instant;                                            ///< of the allocated peak, on the host thread
  std::uint32_t mark = 0;                                  ///< Program::marks in force then
  std::size_t instruction = 0;                             ///< Program::instructions: the allocation that reached it
  std::vector<TensorId> largest;                           ///< up to 20 live tensors at that instant, largest first
};

struct ProgramOutcome {
  std::vector<Span> spans;     ///< by TaskId
  std::vector<Time> instants;  ///< the host thread's clock after each instruction that it reached
  PoolPeak device;
  std::int64_t final_device_bytes = 0;    ///< live at the end
  std::vector<PoolPeak> device_by_stage;  ///< the device's peak inside each stage_of(): load, each step, save
  std::vector<Time> step_end;             ///< when the last task of each step was done
};

/// A host's high-water marks inside one stage of the run.
struct HostStage {
  std::int64_t peak = 0;  ///< pinned + pageable
  std::int64_t pinned_peak = 0;
};

struct HostOutcome {      ///< one host of a class: all its ranks together
  std::int64_t peak = 0;  ///< pinned + pageable
  std::int64_t pinned_at_peak = 0;
  std::int64_t pinned_peak = 0;
  std::array<std::int64_t, category_count> by_category{};  ///< at the peak
  /// By program of the class, in the plan's order: the instruction after which it stood at the peak; none: not begun.
  std::vector<std::optional<std::size_t>> at_peak;
  std::int64_t storage_peak = 0;
  std::vector<HostStage> by_stage;  ///< by stage_of()
};

struct LinkOutcome {  ///< one link of a class, in the last step
  double bytes = 0;
  Time busy;  ///< at least one transfer was flowing
};

/// Tasks that can never start, named: the plan waits for itself.
struct Deadlock {
  std::vector<std::string> waiting;
};

struct Outcome {
  std::vector<ProgramOutcome> programs;
  std::vector<HostOutcome> hosts;  ///< by host class
  std::vector<LinkOutcome> links;  ///< by PlanLink, last step only
  std::vector<FlowSpan> flows;     ///< of all steps, by begin; without the empty ones
  Time step_time;                  ///< end of the last step minus end of the one before (or minus 0)
  Time step_begin;                 ///< where the last step's window starts
  Time save_time;                  ///< from the end of the last step to the end of the last task that saves
  std::uint32_t slowest = 0;       ///< program whose last step ends last
  std::int64_t events = 0;         ///< processed by the engine, for benches
  std::vector<Deadlock> deadlock;  ///< empty: all tasks ran
};

}  // namespace shardsim
