#include "sim/verbs/on_ranks.hpp"

#include "model/core/error.hpp"

namespace shardsim {

ExitStatus on_ranks(const std::function<ExitStatus(Ranks&)>& verb) {
  Ranks ranks;
  try {
    return verb(ranks);
  } catch (const InputError&) {
    if (ranks.first()) throw;
    return ExitStatus::wrong_request;
  } catch (const std::exception& fault) {
    // The others wait for this rank, and would for ever.
    if (ranks.size() > 1) ranks.abort(fault.what(), static_cast<int>(ExitStatus::internal_fault));
    throw;
  }
}

std::optional<ExitStatus> on_first(Ranks& ranks, const std::function<std::optional<ExitStatus>()>& decide) {
  constexpr int go_on = -1;
  std::optional<ExitStatus> status;
  if (ranks.first()) {
    try {
      status = decide();
    } catch (const InputError&) {
      ranks.broadcast(static_cast<int>(ExitStatus::wrong_request));
      throw;
    }
  }
  const int said = ranks.broadcast(status ? static_cast<int>(*status) : go_on);
  return said == go_on ? std::nullopt : std::optional(static_cast<ExitStatus>(said));
}

}  // namespace shardsim
