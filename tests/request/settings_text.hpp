// A settings file that lives as long as a test.
#pragma once

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>

class SettingsText {
 public:
  SettingsText(std::string_view text, std::string_view ending)
      : path_(std::filesystem::temp_directory_path() /
              ("shardsim-" + std::to_string(std::random_device()()) + std::string(ending))) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  SettingsText(const SettingsText&) = delete;
  SettingsText& operator=(const SettingsText&) = delete;
  ~SettingsText() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};
