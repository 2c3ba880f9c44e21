// One HTML file that needs nothing else: no network, no other file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace shardsim {

/// `script` (a part of html/parts.hpp) draws `data`; `text` is what a browser without scripts shows.
std::string html_page(const std::string& title, std::string_view script, const nlohmann::ordered_json& data,
                      const std::string& text);

}  // namespace shardsim
