#include "sim/topology/readers/matrix_table.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "sim/topology/readers/text_lines.hpp"

namespace shardsim {

namespace {

constexpr const char* matrix_shape =
    "the text of `nvidia-smi topo -m`: a header GPU0 GPU1 ..., then a row for each GPU";

std::optional<int> number_after(std::string_view text, std::string_view prefix) {
  int value = 0;
  if (!text.starts_with(prefix)) return std::nullopt;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + prefix.size(), last, value);
  if (error != std::errc{} || end != last || value < 0) return std::nullopt;
  return value;
}

bool names_gpu(std::string_view text) { return number_after(text, "GPU").has_value(); }

std::optional<MatrixCell> read_cell(std::string_view text) {
  if (text.ends_with('?')) text.remove_suffix(1);  // somebody's doubt
  if (const auto note = text.find("(lca="); note != std::string_view::npos) text = text.substr(0, note);
  for (const std::string_view kind : {"NV", "XGMI"}) {
    if (const auto links = number_after(text, kind); links && *links >= 1 && *links <= 64)
      return MatrixCell{Relation::nvlink, *links};
  }
  if (text == "X") return MatrixCell{Relation::self, 0};
  if (text == "PIX") return MatrixCell{Relation::switch_below, 0};
  if (text == "PXB") return MatrixCell{Relation::switches_below, 0};
  if (text == "PHB" || text == "NODE" || text == "PHB/NODE") return MatrixCell{Relation::host, 0};
  if (text == "SYS" || text == "SOC") return MatrixCell{Relation::socket, 0};
  return std::nullopt;
}

enum class Tail : std::uint8_t { cpus, numa, gpu_numa, path };

class Reader {
 public:
  Reader(std::string_view text, const std::string& file) : file_(file), lines_(words_of_lines(text)) {}

  MatrixTable read() {
    std::size_t at = header();
    for (++at; at < lines_.size(); ++at) {
      const TextLine& line = lines_[at];
      if (line.words.empty()) continue;
      const std::string& name = line.words.front().text;
      if (name == "NIC" && line.words.size() > 1 && line.words[1].text == "placement") break;
      const auto device = std::find_if(table_.devices.begin(), table_.devices.end(),
                                       [&](const MatrixDevice& known) { return known.name == name; });
      if (device != table_.devices.end()) {
        row(line, *device);
      } else if (names_gpu(name)) {
        refuse(line, line.words.front(), "the row '" + name + "' has no column", "a column for each row");
      }
    }
    for (; at < lines_.size(); ++at) placement(lines_[at]);
    check();
    return std::move(table_);
  }

 private:
  [[noreturn]] void refuse(const TextLine& line, const Word& word, const std::string& what,
                           const std::string& right) const {
    refuse_at(file_, line.number, word.column, what, right);
  }

  /// The first line that begins with a GPU and goes on with names.
  std::size_t header() {
    const auto is_header = [](const TextLine& line) {
      if (line.words.size() < 2 || !names_gpu(line.words[0].text) || read_cell(line.words[1].text)) return false;
      return names_gpu(line.words[1].text) || std::any_of(line.words.begin(), line.words.end(), [](const Word& word) {
               return word.text == "Affinity" || word.text == "numa";
             });
    };
    const auto found = std::find_if(lines_.begin(), lines_.end(), is_header);
    if (found == lines_.end()) {
      const auto row = std::find_if(lines_.begin(), lines_.end(), [](const TextLine& line) {
        return !line.words.empty() && line.words[0].text.front() != '#';
      });
      const bool empty = row == lines_.end();
      refuse_at(file_, empty ? 1 : row->number, empty ? 1 : row->words[0].column, "the matrix has no header",
                std::string(matrix_shape) + "; or a hostfile with lines such as worker-1 slots=8");
    }
    columns(*found);
    header_line_ = found->number;
    return static_cast<std::size_t>(found - lines_.begin());
  }

  void columns(const TextLine& line) {
    constexpr std::size_t most = 512;
    std::size_t at = 0;
    const auto text = [&](std::size_t i) { return i < line.words.size() ? line.words[i].text : std::string(); };
    const auto ends = [&] {
      return text(at) == "CPU" || text(at) == "NUMA" || text(at) == "numa" || text(at) == "GPU" ||
             text(at) == "pci_path";
    };
    for (; at < line.words.size() && !ends(); ++at) {
      for (const MatrixDevice& known : table_.devices) {
        if (known.name == text(at))
          refuse(line, line.words[at], "two columns are called '" + text(at) + "'", "one each");
      }
      if (table_.devices.size() == most)
        refuse(line, line.words[at], "the matrix has more than 512 columns", "one node");
      MatrixDevice device;
      device.name = text(at);
      device.is_gpu = names_gpu(device.name);
      table_.devices.push_back(device);
    }
    while (at < line.words.size()) {
      if (text(at) == "CPU" && text(at + 1) == "Affinity") {
        tail_.push_back(Tail::cpus), at += 2;
      } else if (text(at) == "NUMA" && text(at + 1) == "Affinity") {
        tail_.push_back(Tail::numa), at += 2;
      } else if (text(at) == "GPU" && text(at + 1) == "NUMA" && text(at + 2) == "ID") {
        tail_.push_back(Tail::gpu_numa), at += 3;
      } else if (text(at) == "NUMA" || text(at) == "numa") {
        tail_.push_back(Tail::numa), ++at;
      } else if (text(at) == "pci_path") {
        tail_.push_back(Tail::path), ++at;
      } else {
        refuse(line, line.words[at], "unknown column '" + text(at) + "'", "CPU Affinity, NUMA Affinity or GPU NUMA ID");
      }
    }
  }

