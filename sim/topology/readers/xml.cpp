#include "sim/topology/readers/xml.hpp"

#include <expat.h>

#include <algorithm>
#include <memory>

#include "sim/topology/readers/text_lines.hpp"

namespace shardsim {

namespace {

constexpr std::size_t deepest = 64;

struct Building {
  XML_Parser parser = nullptr;
  XmlElement root;
  std::vector<XmlElement*> open;
  std::string refusal;
};

void stop(Building& building, const char* refusal) {
  building.refusal = refusal;
  XML_StopParser(building.parser, XML_FALSE);
}

void XMLCALL start(void* data, const XML_Char* name, const XML_Char** attributes) {
  Building& building = *static_cast<Building*>(data);
  if (building.open.size() >= deepest) return stop(building, "elements are nested deeper than 64");
  XmlElement element;
  element.name = name;
  element.line = XML_GetCurrentLineNumber(building.parser);
  element.column = XML_GetCurrentColumnNumber(building.parser) + 1;
  for (; *attributes != nullptr; attributes += 2) element.attributes[attributes[0]] = attributes[1];
  if (building.open.empty()) {
    building.root = std::move(element);
    building.open.push_back(&building.root);
  } else {
    // A parent gets no further child while this one is open, so the pointer stays good.
    building.open.back()->children.push_back(std::move(element));
    building.open.push_back(&building.open.back()->children.back());
  }
}

void XMLCALL end(void* data, const XML_Char*) { static_cast<Building*>(data)->open.pop_back(); }

void XMLCALL entity(void* data, const XML_Char*, int, const XML_Char*, int, const XML_Char*, const XML_Char*,
                    const XML_Char*, const XML_Char*) {
  stop(*static_cast<Building*>(data), "the file declares entities");
}

}  // namespace

const std::string& XmlElement::attribute(const std::string& key) const {
  static const std::string none;
  const auto found = attributes.find(key);
  return found == attributes.end() ? none : found->second;
}

XmlElement read_xml(std::string_view text, const std::string& file) {
  const std::size_t begin = std::min(text.find('<'), text.size());
  const auto lines_before =
      static_cast<std::size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(begin), '\n'));
  const std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser(XML_ParserCreate(nullptr), XML_ParserFree);
  Building building;
  building.parser = parser.get();
  XML_SetUserData(parser.get(), &building);
  XML_SetElementHandler(parser.get(), start, end);
  XML_SetEntityDeclHandler(parser.get(), entity);
  const std::string_view body = text.substr(begin);
  if (XML_Parse(parser.get(), body.data(), static_cast<int>(body.size()), XML_TRUE) != XML_STATUS_OK) {
    const std::string problem =
        building.refusal.empty() ? XML_ErrorString(XML_GetErrorCode(parser.get())) : building.refusal;
    refuse_at(file, lines_before + XML_GetCurrentLineNumber(parser.get()), XML_GetCurrentColumnNumber(parser.get()) + 1,
              "malformed XML: " + problem, "NCCL's topology XML or hwloc's (lstopo --of xml)");
  }
  std::vector<XmlElement*> all = {&building.root};
  while (!all.empty()) {
    XmlElement* element = all.back();
    all.pop_back();
    element->line += lines_before;
    for (XmlElement& child : element->children) all.push_back(&child);
  }
  return std::move(building.root);
}

}  // namespace shardsim
