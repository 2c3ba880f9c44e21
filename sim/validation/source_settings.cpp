#include "sim/validation/source_settings.hpp"

#include <algorithm>

#include "model/core/error.hpp"
#include "model/core/read_file.hpp"
#include "sim/request/option_table.hpp"
#include "sim/validation/csv.hpp"

namespace shardsim {

namespace {

const std::vector<std::string> columns = {"source", "when", "option", "value", "because"};

SourceSetting::Condition condition(const std::string& text, const std::string& where) {
  const std::size_t sign = text.find_first_of("=~");
  if (sign == std::string::npos || sign == 0) {
    throw InputError("'" + text + "' is no condition", where, "option=value or notes~text, with '; ' between several");
  }
  return {text.substr(0, sign), text.substr(sign + 1), text[sign] == '~'};
}

/// Files lie beside the table.
std::string resolved(const std::string& value, const std::filesystem::path& table) {
  const std::filesystem::path path = table.parent_path() / value;
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) ? path.string() : value;
}

SourceSetting setting(const CsvRow& row, const std::filesystem::path& table, const std::string& where) {
  if (row.fields.size() != columns.size()) {
    throw InputError(std::to_string(row.fields.size()) + " fields", where, std::to_string(columns.size()));
  }
  SourceSetting made;
  made.source = row.fields[0];
  std::string rest = row.fields[1];
  constexpr std::string_view separator = "; ";
  while (!rest.empty()) {
    const std::size_t end = rest.find(separator);
    made.conditions.push_back(condition(rest.substr(0, end), where));
    rest = end == std::string::npos ? "" : rest.substr(end + separator.size());
  }
  made.option = row.fields[2];
  made.value = resolved(row.fields[3], table);
  const std::vector<std::string> known = option_names();
  if (std::find(known.begin(), known.end(), made.option) == known.end()) {
    throw InputError("unknown option '" + made.option + "'", where, "a name that shardsim simulate --help lists");
  }
  return made;
}

bool holds(const SourceSetting::Condition& condition, const MeasuredRun& run, const OptionTexts& written) {
  if (condition.column == "notes") {
    return condition.contains ? run.notes.find(condition.text) != std::string::npos : run.notes == condition.text;
  }
  const auto option = written.find(condition.column);
  const std::string value = option == written.end() ? "" : option->second.value;
  return condition.contains ? value.find(condition.text) != std::string::npos : value == condition.text;
}

bool asks_for(const SourceSetting& setting, const std::string& option) {
  return std::any_of(setting.conditions.begin(), setting.conditions.end(),
                     [&](const SourceSetting::Condition& c) { return c.column == option; });
}

}  // namespace

std::vector<SourceSetting> read_source_settings(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return {};
  const std::string text = read_file(file, {"", "a CSV file of sources' settings", table_limit});
  const std::vector<CsvRow> rows = parse_csv(text, file.string());
  if (rows.empty() || rows.front().fields != columns) {
    throw InputError("another header", file.string() + ":1", "source,when,option,value,because");
  }
  std::vector<SourceSetting> settings;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    settings.push_back(setting(rows[i], file, file.string() + ":" + std::to_string(rows[i].line)));
  }
  return settings;
}

void apply_source_settings(MeasuredRuns& measured, const std::vector<SourceSetting>& settings) {
  for (MeasuredRun& run : measured.runs) {
    const OptionTexts written = run.options;
    for (const SourceSetting& setting : settings) {
      if (!run.source.starts_with(setting.source)) continue;
      if (written.contains(setting.option) && !asks_for(setting, setting.option)) continue;
      const bool meets = std::all_of(setting.conditions.begin(), setting.conditions.end(),
                                     [&](const auto& condition) { return holds(condition, run, written); });
      if (meets) run.options[setting.option] = {setting.value, "stated by " + setting.source + ", " + setting.option};
    }
  }
}

}  // namespace shardsim
