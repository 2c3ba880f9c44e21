#include "sim/topology/device.hpp"

#include <algorithm>
#include <fstream>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/spec_file.hpp"

namespace shardsim {

namespace {

/// The lines before the figures: enough to know a file by its other names without parsing it.
struct Heading {
  std::string name;
  std::string kind;
  std::vector<std::string> aliases;
  std::vector<std::string> pci_ids;
};

std::vector<std::string> inline_list(std::string_view text) {
  std::vector<std::string> items;
  std::string item;
  for (char c : text) {
    if (c == ',' || c == ']') {
      if (!item.empty()) items.push_back(item);
      item.clear();
    } else if (c != '[' && c != ' ' && c != '"' && c != '\'') {
      item += c;
    }
  }
  return items;
}

Heading read_heading(const std::filesystem::path& path) {
  Heading heading;
  heading.name = path.stem().string();
  std::ifstream file(path);
  for (std::string line; std::getline(file, line) && line.find('{') == std::string::npos;) {
    if (line.starts_with("kind:")) heading.kind = line.substr(line.find_first_not_of(' ', 5));
    if (line.starts_with("aliases:")) heading.aliases = inline_list(std::string_view(line).substr(8));
    if (line.starts_with("pci_ids:")) heading.pci_ids = inline_list(std::string_view(line).substr(8));
  }
  return heading;
}

std::vector<std::filesystem::path> yaml_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  if (error) throw InputError("the device files cannot be read", folder.string(), "a folder of YAML files");
  std::sort(files.begin(), files.end());
  return files;
}

struct Found {
  std::filesystem::path path;
  bool by_alias = false;
};

/// A file by its own name first, which reads nothing; else by an alias, which reads the headings.
Found find_part(const std::filesystem::path& folder, std::string_view kind, std::string_view name,
                std::string_view where) {
  const std::string wanted = normalized_name(name);
  const std::vector<std::filesystem::path> files = yaml_files(folder);
  for (const auto& path : files) {
    if (normalized_name(path.stem().string()) == wanted) return {path, false};
  }
  std::vector<std::string> known;
  for (const auto& path : files) {
    const Heading heading = read_heading(path);
    if (heading.kind != kind) continue;
    known.push_back(heading.name);
    for (const std::string& alias : heading.aliases) {
      if (normalized_name(alias) == wanted) return {path, true};
    }
  }
  throw_unknown_name(kind == "gpu" ? "device" : kind, name, where, known);
}

SpecFile open_part(const std::filesystem::path& path, const std::string& kind, std::string_view where) {
  SpecFile file(path);
  if (file.text("kind") != kind) {
    throw InputError(path.stem().string() + " is a " + file.text("kind") + ", not a " + kind, std::string(where),
                     "the name of a " + kind);
  }
  file.list("aliases");
  file.list("pci_ids");
  return file;
}

/// The parts that the typed name could also have meant: those that begin with its first word.
std::string other_parts(const std::filesystem::path& folder, std::string_view typed, const std::string& chosen) {
  const std::string word = normalized_name(typed.substr(0, typed.find_first_of("- _")));
  std::vector<std::string> others;
  for (const auto& path : yaml_files(folder)) {
    const std::string name = path.stem().string();
    if (name != chosen && normalized_name(name).starts_with(word)) others.push_back(name);
  }
  if (others.empty()) return "";
  std::string sentence = "; name ";
  for (std::size_t i = 0; i < others.size(); ++i) {
    if (i > 0) sentence += i + 1 == others.size() ? " or " : ", ";
    sentence += others[i];
  }
  return sentence + (others.size() > 1 ? " for the others" : " for the other");
}

std::vector<std::string> names_of_kind(const std::filesystem::path& folder, std::string_view kind) {
  std::vector<std::string> names;
  for (const auto& path : yaml_files(folder)) {
    if (read_heading(path).kind == kind) names.push_back(path.stem().string());
  }
  return names;
}

/// What parts of one family share when nobody measured each.
const std::vector<std::string> shared_keys = {"memory_efficiency",
                                              "matmul_efficiency",
                                              "collective_slowdown",
                                              "attention_forward_curve",
                                              "attention_backward_curve",
                                              "kernel_launch",
                                              "kernel_floor",
                                              "context_memory",
                                              "nccl_memory",
                                              "cublas_workspace"};

GpuSpec read_gpu(const SpecFile& file) {
  GpuSpec spec;
  spec.vendor = file.text("vendor");
  spec.arch = file.text("arch");
  spec.memory = file.bytes("memory");
  if (spec.memory.value() <= 0) throw InputError("the GPU has no memory", file.where("memory"), "more than 0 GiB");
  spec.memory_bandwidth = file.bandwidth("memory_bandwidth");
  spec.memory_efficiency = file.number("memory_efficiency", 0.01, 1);
  spec.matmul_f32 = file.flop_rate("matmul_f32");
  if (file.has("matmul_16bit")) spec.matmul_16bit = file.flop_rate("matmul_16bit");
  if (file.has("matmul_f8")) spec.matmul_f8 = file.flop_rate("matmul_f8");
  spec.has_bf16 = file.flag("has_bf16");
  spec.multiprocessors = static_cast<int>(file.number("multiprocessors", 1, 10000));
  spec.matmul_efficiency = file.number("matmul_efficiency", 0.01, 1);
  spec.collective_slowdown = file.number("collective_slowdown", 0, 0.9);
  spec.attention_forward_curve = file.curve("attention_forward_curve");
  spec.attention_backward_curve = file.curve("attention_backward_curve");
  spec.kernel_launch = file.time("kernel_launch");
  spec.kernel_floor = file.time("kernel_floor");
  if (file.has("nvlink")) {
    spec.nvlink = file.bandwidth("nvlink");
    spec.nvlink_switch = file.flag("nvlink_switch");
    if (spec.nvlink_switch) spec.nvlink_type = file.text("nvlink_type");
    if (file.has("nvlink_peer_type")) spec.nvlink_peer_type = file.text("nvlink_peer_type");
  }
  spec.peer_to_peer_over_pcie = file.flag("peer_to_peer_over_pcie");
  spec.pcie_generation = static_cast<int>(file.number("pcie_generation", 1, 7));
  spec.pcie_lanes = static_cast<int>(file.number("pcie_lanes", 1, 32));
  spec.context_memory = file.bytes("context_memory");
  spec.nccl_memory = file.bytes("nccl_memory");
  spec.cublas_workspace = file.bytes("cublas_workspace");
  spec.power_watts = file.number("power_watts", 1, 100000);
  if (file.has("price_usd")) spec.price_usd = file.number("price_usd", 0, 1e7);
  spec.default_systems = file.list("default_systems");
  return spec;
}

// A user's own file says what differs; all else is the device's that it is like.
GpuSpec own_gpu(const std::filesystem::path& folder, const std::filesystem::path& path, std::string_view where) {
  SpecFile file = open_part(path, "gpu", where);
  if (file.has("like")) {
    const std::filesystem::path like = folder / (file.text("like") + ".yaml");
    SpecFile base(like);
    if (base.has("like")) base.inherit(SpecFile(folder / (base.text("like") + ".yaml")), shared_keys);
    file.inherit(base);
  }
  GpuSpec spec = read_gpu(file);
  file.refuse_unread();
  spec.name = path.stem().string();
  return spec;
}

}  // namespace

