// Options as written -> Request.
#pragma once

#include <string>
#include <vector>

#include "sim/request/option_text.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// The arguments after the verb, and the config file that they name: defaults, then the file, then the command line.
/// Throws InputError for whatever is wrong.
Request parse_request(const std::vector<std::string>& arguments);

/// Gives every option its value. Throws InputError for a value that is malformed, unknown or not simulated yet, and
/// when the topology or the strategy is missing.
Request resolve_request(const OptionTexts& texts);

}  // namespace shardsim
