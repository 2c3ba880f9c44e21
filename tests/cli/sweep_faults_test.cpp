// Whatever happens to a sweep, the same command finishes it: no point lost, none twice, and one clear line until then.
#include <algorithm>
#include <random>

#include "catch.hpp"
#include "cli/background.hpp"
#include "cli/sweep.hpp"
#include "request/contains.hpp"

namespace {

namespace fs = std::filesystem;

const std::string program = "'" SHARDSIM_PROGRAM "' ";

std::string arguments(const std::string& out) { return "sweep " + spec() + " -q --threads 1 -o '" + out + "'"; }

std::vector<fs::path> journals(const std::string& out) {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(out + ".journal", ignored)) {
    if (entry.path().extension() == ".journal") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Bytes of results that are safe so far.
std::size_t kept(const std::string& out) {
  std::size_t bytes = 0;
  for (const fs::path& file : journals(out)) {
    std::error_code ignored;
    if (const std::uintmax_t size = fs::file_size(file, ignored); !ignored) bytes += size;
  }
  return bytes;
}

/// A sweep that runs beside the test, seen when this share of its results is safe.
class RunningSweep {
 public:
  RunningSweep(const std::string& out, double share, const std::string& before = "")
      : whole_(reference().size()),
        out_(out),
        process_(before + program + arguments(out), scratch().file("sweep.out"), scratch().file("sweep.err")) {
    const auto enough = static_cast<std::size_t>(share * static_cast<double>(whole_));
    REQUIRE(wait_until([&] { return kept(out) >= enough || process_.ended(); }));
    INFO(err());
    REQUIRE_FALSE(process_.ended());
  }
  Background& process() { return process_; }
  static std::string err() { return contents(scratch().file("sweep.err")); }

 private:
  std::size_t whole_;  ///< found before the process begins
  std::string out_;
  Background process_;
};

/// The same command again, until it is let in: ranks that lost their mpirun notice, but not at once.
Run again(const std::string& out, const std::string& more = "", const std::string& before = "") {
  Run result;
  wait_until([&] {
    result = run(arguments(out) + more, before);
    return result.err.find("another sweep is at work") == std::string::npos;
  });
  return result;
}

void check_goes_on(const std::string& out) {
  CHECK_FALSE(fs::exists(out));
  CHECK(kept(out) > 0);
  const Run result = again(out);
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(contents(out) == reference());
}

void check_one_line(const Run& result, const std::string& part) {
  CHECK(result.status == 2);
  CHECK(result.out.empty());
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK_THAT(result.err, Contains(part));
}

/// A disk of its own, or nothing where mounting is not allowed.
class SmallDisk {
 public:
  SmallDisk(const std::string& name, const std::string& size) : folder_(scratch().file(name)) {
    fs::create_directories(folder_);
    mounted_ = shell("mount -t tmpfs -o size=" + size + " tmpfs '" + folder_ + "'");
    if (!mounted_) WARN("no disk of its own without the right to mount one: " + name + " is not tried");
  }
  ~SmallDisk() {
    if (mounted_) shell("umount '" + folder_ + "'");
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  void remount(const std::string& how) const { REQUIRE(shell("mount -o remount," + how + " '" + folder_ + "'")); }
  std::string operator/(const std::string& name) const { return folder_ + "/" + name; }

 private:
  static bool shell(const std::string& command) { return std::system((command + " 2>/dev/null").c_str()) == 0; }
  std::string folder_;
  bool mounted_ = false;
};

void flip_a_bit(const fs::path& file, std::uintmax_t at) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekg(static_cast<std::streamoff>(at));
  const int byte = stream.get();
  stream.seekp(static_cast<std::streamoff>(at));
  stream.put(static_cast<char>(byte ^ 4));
}

}  // namespace

TEST_CASE("SIGKILL, three times, does not show") {
  const std::string out = fresh("killed.jsonl");
  for (const double share : {0.1, 0.4, 0.8}) {
    RunningSweep sweep(out, share);
    ::kill(sweep.process().process(), SIGKILL);
    CHECK(sweep.process().wait() == 128 + SIGKILL);
  }
  check_goes_on(out);
  // Given once more, it finds nothing to do.
  const Run last = run(arguments(out));
  CHECK(last.status == 0);
  CHECK_THAT(last.out, Contains("Finished before") && Contains("2000 points"));
}

TEST_CASE("SIGKILL of a rank, of mpirun, of all") {
  if (!has_mpirun()) return;
  enum class Victim { rank_0, rank_1, launcher, all };
  for (const Victim victim : {Victim::rank_0, Victim::rank_1, Victim::launcher, Victim::all}) {
    const std::string out = fresh("killed-ranks.jsonl");
    RunningSweep sweep(out, 0.3, "env " + mpirun + "2 ");
    std::vector<pid_t> ranks = sweep.process().children("shardsim");
    REQUIRE(ranks.size() == 2);
    if (victim == Victim::rank_0) ranks = {ranks.front()};
    if (victim == Victim::rank_1) ranks = {ranks.back()};
    if (victim == Victim::launcher) ranks.clear();
    if (victim == Victim::launcher || victim == Victim::all) ranks.insert(ranks.begin(), sweep.process().process());
    for (const pid_t process : ranks) ::kill(process, SIGKILL);
    CHECK(sweep.process().wait() != 0);
    check_goes_on(out);
  }
}

TEST_CASE("Ranks that are killed are continued by another number of ranks") {
  if (!has_mpirun()) return;
  const std::string out = fresh("other-ranks.jsonl");
  {
    RunningSweep sweep(out, 0.3, "env " + mpirun + "3 ");
    for (const pid_t rank : sweep.process().children("shardsim")) ::kill(rank, SIGKILL);
    sweep.process().wait();
  }
  const Run result = again(out, "", mpirun + "2");
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(contents(out) == reference());
}

TEST_CASE("SIGTERM and SIGINT keep what is done and say how to go on") {
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string out = fresh("interrupted.jsonl");
    RunningSweep sweep(out, 0.3);
    ::kill(sweep.process().process(), signal);
    CHECK(sweep.process().wait() == 2);
    const std::string err = RunningSweep::err();
    CHECK(std::count(err.begin(), err.end(), '\n') == 1);
    CHECK_THAT(err, Contains("interrupted") && Contains("the same command again"));
    check_goes_on(out);
  }
}

