// The five parts of a step's time with their names, in the order in which they are shown.
#pragma once

#include <array>
#include <string_view>

#include "sim/report/report.hpp"

namespace shardsim {

struct StepShare {
  std::string_view name;
  double seconds = 0;
};
inline std::array<StepShare, 5> step_shares(const StepReport& step) {
  return {{{"compute", step.compute_s},
           {"communication", step.exposed_communication_s},
           {"transfers", step.exposed_transfer_s},
           {"optimizer", step.optimizer_s},
           {"idle", step.idle_s}}};
}

}  // namespace shardsim
