#include "sim/topology/readers/hwloc_check.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "sim/topology/readers/text_lines.hpp"

namespace shardsim {

namespace {

constexpr std::array sets = {"cpuset", "complete_cpuset", "nodeset", "complete_nodeset"};

/// Bits as hwloc writes them, "0x00000003,0xffffffff", the highest word first; cut to the words that are not zero.
using Bits = std::vector<std::uint32_t>;

class Checker {
 public:
  explicit Checker(const std::string& file) : file_(file) {}

  void topology(const XmlElement& root) {
    if (!root.attribute("version").starts_with("2.")) {
      refuse(root, "the file is of hwloc version '" + root.attribute("version") + "'",
             "hwloc 2's XML, version=\"2.0\"");
    }
    const XmlElement* machine = nullptr;
    for (const XmlElement& child : root.children) {
      if (child.name != "object") continue;
      if (machine != nullptr) refuse(child, "the file has two machines", "one");
      machine = &child;
    }
    if (machine == nullptr || machine->attribute("type") != "Machine")
      refuse(root, "the file has no machine", "<object type=\"Machine\">");
    object(*machine, nullptr);
  }

 private:
  [[noreturn]] void refuse(const XmlElement& element, const std::string& what, const std::string& right) const {
    refuse_at(file_, element.line, element.column, what, right);
  }

  Bits bits(const XmlElement& element, const std::string& key) const {
    constexpr std::size_t most_words = 512;
    const std::string& text = element.attribute(key);
    Bits found;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      std::string_view word = std::string_view(text).substr(begin, end - begin);
      if (word.starts_with("0x")) word.remove_prefix(2);
      std::uint32_t value = 0;
      const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
      if ((!word.empty() && (error != std::errc{} || stop != word.data() + word.size())) || text.empty() ||
          found.size() == most_words) {
        refuse(element, "'" + text.substr(0, 60) + "' is no usable " + key, "a set such as 0x0000000f");
      }
      found.push_back(value);
      begin = end + 1;
    }
    std::reverse(found.begin(), found.end());
    while (!found.empty() && found.back() == 0) found.pop_back();
    return found;
  }

  static bool within(const Bits& inner, const Bits& outer) {
    if (inner.size() > outer.size()) return false;
    for (std::size_t i = 0; i < inner.size(); ++i) {
      if ((inner[i] & ~outer[i]) != 0) return false;
    }
    return true;
  }

  void number(const XmlElement& element, const std::string& key, bool real) const {
    const std::string& text = element.attribute(key);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = real || text.find_first_not_of("0123456789") == std::string::npos;
    if (error != std::errc{} || end != text.data() + text.size() || !whole || !(value >= 0 && value < 1e18)) {
      refuse(element, "'" + text.substr(0, 60) + "' is no usable " + key, "a number");
    }
  }

  void attributes(const XmlElement& object) {
    static const std::set<std::string> whole = {"os_index", "gp_index",   "local_memory",   "cache_size",
                                                "depth",    "cache_type", "cache_linesize", "cache_associativity",
                                                "kind",     "subkind",    "dont_merge"};
    static const std::set<std::string> other = {"type",           "subtype",         "name",           "id",
                                                "allowed_cpuset", "allowed_nodeset", "bridge_type",    "bridge_pci",
                                                "pci_busid",      "pci_type",        "pci_link_speed", "osdev_type"};
    for (const auto& [key, value] : object.attributes) {
      if (whole.contains(key)) {
        number(object, key, false);
      } else if (key == "pci_link_speed") {
        number(object, key, true);
      } else if (!other.contains(key) && std::find(sets.begin(), sets.end(), key) == sets.end()) {
        refuse(object, "unknown attribute '" + key + "'", "what 'lstopo --of xml' writes");
      }
    }
    if (const std::string& id = object.attribute("gp_index"); !id.empty() && !ids_.insert(id).second)
      refuse(object, "two objects have the gp_index " + id, "one each");
  }

  void object(const XmlElement& object, const XmlElement* parent) {
    static const std::set<std::string> io = {"Bridge", "PCIDev", "OSDev", "Misc"};
    static const std::set<std::string> normal = {"Machine",  "Package",  "Die",      "Group",   "Core",    "PU",
                                                 "NUMANode", "MemCache", "L1Cache",  "L2Cache", "L3Cache", "L4Cache",
                                                 "L5Cache",  "L1iCache", "L2iCache", "L3iCache"};
    const std::string& type = object.attribute("type");
    const bool is_io = io.contains(type);
    if (!is_io && (!normal.contains(type) || (type == "Machine") != (parent == nullptr)))
      refuse(object, "an object of type '" + type + "' stands here", "what 'lstopo --of xml' writes");
    attributes(object);
    if (!is_io) {
      if (parent != nullptr && io.contains(parent->attribute("type")))
        refuse(object, "a " + type + " stands below a device", "devices below processors");
      for (const char* set : sets) {
        const Bits own = bits(object, set);
        if (own.empty() && type != "NUMANode")
          refuse(object, std::string("the ") + set + " is empty", "at least one bit");
        if (parent != nullptr && !within(own, bits(*parent, set)))
          refuse(object, std::string("the ") + set + " goes beyond its parent's", "a part of it");
      }
      if ((type == "NUMANode" || type == "PU") && object.attribute("os_index").empty())
        refuse(object, "the " + type + " has no os_index", "os_index=\"0\"");
    }
    for (const XmlElement& child : object.children) {
      if (child.name == "object") this->object(child, &object);
    }
  }

  const std::string& file_;
  std::set<std::string> ids_;
};

}  // namespace

void check_hwloc_xml(const XmlElement& topology, const std::string& file) { Checker(file).topology(topology); }

}  // namespace shardsim
