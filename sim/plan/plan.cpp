#include "sim/plan/plan.hpp"

namespace shardsim {

std::string_view name_of(Category category) {
  switch (category) {
    case Category::weights:
      return "weights";
    case Category::master_weights:
      return "master_weights";
    case Category::gradients:
      return "gradients";
    case Category::optimizer:
      return "optimizer";
    case Category::activations:
      return "activations";
    case Category::logits:
      return "logits";
    case Category::gathered:
      return "gathered";
    case Category::buffers:
      return "buffers";
    case Category::workspace:
      return "workspace";
  }
  return "";
}

std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::load:
      return "load";
    case Phase::forward:
      return "forward";
    case Phase::backward:
      return "backward";
    case Phase::optimizer:
      return "optimizer step";
    case Phase::save:
      return "save";
  }
  return "";
}

}  // namespace shardsim
