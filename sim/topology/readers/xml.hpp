// An XML file as a tree of elements that know where they stand (parsed by expat).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

struct XmlElement {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::vector<XmlElement> children;
  std::size_t line = 1, column = 1;

  /// Empty where there is none.
  const std::string& attribute(const std::string& key) const;
};

/// Lines before the first '<' are passed over. Throws InputError with line and column: malformed, nested deeper than
/// 64, or with entities of its own.
XmlElement read_xml(std::string_view text, const std::string& file);

}  // namespace shardsim
