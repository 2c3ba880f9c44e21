// Where a sweep's lines end up: JSON Lines, or by the file's ending CSV or SQLite.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sim/search/design_space.hpp"

namespace shardsim {

/// Written beside the file under another name; finish() puts it in place, whole.
class ResultFile {
 public:
  virtual ~ResultFile() = default;
  /// One point: the line as it is and what it says.
  virtual void add(const std::string& line, const nlohmann::json& point) = 0;
  /// Throws InputError when the disk is full; the file is then as it was before.
  virtual void finish() = 0;
};

/// Throws InputError where the file cannot be written.
std::unique_ptr<ResultFile> make_result_file(const std::filesystem::path& file, const DesignSpace& space);

/// What make_result_file() writes first for `file`.
std::filesystem::path unfinished(const std::filesystem::path& file);

/// One file each (sqlite_file.cpp).
std::unique_ptr<ResultFile> make_sqlite_file(const std::filesystem::path& file, const DesignSpace& space);

}  // namespace shardsim
