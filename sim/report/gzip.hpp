// Compression as gzip does it, for files that other programs open.
#pragma once

#include <string>
#include <string_view>

namespace shardsim {

/// The same text always gives the same bytes: no time and no name is stored.
std::string gzipped(std::string_view text);

}  // namespace shardsim
