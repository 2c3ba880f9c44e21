// Text in a field of CSV.
#pragma once

#include <string>
#include <string_view>

namespace shardsim {

/// RFC 4180: a field with a comma, a quote or a line end stands in quotes, its own quotes doubled.
std::string csv_field(std::string_view text);

}  // namespace shardsim
