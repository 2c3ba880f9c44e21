// The five parts that a step's time splits into.
#pragma once

#include <array>
#include <string_view>

#include "sim/report/report.hpp"

namespace shardsim {

struct StepPart {
  std::string_view name;
  double seconds = 0;
};
inline std::array<StepPart, 5> step_parts(const StepReport& step) {
  return {{{"compute", step.compute_s},
           {"communication", step.exposed_communication_s},
           {"transfers", step.exposed_transfer_s},
           {"optimizer", step.optimizer_s},
           {"idle", step.idle_s}}};
}

}  // namespace shardsim
