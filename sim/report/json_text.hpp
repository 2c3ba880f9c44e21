// JSON as text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace shardsim {

/// On one line, or indented. Names of files may be any bytes: what is no UTF-8 in them is shown as U+FFFD.
template <class Json>
std::string json_text(const Json& value, int indent = -1) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace shardsim