DeviceCatalog::DeviceCatalog(std::filesystem::path folder) : folder_(std::move(folder)) {}

GpuSpec DeviceCatalog::gpu(std::string_view name, std::string_view where, std::vector<std::string>& assumptions) const {
  if (name.ends_with(".yaml")) return own_gpu(folder_, std::filesystem::path(name), where);
  const Found found = find_part(folder_, "gpu", name, where);
  SpecFile file = open_part(found.path, "gpu", where);
  if (file.has("like")) file.inherit(SpecFile(folder_ / (file.text("like") + ".yaml")), shared_keys);
  GpuSpec spec = read_gpu(file);
  file.refuse_unread();
  spec.name = found.path.stem().string();
  if (found.by_alias) {
    assumptions.push_back(std::string(name) + " is taken as " + spec.name + other_parts(folder_, name, spec.name));
  }
  return spec;
}

CpuSpec DeviceCatalog::cpu(std::string_view name, std::string_view where) const {
  const Found found = find_part(folder_, "cpu", name, where);
  const SpecFile file = open_part(found.path, "cpu", where);
  CpuSpec spec;
  spec.name = found.path.stem().string();
  spec.cores = static_cast<int>(file.number("cores", 1, 4096));
  spec.numa_nodes = static_cast<int>(file.number("numa_nodes", 1, 64));
  spec.memory_bandwidth = file.bandwidth("memory_bandwidth");
  spec.memory_efficiency = file.number("memory_efficiency", 0.01, 1);
  spec.optimizer_parameters_per_core_second = file.number("optimizer_parameters_per_core_second", 1, 1e12);
  file.refuse_unread();
  return spec;
}

NicSpec DeviceCatalog::nic(std::string_view name, std::string_view where) const {
  const Found found = find_part(folder_, "nic", name, where);
  const SpecFile file = open_part(found.path, "nic", where);
  NicSpec spec;
  spec.name = found.path.stem().string();
  spec.bandwidth = file.bandwidth("bandwidth");
  spec.efficiency = file.number("efficiency", 0.01, 1);
  spec.latency = file.time("latency");
  file.refuse_unread();
  return spec;
}

DriveSpec DeviceCatalog::drive(std::string_view name, std::string_view where) const {
  const Found found = find_part(folder_, "drive", name, where);
  const SpecFile file = open_part(found.path, "drive", where);
  DriveSpec spec;
  spec.name = found.path.stem().string();
  spec.capacity = file.bytes("capacity");
  spec.read = file.bandwidth("read");
  spec.write = file.bandwidth("write");
  file.refuse_unread();
  return spec;
}

std::vector<std::string> DeviceCatalog::gpu_names() const { return names_of_kind(folder_, "gpu"); }

std::vector<std::string> DeviceCatalog::cpu_names() const { return names_of_kind(folder_, "cpu"); }

std::string DeviceCatalog::gpu_of_pci_id(std::string_view id) const {
  for (const auto& path : yaml_files(folder_)) {
    const std::vector<std::string> ids = read_heading(path).pci_ids;
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) return path.stem().string();
  }
  return "";
}

}  // namespace shardsim
