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

/// The same arguments, not yet resolved.
OptionTexts read_options(const std::vector<std::string>& arguments);
/// What a command line says, and below it what the config file says that it names.
OptionTexts with_config_file(OptionTexts texts);

/// Gives every option its value: what `texts` say, else what the --deepspeed or --accelerate file says, which is read
/// here. Throws InputError for a value that is malformed, unknown or not simulated yet, and
/// when the topology or the strategy is missing.
Request resolve_request(OptionTexts texts);

/// How many threads: a whole number from 1 to 1024.
int parse_threads(const OptionText& text);

}  // namespace shardsim
