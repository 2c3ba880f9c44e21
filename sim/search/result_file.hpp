// Where a sweep's lines end up: JSON Lines, or by the file's ending CSV, SQLite or a page to look at.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sim/search/spec.hpp"

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

/// What the results become.
enum class ResultFormat : std::uint8_t { json_lines, csv, sqlite, html };
/// By the file's ending; JSON Lines if it says nothing.
ResultFormat result_format_of(const std::filesystem::path& file);

/// Throws InputError where the file cannot be written. `spec` must outlive the file; `command` is what was typed.
std::unique_ptr<ResultFile> make_result_file(const std::filesystem::path& file, ResultFormat format,
                                             const SweepSpec& spec, const std::string& command);

/// What make_result_file() writes first for `file`.
std::filesystem::path unfinished(const std::filesystem::path& file);

/// One file each (sqlite_file.cpp, html_file.cpp).
std::unique_ptr<ResultFile> make_sqlite_file(const std::filesystem::path& file, const DesignSpace& space);
std::unique_ptr<ResultFile> make_html_file(const std::filesystem::path& file, const SweepSpec& spec,
                                           const std::string& command);

/// A text that is written under another name and put in place whole.
class WholeFile {
 public:
  /// Throws InputError where the file cannot be written.
  explicit WholeFile(std::filesystem::path file);
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  void write(const std::string& text);
  /// Throws InputError when the disk is full; the file is then as it was before.
  void finish();

 private:
  void flush();
  [[noreturn]] void fail();

  std::filesystem::path path_;
  int file_ = -1;
  std::string buffer_;
};

}  // namespace shardsim
