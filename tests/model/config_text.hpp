// A config.json written for one test.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "model/architecture.hpp"
#include "model/core/error.hpp"

/// A folder of its own, gone with the object.
class ConfigFolder {
 public:
  ConfigFolder() {
    static int made = 0;
    const std::string name = "shardsim-config-" + std::to_string(getpid()) + "-" + std::to_string(made++);
    path_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::create_directories(path_);
  }
  ~ConfigFolder() { std::filesystem::remove_all(path_); }
  ConfigFolder(const ConfigFolder&) = delete;
  ConfigFolder& operator=(const ConfigFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(std::string_view text, std::string_view name = "config.json") const {
    const std::filesystem::path file = path_ / name;
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }

 private:
  std::filesystem::path path_;
};

inline shardsim::Architecture architecture_of(std::string_view text) {
  const ConfigFolder folder;
  return shardsim::read_architecture(folder.write(text), "test");
}

inline shardsim::Dimensions dimensions_of(std::string_view text) { return architecture_of(text).dims; }

/// The one line with which a config is refused; empty if it is not.
inline std::string refusal_of(std::string_view text) {
  try {
    architecture_of(text);
  } catch (const shardsim::InputError& error) {
    return error.what();
  }
  return "";
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Every module that runs, in the order in which forward() enters it, one a line; nothing of layers but `layer`.
inline std::string modules_run(const shardsim::Architecture& architecture, std::int32_t layer,
                               shardsim::ModuleId from = shardsim::ModuleId(0)) {
  const shardsim::Module& module = architecture.module(from);
  if (module.layer >= 0 && module.layer != layer) return "";
  std::string text = module.name + " " + module.class_name + "\n";
  for (const shardsim::ModuleId child : module.children) text += modules_run(architecture, layer, child);
  return text;
}

/// The parameters whose names begin so, in order: "name [shape]", one a line.
inline std::string parameters_under(const shardsim::Architecture& architecture, std::string_view prefix) {
  std::string text;
  for (const shardsim::Parameter& parameter : architecture.parameters) {
    if (parameter.name.compare(0, prefix.size(), prefix) != 0) continue;
    text += parameter.name.substr(prefix.size());
    for (std::size_t i = 0; i < parameter.shape.size(); ++i) {
      text += (i == 0 ? " " : "x") + std::to_string(parameter.shape[i]);
    }
    text += "\n";
  }
  return text;
}
