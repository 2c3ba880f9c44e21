// The names that options take: what `shardsim list` prints, help shows and shells complete.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/request/option_table.hpp"
#include "sim/simulate.hpp"

namespace shardsim {

struct KindOfName {
  std::string_view name;    ///< "models"
  std::string_view option;  ///< that takes them, without the dashes
  std::string_view remark;  ///< what else it takes
  std::vector<std::string> (*names)(const DataFolders& data);
  std::string (*detail)(const std::string& name, const DataFolders& data) = nullptr;  ///< null: the name says it all
};
std::span<const KindOfName> kinds_of_names();

/// The names that an option takes; none where it takes numbers, files or words of the user's own.
std::vector<std::string> names_for(const OptionSpec& option, const DataFolders& data);

}  // namespace shardsim
