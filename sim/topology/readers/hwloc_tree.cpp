#include "sim/topology/readers/hwloc_tree.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "model/core/suggest.hpp"

namespace shardsim {

namespace {

constexpr const char* objects = "Machine, Package, NUMANode, Bridge, PCIDev or OSDev";

/// One line and those indented below it.
struct Object {
  const TextLine* line = nullptr;
  std::vector<Object> below;
  const std::string& kind() const { return line->words.front().text; }
};

class Reader {
 public:
  Reader(const std::vector<TextLine>& lines, const std::string& file, const DeviceCatalog& devices)
      : lines_(lines), file_(file), devices_(devices) {
    sketch_.where = file;
  }

  Sketch read() {
    while (const TextLine* line = next()) {
      if (kind_of(*line) != "Machine" && kind_of(*line) != "Package") {
        refuse(*line, line->words.front(), "'" + kind_of(*line) + "' stands outside of all packages", "Package first");
      }
      place(object(), std::nullopt);
    }
    return std::move(sketch_);
  }

 private:
  static const std::string& kind_of(const TextLine& line) { return line.words.front().text; }

  [[noreturn]] void refuse(const TextLine& line, const Word& word, const std::string& what,
                           const std::string& right) const {
    refuse_at(file_, line.number, word.column, what, right);
  }

  /// The next line that says something.
  const TextLine* next() {
    while (at_ < lines_.size() && (lines_[at_].words.empty() || kind_of(lines_[at_]).front() == '#')) ++at_;
    return at_ < lines_.size() ? &lines_[at_] : nullptr;
  }

  Object object(std::size_t depth = 0) {
    constexpr std::size_t deepest = 64;
    constexpr const char* known[] = {"Machine", "Package", "NUMANode", "Bridge", "PCIDev", "OSDev"};
    Object found{next(), {}};
    const TextLine& line = *found.line;
    if (std::find(std::begin(known), std::end(known), found.kind()) == std::end(known)) {
      refuse(line, line.words.front(), "'" + found.kind() + "' is no object of hwloc", objects);
    }
    if (depth == deepest) refuse(line, line.words.front(), "the tree is deeper than 64 objects", "one machine a file");
    ++at_;
    while (const TextLine* below = next()) {
      if (below->words.front().column <= line.words.front().column) break;
      found.below.push_back(object(depth + 1));
    }
    return found;
  }

  /// "link_GB/s=15.753": 0 where the value or the whole word is missing.
  double number(const TextLine& line, std::string_view key) const {
    for (const Word& word : line.words) {
      if (!word.text.starts_with(key)) continue;
      const std::string_view text = std::string_view(word.text).substr(key.size());
      double value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (text.empty()) return 0;
      if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0 && value < 1e15)) {
        refuse(line, word, "'" + std::string(text) + "' is no number", std::string(key) + " and a number");
      }
      return value;
    }
    return 0;
  }

  void place(const Object& object, std::optional<std::size_t> numa) {
    if (object.kind() == "PCIDev" || object.kind() == "Bridge") {
      if (!numa) refuse(*object.line, object.line->words.front(), "no NUMA node stands above", "NUMANode first");
      // A host bridge is a root port's place, no cable.
      const bool is_host = object.line->words.size() > 1 && object.line->words[1].text == "hostbridge";
      if (!is_host) return hang(sketch_, node(object), *numa);
      for (const Object& port : object.below) hang(sketch_, node(port), *numa);
      return;
    }
    for (const Object& below : object.below) {
      if (below.kind() == "NUMANode") numa = add_numa(*below.line);
      place(below, numa);
    }
  }

  std::size_t add_numa(const TextLine& line) {
    Part numa;
    numa.id = "numa" + std::to_string(numas_++);
    numa.kind = PartKind::numa;
    numa.memory = Bytes(static_cast<std::int64_t>(number(line, "mem_bytes=")));
    return sketch_.add(numa);
  }

  PciNode node(const Object& object) {
    PciNode found;
    found.bytes_per_second = number(*object.line, "link_GB/s=") * 1e9;
    if (object.kind() == "Bridge") {
      for (const Object& below : object.below) found.below.push_back(node(below));
    } else if (object.kind() == "PCIDev") {
      for (const Object& below : object.below) {
        if (const std::optional<Part> part = device(*below.line); part && !found.part) found.part = sketch_.add(*part);
      }
    }
    return found;
  }

  /// What the operating system's name says: "nvml0 Tesla V100-SXM3-32GB-H", "mlx5_0", "nvme0n1".
  std::optional<Part> device(const TextLine& line) {
    if (line.words.size() < 2) return {};
    const std::string& name = line.words[1].text;
    Part part;
    part.where = sketch_.where + ":" + std::to_string(line.number) + ": " + name;
    if (name.starts_with("nvml") || name.starts_with("rsmi") || name.starts_with("cuda")) {
      part.kind = PartKind::gpu;
      part.id = "gpu" + std::to_string(gpus_++);
      part.device = gpu_named(line);
    } else if (name.starts_with("mlx") || name.starts_with("hfi") || name.starts_with("hsi")) {
      part.kind = PartKind::nic;
      part.id = "nic" + std::to_string(nics_++);
    } else if (name.starts_with("nvme")) {
      part.kind = PartKind::drive;
      part.id = "nvme" + std::to_string(drives_++);
    } else {
      return {};
    }
    return part;
  }

  /// The longest known name that the words hold.
  std::string gpu_named(const TextLine& line) const {
    std::string text, best;
    for (std::size_t i = 2; i < line.words.size(); ++i) text += normalized_name(line.words[i].text);
    for (const std::string& name : devices_.gpu_names()) {
      if (text.find(normalized_name(name)) != std::string::npos && name.size() > best.size()) best = name;
    }
    return best;
  }

  const std::vector<TextLine>& lines_;
  const std::string& file_;
  const DeviceCatalog& devices_;
  std::size_t at_ = 0;
  Sketch sketch_;
  int numas_ = 0, gpus_ = 0, nics_ = 0, drives_ = 0;
};

}  // namespace

bool is_hwloc_tree(const TextLine& first) {
  return first.words.front().text == "Machine" || first.words.front().text == "Package";
}

Sketch read_hwloc_tree(const std::vector<TextLine>& lines, const std::string& file, const DeviceCatalog& devices) {
  return Reader(lines, file, devices).read();
}

}  // namespace shardsim
