#include "sim/calibration/nccl_tests.hpp"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/readers/text_lines.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::json;

constexpr double most_microseconds = 1e12;
const std::string usual = "the output of all_reduce_perf, all_gather_perf or reduce_scatter_perf";

/// By the program's name: "/opt/nccl-tests/build/all_reduce_perf", "all_reduce_perf_mpi".
CollectiveKind kind_of(const std::string& program, const std::string& where) {
  const std::string name = std::filesystem::path(program).filename().string();
  if (name.starts_with("all_reduce_perf")) return CollectiveKind::all_reduce;
  if (name.starts_with("all_gather_perf")) return CollectiveKind::all_gather;
  if (name.starts_with("reduce_scatter_perf")) return CollectiveKind::reduce_scatter;
  throw InputError("'" + program + "' times no collective that training uses", where, usual);
}

/// Who takes part.
struct Ranks {
  std::int64_t count = 0;
  std::set<std::string> hosts;
};

void add(Measurements& m, CollectiveKind kind, const Ranks& ranks, double bytes, double microseconds) {
  if (bytes <= 0) return;  // a size that rounds down to nothing
  m.collectives.push_back(
      {kind, ranks.count, static_cast<std::int64_t>(ranks.hosts.size()), bytes, microseconds * 1e-6});
}

void check(const Measurements& m, const Ranks& ranks) {
  if (ranks.count < 2) throw InputError("one GPU alone", m.file, "nccl-tests over two GPUs or more");
  if (m.collectives.empty()) throw InputError("no results", m.file, usual);
}

/// Its devices hold the first rank of each process.
Ranks ranks_of(const JsonReader& json) {
  const Json& config = json.need(json.document(), "config", "");
  if (!config.is_object()) throw InputError("no object", json.place("", "config"), "nccl-tests' config");
  const Json& devices = json.need(config, "devices", "config");
  if (!devices.is_array() || devices.empty()) {
    throw InputError("no devices", json.place("config", "devices"), "a list of ranks");
  }
  Ranks ranks;
  constexpr double most = 1024;  // of a process
  ranks.count = json.whole(config, "nthreads", "config", most) * json.whole(config, "ngpus", "config", most) *
                static_cast<std::int64_t>(devices.size());
  for (const Json& device : devices) {
    if (!device.is_object()) throw InputError("no object", json.place("config", "devices"), "a list of ranks");
    ranks.hosts.insert(json.text(device, "hostname", "config.devices"));
  }
  return ranks;
}

double microseconds(const JsonReader& json, const Json& entry, const std::string& where) {
  const bool apart = entry.contains("out_of_place") && entry["out_of_place"].is_object();
  const std::string key = apart ? "out_of_place" : "in_place";
  const Json& run = json.need(entry, key, where);
  if (!run.is_object()) throw InputError("no object", json.place(where, key), "a time");
  if (run.contains("cpu_time")) {
    throw InputError("the times are the host's", json.place(where, key), "a run without -C");
  }
  return json.positive(run, "time", where + "." + key, most_microseconds);
}

std::optional<double> number(const std::string& word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// Older listings do not name the program. Reductions tell themselves apart by bus over algorithm bandwidth:
/// 2 (n - 1) / n of an all-reduce, (n - 1) / n of a reduce-scatter.
CollectiveKind kind_of_row(const std::vector<Word>& words, std::int64_t ranks, const std::string& where) {
  const double n = static_cast<double>(ranks);
  const double algorithm = number(words[6].text).value_or(0), bus = number(words[7].text).value_or(0);
  if (words[3].text != "none" && algorithm > 0) {
    const double factor = bus / algorithm * n / (n - 1);
    constexpr double rounding = 0.1;
    if (std::abs(factor - 2) < rounding) return CollectiveKind::all_reduce;
    if (std::abs(factor - 1) < rounding) return CollectiveKind::reduce_scatter;
  }
  throw InputError("the listing does not say which collective it is", where,
                   "a line '# Collective test starting: all_gather_perf' above it, or the --json file");
}

/// Columns of a result: size, count, type, redop, root, time, algbw, busbw, #wrong, and four more in place.
constexpr std::size_t fewest_columns = 9;

struct Listing {
  std::string program;
  Ranks ranks;
  std::vector<TextLine> rows;
};

/// "#  Rank  0 Group  0 Pid   6899 on some-host device  0 [0000:04:00] NVIDIA H100 80GB HBM3"
void read_comment(const std::vector<Word>& words, Listing& listing) {
  if (words.size() > 4 && words[1].text == "Collective" && words[3].text == "starting:") {
    listing.program = words[4].text;
  }
  if (words.size() < 3 || words[1].text != "Rank") return;
  ++listing.ranks.count;
  for (std::size_t w = 2; w + 2 < words.size(); ++w) {
    if (words[w].text == "on" && words[w + 2].text == "device") listing.ranks.hosts.insert(words[w + 1].text);
  }
}

Listing cut(const std::string& text) {
  Listing listing;
  for (const TextLine& line : words_of_lines(text)) {
    if (line.words.empty()) continue;
    if (line.words.front().text.starts_with("#")) {
      read_comment(line.words, listing);
    } else if (line.words.size() >= fewest_columns && number(line.words[0].text) && number(line.words[1].text)) {
      listing.rows.push_back(line);
    }
  }
  return listing;
}

}  // namespace

bool is_nccl_json(const JsonReader& json) {
  return json.document().contains("nccl_version") && json.document().contains("results");
}

bool is_nccl_listing(const std::string& text) {
  return text.find("busbw") != std::string::npos && text.find("#  Rank") != std::string::npos;
}

Measurements read_nccl_json(const JsonReader& json) {
  Measurements m;
  m.file = json.file();
  const Json& words = json.need(json.document(), "args", "");
  if (!words.is_array() || words.empty() || !words.front().is_string()) {
    throw InputError("no program", json.place("", "args"), usual);
  }
  const std::string program = words.front().get<std::string>();
  const CollectiveKind kind = kind_of(program, json.place("", "args[0]"));
  const Ranks ranks = ranks_of(json);
  json.each("results", [&](const Json& entry, const std::string& where) {
    const double bytes = json.need(entry, "size", where).is_number() ? entry["size"].get<double>() : 0;
    if (bytes > 0) add(m, kind, ranks, bytes, microseconds(json, entry, where));
  });
  check(m, ranks);
  m.source = "nccl-tests, " + m.file;
  return m;
}

Measurements read_nccl_listing(const std::string& text, const std::string& file) {
  Measurements m;
  m.file = file;
  const Listing listing = cut(text);
  if (listing.ranks.count >= 2) {
    for (const TextLine& row : listing.rows) {
      const std::string where = file + ":" + std::to_string(row.number);
      const double bytes = *number(row.words[0].text);
      if (bytes <= 0) continue;
      const std::optional<double> time = number(row.words[5].text);
      if (!time || *time <= 0 || *time > most_microseconds)
        throw InputError("'" + row.words[5].text + "' is no time", where, "microseconds");
      const CollectiveKind kind =
          listing.program.empty() ? kind_of_row(row.words, listing.ranks.count, where) : kind_of(listing.program, file);
      add(m, kind, listing.ranks, bytes, *time);
    }
  }
  check(m, listing.ranks);
  m.source = "nccl-tests, " + m.file;
  return m;
}

}  // namespace shardsim
