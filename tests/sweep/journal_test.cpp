// Results on disk survive whatever happens to the process that writes them.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/sweep/journal.hpp"

using namespace shardsim;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("shardsim-journal-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void write_two(const Folder& folder) {
  Journal journal(folder / "rank-0.journal", "work");
  journal.append({4, 4}, "four to seven\n");
  journal.append({0, 2}, "zero and one\n");
}

}  // namespace

TEST_CASE("What was appended is read back, in the order of the points") {
  const Folder folder;
  write_two(folder);
  {
    Journal other(folder / "rank-1.journal", "work");
    other.append({2, 1}, "two\n");
  }
  const std::vector<Record> records = read_journals(folder.path(), "work", 1000);
  REQUIRE(records.size() == 3);
  RecordReader reader;
  CHECK(reader.read(records[0]) == "zero and one\n");
  CHECK(reader.read(records[1]) == "two\n");
  CHECK(reader.read(records[2]) == "four to seven\n");
  CHECK(missing_ranges(records, 20, 8) == std::vector<Range>{{3, 1}, {8, 8}, {16, 4}});
}

TEST_CASE("A journal is continued where it ends") {
  const Folder folder;
  write_two(folder);
  {
    Journal again(folder / "rank-0.journal", "work");
    again.append({2, 2}, "two and three\n");
  }
  CHECK(read_journals(folder.path(), "work", 1000).size() == 3);
}

TEST_CASE("Wherever a file is torn, what stands before is kept and the rest is done again") {
  const Folder folder;
  write_two(folder);
  const fs::path file = folder / "rank-0.journal";
  const auto whole = fs::file_size(file);
  std::string bytes;
  {
    std::ifstream stream(file, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  for (std::size_t cut = 0; cut < whole; ++cut) {
    std::ofstream(file, std::ios::binary) << bytes.substr(0, cut);
    const std::vector<Record> records = read_journals(folder.path(), "work", 1000);
    CHECK(records.size() < 2);
    for (const Record& record : records) CHECK(record.range == Range{4, 4});
    // The torn tail is gone: what is appended next is found.
    { Journal(file, "work").append({0, 2}, "zero and one\n"); }
    CHECK(read_journals(folder.path(), "work", 1000).size() == records.size() + 1);
  }
}

TEST_CASE("Flipped bits cost the records from there on") {
  const Folder folder;
  write_two(folder);
  const fs::path file = folder / "rank-0.journal";
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(-3, std::ios::end);
  stream.put('X');
  stream.close();
  CHECK(read_journals(folder.path(), "work", 1000).size() == 1);
}

TEST_CASE("Whichever byte is wrong, what is read is what was written") {
  const Folder folder;
  write_two(folder);
  const fs::path file = folder / "rank-0.journal";
  std::string bytes;
  {
    std::ifstream stream(file, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    INFO(at);
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    std::ofstream(file, std::ios::binary) << damaged;
    const std::vector<Record> records = read_journals(folder.path(), "work", 1000);
    CHECK(records.size() < 2);
    RecordReader reader;
    for (const Record& record : records) {
      CHECK(record.range == Range{4, 4});
      CHECK(reader.read(record) == "four to seven\n");
    }
  }
}

TEST_CASE("Journals of other work are refused and stay") {
  const Folder folder;
  write_two(folder);
  CHECK_THAT(refusal([&] { read_journals(folder.path(), "other work", 1000); }), Contains("belong to another sweep"));
  CHECK(read_journals(folder.path(), "work", 1000).size() == 2);
}

TEST_CASE("One at a time") {
  const Folder folder;
  const FolderLock lock(folder.path());
  CHECK_THAT(refusal([&] { FolderLock second(folder.path()); }), Contains("another sweep is at work"));
}

TEST_CASE("A place that cannot be written is said at once") {
  const Folder folder;
  CHECK_THAT(refusal([&] { Journal(folder / "missing/rank-0.journal", "work"); }), Contains("cannot write"));
}

TEST_CASE("A full disk is said at once") {
  const Folder folder;
  fs::create_symlink("/dev/full", folder / "rank-0.journal");
  CHECK_THAT(refusal([&] { Journal(folder / "rank-0.journal", "work"); }),
             Contains("cannot write") && Contains("No space left"));
}

TEST_CASE("A journal that is a device is no journal") {
  const Folder folder;
  fs::create_symlink("/dev/full", folder / "rank-0.journal");
  CHECK_THAT(refusal([&] { read_journals(folder.path(), "work", 1000); }), Contains("no regular file"));
}