  void row(const TextLine& line, MatrixDevice& device) {
    if (device.has_row) refuse(line, line.words[0], "the row '" + device.name + "' stands twice", "one row each");
    device.has_row = true;
    device.line = line.number;
    const std::size_t columns = table_.devices.size();
    for (std::size_t c = 0; c < columns; ++c) {
      if (c + 1 >= line.words.size()) {
        refuse_at(file_, line.number, line.length + 1,
                  "the row '" + device.name + "' has " + std::to_string(line.words.size() - 1) + " of " +
                      std::to_string(columns) + " cells",
                  "a cell for each column");
      }
      const Word& word = line.words[c + 1];
      const std::optional<MatrixCell> cell = read_cell(word.text);
      if (!cell) {
        refuse(line, word, "'" + word.text + "' is no connection", "X, NV1 to NV64, PIX, PXB, PHB, NODE or SYS");
      }
      const bool diagonal = table_.devices[c].name == device.name;
      if (diagonal != (cell->relation == Relation::self)) {
        refuse(line, word, "'" + word.text + "' stands between " + device.name + " and " + table_.devices[c].name,
               "X between a device and itself, and nowhere else");
      }
      if (cell->relation == Relation::nvlink && !(device.is_gpu && table_.devices[c].is_gpu)) {
        refuse(line, word, "NVLink stands between " + device.name + " and " + table_.devices[c].name,
               "NVLink between GPUs only");
      }
      device.cells.push_back(*cell);
    }
    for (std::size_t i = columns + 1; i < line.words.size(); ++i) tail(line, line.words[i], i - columns - 1, device);
  }

  void tail(const TextLine& line, const Word& word, std::size_t index, MatrixDevice& device) {
    if (index >= tail_.size()) {
      refuse(line, word, "'" + word.text + "' stands in no column", "as many cells as the header has columns");
    }
    if (word.text == "N/A") return;
    switch (tail_[index]) {
      case Tail::cpus:
        device.cpus = word.text;
        break;
      case Tail::numa:
        device.numa = word.text;
        break;
      case Tail::path:
        device.path = word.text;
        break;
      case Tail::gpu_numa:
        break;
    }
  }

  /// "mlx5_0 200000 1 0000:19:00.0>0000:1b:00.0>nic"; other lines end the list.
  void placement(const TextLine& line) {
    if (line.words.size() != 4 || !line.words[3].text.ends_with(">nic")) return;
    NicPlacement nic{line.words[0].text, 0, line.words[2].text, line.words[3].text};
    const std::string& speed = line.words[1].text;
    const auto [end, error] = std::from_chars(speed.data(), speed.data() + speed.size(), nic.megabits);
    if (error != std::errc{} || end != speed.data() + speed.size() || !(nic.megabits > 0 && nic.megabits < 1e8)) {
      refuse(line, line.words[1], "'" + speed + "' is no speed of a NIC", "Mb/s, such as 200000");
    }
    table_.nics.push_back(nic);
  }

  void check() const {
    const std::vector<MatrixDevice>& devices = table_.devices;
    for (const MatrixDevice& device : devices) {
      if (device.is_gpu && !device.has_row) {
        refuse_at(file_, header_line_, 1, "the row of " + device.name + " is missing", "a row for each GPU");
      }
    }
    for (std::size_t a = 0; a < devices.size(); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (!devices[a].has_row || !devices[b].has_row) continue;
        const MatrixCell& here = devices[a].cells[b];
        const MatrixCell& there = devices[b].cells[a];
        if (here.relation != there.relation || here.links != there.links) {
          const Word& word = lines_[devices[a].line - 1].words[b + 1];
          refuse_at(file_, devices[a].line, word.column,
                    devices[a].name + " to " + devices[b].name + " is '" + word.text + "' here and '" +
                        lines_[devices[b].line - 1].words[a + 1].text + "' on line " + std::to_string(devices[b].line),
                    "a symmetric matrix");
        }
      }
    }
  }

  const std::string& file_;
  std::vector<TextLine> lines_;
  std::vector<Tail> tail_;
  std::size_t header_line_ = 1;
  MatrixTable table_;
};

}  // namespace

MatrixTable read_matrix_table(std::string_view text, const std::string& file) { return Reader(text, file).read(); }

}  // namespace shardsim
