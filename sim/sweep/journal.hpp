// What is done of a long piece of work, on disk: ranges of points with their results, each under a checksum.
//
// A journal folder belongs to one piece of work, which `identity` spells out. Every rank appends to a file of its own;
// a process that dies leaves at most one torn record at the end of its file, which the next reading cuts off.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

/// The points [first, first + count).
struct Range {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool operator==(const Range&) const = default;
};

/// Where a finished range's results lie.
struct Record {
  std::filesystem::path file;
  std::uint64_t offset = 0;  ///< of the payload
  std::uint64_t bytes = 0;
  Range range;
};

/// Keeps others out of the folder as long as it lives. Throws InputError if somebody else is in it.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int file_ = -1;
};

/// One rank's file, made or continued.
class Journal {
 public:
  /// Throws InputError where the file cannot be written.
  Journal(std::filesystem::path file, std::string_view identity);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// In the file when it returns, on the disk after the next sync(). Throws InputError when the disk is full, with the
  /// file as it was before.
  void append(const Range& range, std::string_view payload);
  /// Throws InputError when the disk fails.
  void sync();

 private:
  void write(std::string_view bytes);

  std::filesystem::path path_;
  int file_ = -1;
  std::uint64_t end_ = 0;  ///< of the last whole record
};

/// All whole records of the folder's journals, ascending and without overlaps. Torn tails are cut off their files.
/// Throws InputError for a journal of other work, or of points beyond [0, points).
std::vector<Record> read_journals(const std::filesystem::path& folder, std::string_view identity, std::uint64_t points);

/// What `records` leave of [0, points), in ranges of at most `size`.
std::vector<Range> missing_ranges(const std::vector<Record>& records, std::uint64_t points, std::uint64_t size);

/// The payloads one after the other.
class RecordReader {
 public:
  std::string read(const Record& record);

 private:
  std::filesystem::path open_;
  std::ifstream stream_;
};

}  // namespace shardsim