TEST_CASE("SIGTERM to mpirun, as batch systems send it, keeps what is done") {
  if (!has_mpirun()) return;
  const std::string out = fresh("terminated.jsonl");
  RunningSweep sweep(out, 0.05, "env " + mpirun + "2 ");
  ::kill(sweep.process().process(), SIGTERM);
  CHECK(sweep.process().wait() != 0);
  // mpirun takes its time to pass it on: the ranks may be done by then.
  if (fs::exists(out)) {
    CHECK(contents(out) == reference());
  } else {
    check_goes_on(out);
  }
}

TEST_CASE("Two sweeps on one output: the second is refused, the first does not notice") {
  const std::string out = fresh("two.jsonl");
  RunningSweep sweep(out, 0.1);
  // It stands still meanwhile, lest it be done before the others have begun.
  ::kill(sweep.process().process(), SIGSTOP);
  check_one_line(run(arguments(out)), "another sweep is at work on this output");
  if (has_mpirun()) {
    const Run ranks = run(arguments(out), mpirun + "2");
    CHECK(ranks.status == 2);
    CHECK_THAT(ranks.err, Contains("another sweep is at work on this output"));
  }
  ::kill(sweep.process().process(), SIGCONT);
  CHECK(sweep.process().wait() == 0);
  CHECK(contents(out) == reference());
}

TEST_CASE("A disk that is full gets one line, and the same command goes on when it has room") {
  // Where OUT is put together.
  const std::string merged = fresh("full-merged.jsonl");
  fs::remove(merged + ".unfinished");
  fs::create_symlink("/dev/full", merged + ".unfinished");
  check_one_line(run(arguments(merged)), "No space left");
  check_goes_on(merged);
  // A file system that fills up half way, under one process and under two ranks.
  const SmallDisk disk("full-disk", "256k");
  if (!disk.mounted()) return;
  const std::string out = disk / "points.jsonl";
  check_one_line(run(arguments(out)), "No space left");
  if (has_mpirun()) {
    const Run ranks = run(arguments(out), mpirun + "2");
    CHECK(ranks.status == 2);
    CHECK_THAT(ranks.err, Contains("No space left"));
  }
  disk.remount("size=16m");
  check_goes_on(out);
}

