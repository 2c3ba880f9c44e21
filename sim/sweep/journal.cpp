#include "sim/sweep/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/crc.hpp>
#include <cerrno>
#include <cstring>
#include <optional>

#include "model/core/check.hpp"
#include "model/core/error.hpp"

namespace shardsim {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t magic = 0x31'6c'6e'72'6a'64'72'73;         // "srdjrnl1"
constexpr std::uint64_t longest_payload = std::uint64_t{1} << 28;  // a range has at most 1024 points

/// Before each payload; the identity of the work is the payload of a file's first record, over no points.
struct Header {
  std::uint64_t magic_number = magic;
  Range range;
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;
};

std::uint64_t checksum(Header header, std::string_view payload) {
  header.checksum = 0;
  boost::crc_32_type crc;
  crc.process_bytes(&header, sizeof header);
  crc.process_bytes(payload.data(), payload.size());
  return crc.checksum();
}

[[noreturn]] void throw_cannot(const std::string& what, const fs::path& file) {
  throw InputError("cannot " + what + ": " + std::strerror(errno), file.string(),
                   "a writable place with room; then run the same command again, and nothing that is done is lost");
}

/// The record at `offset`, or nothing where the file is torn from there on.
std::optional<Record> record_at(std::ifstream& stream, const fs::path& file, std::uint64_t offset,
                                std::uint64_t file_size, std::string& payload) {
  Header header;
  if (offset + sizeof header > file_size) return {};
  stream.seekg(static_cast<std::streamoff>(offset));
  stream.read(reinterpret_cast<char*>(&header), sizeof header);
  const std::uint64_t begin = offset + sizeof header;
  if (header.magic_number != magic || header.bytes > longest_payload || begin + header.bytes > file_size) return {};
  payload.resize(header.bytes);
  stream.read(payload.data(), static_cast<std::streamsize>(header.bytes));
  if (!stream || checksum(header, payload) != header.checksum) return {};
  return Record{file, begin, header.bytes, header.range};
}

/// Appends the whole records of one file to `records`.
void read_journal(const fs::path& file, std::string_view identity, std::uint64_t points, std::vector<Record>& records) {
  if (!fs::is_regular_file(file)) {
    throw InputError("the journal is no regular file", file.string(), "another output file, or this folder removed");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw_cannot("read the journal", file);
  const std::uint64_t size = fs::file_size(file);
  std::string payload;
  std::uint64_t end = 0;
  while (const auto record = record_at(stream, file, end, size, payload)) {
    if (end == 0 && payload != identity) {
      throw InputError("these results belong to another sweep, or to another version of shardsim", file.string(),
                       "the spec that began it, another output file, or this folder removed");
    }
    const Range& range = record->range;
    if (range.count > points || range.first > points - range.count) {
      throw InputError("the journal names points that the sweep does not have", file.string(), "this folder removed");
    }
    if (end > 0) records.push_back(*record);
    end = record->offset + record->bytes;
  }
  stream.close();
  if (end == size) return;
  std::error_code fault;
  fs::resize_file(file, end, fault);
  errno = fault.value();
  if (fault) throw_cannot("cut off the torn end of the journal", file);
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) {
  const fs::path file = folder / "lock";
  file_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (file_ < 0) throw_cannot("write", file);
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    ::close(file_);
    throw InputError("another sweep is at work on this output", folder.string(),
                     "one sweep for one output, started by an mpirun of the MPI that shardsim was built with");
  }
}

FolderLock::~FolderLock() { ::close(file_); }

Journal::Journal(fs::path file, std::string_view identity) : path_(std::move(file)) {
  file_ = ::open(path_.c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) throw_cannot("write", path_);
  end_ = static_cast<std::uint64_t>(::lseek(file_, 0, SEEK_END));
  if (end_ == 0) append({}, identity);
}

Journal::~Journal() { ::close(file_); }

void Journal::append(const Range& range, std::string_view payload) {
  SHARDSIM_CHECK(payload.size() <= longest_payload, "a range of a sweep is a thousand lines");
  Header header;
  header.range = range;
  header.bytes = payload.size();
  header.checksum = checksum(header, payload);
  std::string record(reinterpret_cast<const char*>(&header), sizeof header);
  record += payload;
  write(record);
  end_ += record.size();
}

void Journal::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = written == 0 ? ENOSPC : errno;
      (void)!::ftruncate(file_, static_cast<off_t>(end_));
      errno = reason;
      throw_cannot("write", path_);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Journal::sync() {
  if (::fdatasync(file_) != 0 && errno != EINVAL) throw_cannot("write", path_);  // EINVAL: there is nothing to sync
}

std::vector<Record> read_journals(const fs::path& folder, std::string_view identity, std::uint64_t points) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".journal") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Record> records;
  for (const fs::path& file : files) read_journal(file, identity, points, records);
  std::stable_sort(records.begin(), records.end(),
                   [](const Record& a, const Record& b) { return a.range.first < b.range.first; });
  // Only a folder that was copied together by hand holds a range twice; the results are the same.
  std::uint64_t end = 0;
  std::erase_if(records, [&](const Record& record) {
    if (record.range.first < end) return true;
    end = record.range.first + record.range.count;
    return false;
  });
  return records;
}

std::vector<Range> missing_ranges(const std::vector<Record>& records, std::uint64_t points, std::uint64_t size) {
  std::vector<Range> missing;
  const auto add = [&](std::uint64_t first, std::uint64_t end) {
    for (; first < end; first += size) missing.push_back({first, std::min(size, end - first)});
  };
  std::uint64_t done = 0;
  for (const Record& record : records) {
    add(done, record.range.first);
    done = record.range.first + record.range.count;
  }
  add(done, points);
  return missing;
}

std::string RecordReader::read(const Record& record) {
  if (open_ != record.file) {
    stream_ = std::ifstream(record.file, std::ios::binary);
    open_ = record.file;
  }
  std::string payload(record.bytes, '\0');
  stream_.seekg(static_cast<std::streamoff>(record.offset));
  stream_.read(payload.data(), static_cast<std::streamsize>(record.bytes));
  if (!stream_) throw_cannot("read the journal", record.file);
  return payload;
}

}  // namespace shardsim
