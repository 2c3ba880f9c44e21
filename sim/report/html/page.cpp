#include "sim/report/html/page.hpp"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "sim/report/html/parts.hpp"
#include "sim/report/json_text.hpp"

namespace shardsim {

namespace {

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  for (std::size_t begin = 0;;) {
    const std::size_t at = text.find(what, begin);
    out += text.substr(begin, at - begin);
    if (at == std::string_view::npos) return out;
    out += by;
    begin = at + what.size();
  }
}

std::string escaped(std::string_view text) { return replaced(replaced(text, "&", "&amp;"), "<", "&lt;"); }

}  // namespace

std::string html_page(const std::string& title, std::string_view script, const nlohmann::ordered_json& data,
                      const std::string& text) {
  const std::string json = json_text(data);
  const std::vector<std::pair<std::string_view, std::string>> fillings = {
      {"{{title}}", escaped(title)},         {"{{style}}", std::string(html::style)},
      {"{{text}}", escaped(text)},           {"{{data}}", replaced(json, "<", "\\u003c")},
      {"{{vega}}", std::string(html::vega)}, {"{{charts}}", std::string(html::charts)},
      {"{{script}}", std::string(script)},
  };
  std::string out;
  std::string_view left = html::page;
  for (const auto& [mark, filling] : fillings) {  // in the order in which they stand in page.html
    const std::size_t at = left.find(mark);
    out += left.substr(0, at);
    out += filling;
    left.remove_prefix(at + mark.size());
  }
  return out.append(left);
}

}  // namespace shardsim
