// What to change: the ladder of changes that people go down when a run does not fit, and the search for a faster or
// cheaper run when it does. Every rung is a simulation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/request/option_text.hpp"
#include "sim/search/evaluate.hpp"

namespace shardsim {

struct Rung {
  std::string change;  ///< "activation checkpointing"
  OptionTexts before;  ///< the options that the change was made to
  OptionTexts options;
  PointResult result;
  bool trains_less = false;  ///< an adapter in place of the model
  bool kept = true;          ///< the rungs below stand on it
  std::string remark = {};   ///< "no help", "needs 325 GB of host RAM"
};

/// The largest that still fit, each by itself, with all else as in `options`.
struct Largest {
  std::optional<std::int64_t> micro_batch, seq_len;
  std::string model;  ///< of the zoo, by parameters; empty: none
};

struct Advice {
  std::vector<Rung> ladder;               ///< the first is the request as it is
  std::optional<std::size_t> chosen;      ///< absent: nothing fits
  std::vector<std::size_t> alternatives;  ///< others that fit, at most two
  std::optional<std::size_t> nearest;     ///< where nothing fits: what lacks least, or trains less and fits
  Largest largest;                        ///< of the chosen one
};

enum class Aim : std::uint8_t { fit, faster, cheaper };

/// Aim::fit goes down the ladder: a 16-bit precision; activation checkpointing; a loss without whole logits; an 8-bit
/// optimizer; a smaller micro-batch with as much more accumulation; more sharding; adapters (shown, never chosen for
/// who asked for a full fine-tune); CPU offload; more host RAM; drives; more GPUs. It stops at the first rung that
/// fits. The others climb from a run that fits, taking the best single change until none helps. Throws InputError for a
/// request that is wrong as it is, and for Aim::cheaper where no price is known.
Advice advise(const OptionTexts& request, Aim aim, Evaluator& evaluator, const std::vector<std::string>& zoo);

/// "shardsim --topology 4xA100 --strategy zero3", quoted for a shell.
std::string command_line(const OptionTexts& options);

}  // namespace shardsim
