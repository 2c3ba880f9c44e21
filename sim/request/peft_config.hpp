// PEFT's adapter_config.json.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/adapter.hpp"

namespace shardsim {

/// True where --peft can only mean a file: a path, a name that ends in .json, a folder with an adapter_config.json.
bool names_peft_config(const std::string& text);

/// Reads a LoraConfig (with DoRA, where it says so) or a PromptTuningConfig with the defaults of peft 0.21; of a
/// folder, its adapter_config.json. What changes nothing in memory or time (initialisation, scaling) is passed over;
/// keys that do and are not simulated, and unknown ones, go into `warnings` by name. Throws InputError for other
/// methods and tasks, for modules_to_save, and for values that are malformed.
Peft read_peft_config(const std::filesystem::path& path, std::vector<std::string>& warnings);

}  // namespace shardsim
