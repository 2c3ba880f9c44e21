#include "sim/cost/constants.hpp"

namespace shardsim {

namespace {
CostConstants in_force;
}  // namespace

const CostConstants& cost_constants() { return in_force; }

TrialConstants::TrialConstants(const CostConstants& constants) : before_(in_force) { in_force = constants; }
TrialConstants::~TrialConstants() { in_force = before_; }

}  // namespace shardsim
