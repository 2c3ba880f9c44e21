// The options of parameter-efficient fine-tuning.
#pragma once

#include <string>

#include "sim/request/option_text.hpp"
#include "sim/request/request.hpp"

namespace shardsim {

/// --peft and the options beside it, which beat what a file of PEFT's says; --quantization beside such a file quantizes
/// its base. Throws InputError for values that are malformed, unknown or not simulated yet, and for an option that its
/// method does not have.
void parse_peft(const OptionTexts& texts, Request& request);

/// "q_proj,v_proj", as --lora-targets takes it; empty where the model family's defaults count.
std::string targets_text(const Peft& peft);

}  // namespace shardsim
