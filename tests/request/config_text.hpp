// A config file that lives as long as a test.
#pragma once

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>

class ConfigText {
 public:
  explicit ConfigText(std::string_view text)
      : path_(std::filesystem::temp_directory_path() /
              ("shardsim-" + std::to_string(std::random_device()()) + ".cfg")) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  ConfigText(const ConfigText&) = delete;
  ConfigText& operator=(const ConfigText&) = delete;
  ~ConfigText() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};
