#include "sim/sweep/ranks.hpp"

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <type_traits>

#include "model/core/error.hpp"

#ifdef SHARDSIM_WITH_MPI
#include <mpi.h>
#endif

namespace shardsim {

namespace {

static_assert(std::is_trivially_copyable_v<RankMessage> && std::is_trivially_copyable_v<Range>);

/// How many processes the launcher says that it started, by any of the usual ones' variables; 0: none says.
int launched_processes() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS"}) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  // srun sets these for every task of a step; within a batch script, outside of any step, they are not meant.
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  return tasks != nullptr && std::getenv("SLURM_PROCID") != nullptr ? std::atoi(tasks) : 0;
}

void refuse_other_launcher(int size) {
  const int launched = launched_processes();
  if (launched <= 1 || launched == size) return;
  throw InputError("the launcher started " + std::to_string(launched) + " processes, and each believes to be alone",
                   "mpirun, srun",
                   "the mpirun of the MPI that `shardsim --version` names (under Slurm: srun --mpi=pmix)");
}

}  // namespace

#ifdef SHARDSIM_WITH_MPI

namespace {

constexpr int to_first = 1;
constexpr int granted = 2;

/// Started without a launcher, MPI would still search for networks: only a launcher's children call it.
bool was_launched() { return launched_processes() > 0; }

template <class Value>
void send(const Value& value, int to, int tag) {
  MPI_Send(&value, sizeof value, MPI_BYTE, to, tag, MPI_COMM_WORLD);
}

template <class Value>
std::optional<Value> receive(int from, int tag, int* sender = nullptr) {
  int arrived = 0;
  MPI_Status status;
  MPI_Iprobe(from, tag, MPI_COMM_WORLD, &arrived, &status);
  if (arrived == 0) return {};
  Value value;
  MPI_Recv(&value, sizeof value, MPI_BYTE, status.MPI_SOURCE, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  if (sender != nullptr) *sender = status.MPI_SOURCE;
  return value;
}

}  // namespace

Ranks::Ranks() {
  if (was_launched()) {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  refuse_other_launcher(size_);
}

Ranks::~Ranks() {
  int initialised = 0;
  MPI_Initialized(&initialised);
  if (initialised != 0) MPI_Finalize();
}

void Ranks::abort(std::string_view why, int status) {
  std::fprintf(stderr,
               "shardsim: internal fault on rank %d: %.*s; this is a bug, please report it with the command line\n",
               rank_, static_cast<int>(why.size()), why.data());
  MPI_Abort(MPI_COMM_WORLD, status);
  std::abort();
}

std::string Ranks::broadcast(std::string text) {
  if (size_ == 1) return text;
  std::uint64_t length = text.size();
  MPI_Bcast(&length, sizeof length, MPI_BYTE, 0, MPI_COMM_WORLD);
  text.resize(length);
  MPI_Bcast(text.data(), static_cast<int>(length), MPI_BYTE, 0, MPI_COMM_WORLD);
  return text;
}

int Ranks::broadcast(int value) {
  if (size_ > 1) MPI_Bcast(&value, 1, MPI_INT, 0, MPI_COMM_WORLD);
  return value;
}

std::vector<std::string> Ranks::gather(const std::string& text) {
  if (size_ == 1) return {text};
  const int length = static_cast<int>(text.size());
  std::vector<int> lengths(static_cast<std::size_t>(size_)), begins(static_cast<std::size_t>(size_));
  MPI_Gather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, 0, MPI_COMM_WORLD);
  std::exclusive_scan(lengths.begin(), lengths.end(), begins.begin(), 0);
  std::string all(first() ? static_cast<std::size_t>(begins.back() + lengths.back()) : 0, '\0');
  MPI_Gatherv(text.data(), length, MPI_BYTE, all.data(), lengths.data(), begins.data(), MPI_BYTE, 0, MPI_COMM_WORLD);
  std::vector<std::string> texts;
  for (std::size_t r = 0; first() && r < lengths.size(); ++r) {
    texts.push_back(all.substr(static_cast<std::size_t>(begins[r]), static_cast<std::size_t>(lengths[r])));
  }
  return texts;
}

void Ranks::send_to_first(const RankMessage& message) { send(message, 0, to_first); }

std::optional<RankMessage> Ranks::receive_at_first(int& from) {
  if (size_ == 1) return {};
  return receive<RankMessage>(MPI_ANY_SOURCE, to_first, &from);
}

void Ranks::grant(int to, const Range& range) { send(range, to, granted); }

std::optional<Range> Ranks::receive_grant() {
  if (size_ == 1) return {};
  return receive<Range>(0, granted);
}

#else

Ranks::Ranks() { refuse_other_launcher(size_); }
Ranks::~Ranks() = default;
void Ranks::abort(std::string_view, int status) { std::exit(status); }
std::string Ranks::broadcast(std::string text) { return text; }
int Ranks::broadcast(int value) { return value; }
std::vector<std::string> Ranks::gather(const std::string& text) { return {text}; }
void Ranks::send_to_first(const RankMessage&) {}
std::optional<RankMessage> Ranks::receive_at_first(int&) { return {}; }
void Ranks::grant(int, const Range&) {}
std::optional<Range> Ranks::receive_grant() { return {}; }

#endif

}  // namespace shardsim
