// Where the shipped files lie, a scratch DOT file, and the text of an InputError.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "sim/topology/topology.hpp"

namespace shardsim {

inline std::filesystem::path topologies() { return std::filesystem::path(SHARDSIM_SOURCE) / "topologies"; }

inline Topology load(std::string_view text, const TopologyOptions& options = {}) {
  return load_topology(text, options, topologies());
}

/// Removed again when it goes out of scope.
class ScratchFile {
 public:
  ScratchFile(const std::string& name, const std::string& text)
      : path_(std::filesystem::temp_directory_path() / ("shardsim-" + std::to_string(counter()++) + "-" + name)) {
    std::ofstream(path_) << text;
  }
  ~ScratchFile() { std::filesystem::remove(path_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  static int& counter() {
    static int count = 0;
    return count;
  }
  std::filesystem::path path_;
};

/// What the InputError of `action` says; fails the test when there is none.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  FAIL("nothing was refused");
  return "";
}

/// "gpu0>sw0 sw0>numa0 dram0": a route as text, shares other than 1 in front.
inline std::string path_of(const Topology& topology, const std::vector<LinkUse>& uses) {
  std::string text;
  for (const LinkUse& use : uses) {
    if (!text.empty()) text += ' ';
    if (use.share != 1) text += std::to_string(use.share).substr(0, 4) + "*";
    text += topology.name_of(use.link);
  }
  return text;
}

/// The link of this name.
inline LinkId link_named(const Topology& topology, const std::string& name) {
  for (std::size_t i = 0; i < topology.links.size(); ++i) {
    if (topology.name_of(LinkId(i)) == name) return LinkId(i);
  }
  FAIL("no link " << name);
  return {};
}

inline std::vector<DeviceId> everyone(const Topology& topology) {
  std::vector<DeviceId> group;
  for (std::size_t i = 0; i < topology.devices.size(); ++i) group.push_back(DeviceId(i));
  return group;
}

}  // namespace shardsim
