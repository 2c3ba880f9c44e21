#include "sim/topology/readers/machine_file.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"
#include "sim/topology/dot.hpp"
#include "sim/topology/readers/hwloc_check.hpp"
#include "sim/topology/readers/hwloc_tree.hpp"
#include "sim/topology/readers/hwloc_xml.hpp"
#include "sim/topology/readers/matrix.hpp"
#include "sim/topology/readers/nccl_xml.hpp"
#include "sim/topology/readers/text_lines.hpp"
#include "sim/topology/readers/xml.hpp"

namespace shardsim {

namespace {

/// The first line that is neither empty nor a '#' comment.
const TextLine* first_line(const std::vector<TextLine>& lines) {
  const auto found = std::find_if(lines.begin(), lines.end(), [](const TextLine& line) {
    return !line.words.empty() && line.words.front().text.front() != '#';
  });
  return found == lines.end() ? nullptr : &*found;
}

/// "worker-1 slots=8" a line: hosts that are alike.
MachineFile read_hostfile(const std::vector<TextLine>& lines, const std::string& file) {
  constexpr std::size_t most_slots = 64;
  MachineFile found;
  found.nodes = 0;
  std::set<std::string> hosts;
  for (const TextLine& line : lines) {
    if (line.words.empty() || line.words.front().text.front() == '#') continue;
    std::size_t slots = 0;
    const bool shaped = line.words.size() > 1 && line.words[1].text.starts_with("slots=");
    if (shaped) {
      const std::string& text = line.words[1].text;
      const auto [end, error] = std::from_chars(text.data() + 6, text.data() + text.size(), slots);
      if (error != std::errc{} || end != text.data() + text.size()) slots = 0;
    }
    const Word& word = line.words[std::min<std::size_t>(1, line.words.size() - 1)];
    if (slots == 0 || slots > most_slots) {
      refuse_at(file, line.number, word.column, "'" + word.text + "' gives no number of slots",
                "HOST slots=N with N from 1 to 64");
    }
    if (found.gpus != 0 && found.gpus != slots) {
      refuse_at(file, line.number, word.column, "the hosts have different numbers of slots", "hosts that are alike");
    }
    if (!hosts.insert(line.words.front().text).second) {
      refuse_at(file, line.number, line.words.front().column, "'" + line.words.front().text + "' stands twice",
                "each host once, as DeepSpeed has it");
    }
    found.gpus = slots;
    ++found.nodes;
  }
  return found;
}

MachineFile read_xml_file(const std::string& text, const std::filesystem::path& path, const std::string& gpu_option,
                          const Catalogs& catalogs, std::vector<std::string>& assumptions) {
  const std::string file = path.string();
  const XmlElement root = read_xml(text, file);
  if (root.name != "system" && root.name != "topology") {
    refuse_at(file, root.line, root.column, "the root element is <" + root.name + ">",
              "<system> of NCCL or <topology> of hwloc");
  }
  if (root.name == "topology") check_hwloc_xml(root, file);
  Sketch sketch = root.name == "system"
                      ? read_nccl_xml(root, file, catalogs.devices)
                      : read_hwloc_xml(std::string_view(text).substr(text.find("<topology")), file, catalogs.devices);
  sketch.name = path.filename().string();
  return {complete(sketch, gpu_option, catalogs, assumptions), 1, 0};
}

}  // namespace

MachineFile read_machine_file(const std::filesystem::path& file, const std::string& gpu_option,
                              const Catalogs& catalogs, std::vector<std::string>& assumptions) {
  if (file.extension() == ".dot") return {read_dot(file, catalogs.links), 1, 0};
  const std::string text = read_file(
      file,
      {"--topology", "a file that nvidia-smi topo -m, lstopo --of xml or NCCL_TOPO_DUMP_FILE wrote", settings_limit});
  const std::vector<TextLine> lines = words_of_lines(text);
  const TextLine* first = first_line(lines);
  if (first != nullptr && first->words.front().text.front() == '<')
    return read_xml_file(text, file, gpu_option, catalogs, assumptions);
  if (first != nullptr && first->words.size() > 1 && first->words[1].text.starts_with("slots"))
    return read_hostfile(lines, file.string());
  Sketch sketch = first != nullptr && is_hwloc_tree(*first) ? read_hwloc_tree(lines, file.string(), catalogs.devices)
                                                            : read_matrix(text, file.string());
  sketch.name = file.filename().string();
  return {complete(sketch, gpu_option, catalogs, assumptions), 1, 0};
}

}  // namespace shardsim