TEST_CASE("A limit on the size of files is a full disk") {
  const std::string out = fresh("limited.jsonl");
  const std::string err = scratch().file("limited.err");
  const std::string command = "ulimit -f 64; " + program + arguments(out) + " >/dev/null 2>'" + err + "'";
  const int raw = std::system(("bash -c \"" + command + "\"").c_str());
  CHECK((WIFEXITED(raw) && WEXITSTATUS(raw) == 2));
  CHECK_THAT(contents(err), Contains("File too large"));
  check_goes_on(out);
}

TEST_CASE("A folder that cannot be written, at the start or half way, gets one line and destroys nothing") {
  // Root may write everywhere, and becomes somebody else.
  const std::string nobody = ::getuid() == 0 ? "setpriv --reuid 65534 --regid 65534 --clear-groups" : "";
  if (run("list models", nobody).status != 0) {
    WARN("nobody else may run the program or read its data here: a read-only folder is not tried");
    return;
  }
  const fs::path folder = fs::path(scratch().file("read-only"));
  fs::create_directories(folder);
  const std::string out = (folder / "points.jsonl").string();
  const auto closed = fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec;
  fs::permissions(folder, closed);
  reference();  // its spec is read by nobody too
  check_one_line(run(arguments(out), nobody), "Permission denied");
  fs::permissions(folder, fs::perms::owner_all);
  {
    RunningSweep sweep(out, 0.3);
    ::kill(sweep.process().process(), SIGKILL);
    sweep.process().wait();
  }
  for (const fs::path& place : {folder, fs::path(out + ".journal")}) fs::permissions(place, closed);
  fs::permissions(fs::path(out + ".journal/lock"), fs::perms::owner_read | fs::perms::others_read);
  for (const fs::path& journal : journals(out))
    fs::permissions(journal, fs::perms::owner_read | fs::perms::others_read);
  check_one_line(run(arguments(out), nobody), "Permission denied");
  for (const fs::path& place : {folder, fs::path(out + ".journal")}) fs::permissions(place, fs::perms::owner_all);
  fs::permissions(fs::path(out + ".journal/lock"), fs::perms::owner_read | fs::perms::owner_write);
  for (const fs::path& journal : journals(out)) {
    fs::permissions(journal, fs::perms::owner_read | fs::perms::owner_write);
  }
  check_goes_on(out);
}

TEST_CASE("Journals that are cut off or have flipped bits lose no point") {
  std::mt19937 random(20261122);
  const std::string half = fresh("half.jsonl");
  {
    RunningSweep sweep(half, 0.5);
    ::kill(sweep.process().process(), SIGKILL);
    sweep.process().wait();
  }
  for (int damage = 0; damage < 8; ++damage) {
    const std::string out = fresh("damaged.jsonl");
    fs::copy(half + ".journal", out + ".journal", fs::copy_options::recursive);
    REQUIRE(journals(out).size() == 1);
    const fs::path journal = journals(out).front();
    const std::uintmax_t at = 1 + random() % (fs::file_size(journal) - 1);
    INFO("at " << at << " of " << fs::file_size(journal));
    if (damage % 2 == 0) {
      fs::resize_file(journal, at);
    } else {
      flip_a_bit(journal, at);
    }
    check_goes_on(out);
  }
  check_goes_on(half);
}

#ifdef SHARDSIM_JUMPING_CLOCK
TEST_CASE("Clocks that jump do not show") {
  const std::string clock = "LD_PRELOAD='" SHARDSIM_JUMPING_CLOCK "'";
  const std::string out = fresh("clocks.jsonl");
  const Run result = run("sweep " + spec() + " --threads 2 -o " + out, clock);
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(contents(out) == reference());
  CHECK(run("--topology 4xA100 --strategy zero3 --model gpt2 --format json", clock).out ==
        run("--topology 4xA100 --strategy zero3 --model gpt2 --format json").out);
}
#endif
