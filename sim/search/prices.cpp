#include "sim/search/prices.hpp"

#include <fmt/format.h>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/request/settings.hpp"

namespace shardsim {

namespace {

constexpr double most_usd = 1e12;

std::optional<double> amount(const nlohmann::json& entry, const std::string& key, const std::string& where) {
  const auto value = entry.find(key);
  if (value == entry.end()) return {};
  const double dollars = value->is_number() ? value->get<double>() : 0;
  if (!(dollars > 0 && dollars <= most_usd)) {
    throw InputError("'" + key + "' is no price", where,
                     fmt::format("US dollars, more than 0, at most {:g}", most_usd));
  }
  return dollars;
}

std::string source(const nlohmann::json& entry, const std::string& key, const std::string& where) {
  const auto value = entry.find(key);
  if (value == entry.end()) return "";
  if (!value->is_string()) throw InputError("'" + key + "' is no text", where, "who says so, with the date");
  return value->get<std::string>();
}

std::map<std::string, Price> read_entries(const nlohmann::json& section, const std::string& where) {
  if (!section.is_object())
    throw InputError("this is no list of prices", where, "name: {rent: 12.5, rent_source: ...}");
  static const std::vector<std::string> known{"rent", "rent_source", "buy", "buy_source"};
  std::map<std::string, Price> prices;
  for (const auto& [name, entry] : section.items()) {
    const std::string place = where + ", " + name;
    if (!entry.is_object()) throw InputError("this is no price", place, "{rent: 12.5, rent_source: ...}");
    for (const auto& [key, value] : entry.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) throw_unknown_name("key", key, place, known);
    }
    Price price{amount(entry, "rent", place), source(entry, "rent_source", place), amount(entry, "buy", place),
                source(entry, "buy_source", place)};
    if ((price.rent_per_hour && price.rent_source.empty()) || (price.buy && price.buy_source.empty())) {
      throw InputError("this price does not say where it is from", place, "rent_source or buy_source, with the date");
    }
    prices.insert_or_assign(normalized_name(name), std::move(price));
  }
  return prices;
}

}  // namespace

void PriceList::read(const std::filesystem::path& file) {
  const nlohmann::json root = read_yaml_settings(file, "--prices");
  static const std::vector<std::string> known{"systems", "gpu_hours"};
  for (const auto& [key, section] : root.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw_unknown_name("section", key, file.string(), known);
    std::map<std::string, Price>& target = key == "systems" ? systems_ : gpu_hours_;
    for (auto& [name, price] : read_entries(section, file.string() + ": " + key)) {
      Price& held = target[name];
      if (price.rent_per_hour) held.rent_per_hour = price.rent_per_hour, held.rent_source = price.rent_source;
      if (price.buy) held.buy = price.buy, held.buy_source = price.buy_source;
    }
  }
}

Price PriceList::of(const std::string& system, const Topology& node) const {
  Price price;
  if (const auto listed = systems_.find(normalized_name(system)); listed != systems_.end()) price = listed->second;
  const GpuSpec& gpu = node.devices.front().spec;
  const double gpus = static_cast<double>(node.devices.size());
  if (!price.rent_per_hour && node.price_per_hour_usd > 0) {
    price.rent_per_hour = node.price_per_hour_usd;
    price.rent_source = node.price_source;
  }
  if (!price.rent_per_hour) {
    if (const auto hour = gpu_hours_.find(normalized_name(gpu.name));
        hour != gpu_hours_.end() && hour->second.rent_per_hour) {
      price.rent_per_hour = *hour->second.rent_per_hour * gpus;
      price.rent_source = fmt::format("{} x {} USD an hour: {}", node.devices.size(), *hour->second.rent_per_hour,
                                      hour->second.rent_source);
    }
  }
  if (!price.buy && gpu.price_usd) {
    price.buy = *gpu.price_usd * gpus;
    price.buy_source = "its GPUs alone";
  }
  return price;
}

}  // namespace shardsim
