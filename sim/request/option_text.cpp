#include "sim/request/option_text.hpp"

#include "model/core/error.hpp"

namespace shardsim {

bool parse_switch(const OptionText& text) {
  const std::string& value = text.value;
  if (value == "on" || value == "true" || value == "yes") return true;
  if (value == "off" || value == "false" || value == "no") return false;
  throw InputError("'" + value + "' is no switch", text.where, "on or off");
}

}  // namespace shardsim
