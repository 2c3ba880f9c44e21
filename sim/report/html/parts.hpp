// The files of this folder and Vega, as the build embeds them (embed.cmake).
#pragma once

#include <string_view>

namespace shardsim::html {

extern const std::string_view page;    ///< page.html: what the others go into
extern const std::string_view style;   ///< style.css
extern const std::string_view vega;    ///< Vega's modules and vega_index.js: the global `vega`
extern const std::string_view charts;  ///< charts.js: what reports of one run and of many share
extern const std::string_view run;     ///< the report of one run
extern const std::string_view points;  ///< the report of a sweep or a plan

}  // namespace shardsim::html
