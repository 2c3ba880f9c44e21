#include "sim/topology/shorthand.hpp"

#include <charconv>
#include <optional>
#include <vector>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"
#include "sim/topology/machine.hpp"

namespace shardsim {

namespace {

constexpr std::size_t most_gpus_a_node = 64;

const std::string* find_system(std::string_view text, std::span<const std::string> systems) {
  for (const std::string& system : systems) {
    if (normalized_name(system) == normalized_name(text)) return &system;
  }
  return nullptr;
}

/// Takes "8x" (or a bare "8" at the end) off the front.
std::optional<std::size_t> take_count(std::string_view& text, std::string_view whole) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  const bool counts = digits > 0 && (digits == text.size() || text[digits] == 'x' || text[digits] == 'X');
  if (!counts) return std::nullopt;
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
  if (error != std::errc{} || value == 0 || value > most_gpus) {
    throw InputError("'" + std::string(text.substr(0, digits)) + "' is no usable count",
                     "--topology " + std::string(whole), "from 1 to 65536 GPUs, such as 4xA100 or 2x8xH100");
  }
  text.remove_prefix(std::min(digits + 1, text.size()));
  return value;
}

}  // namespace

Shorthand parse_shorthand(std::string_view text, std::span<const std::string> systems) {
  Shorthand result;
  if (const std::string* system = find_system(text, systems)) {
    result.system = *system;
    return result;
  }
  const std::string where = "--topology " + std::string(text);
  std::string_view rest = text;
  const std::optional<std::size_t> first = take_count(rest, text);
  if (!first) throw_unknown_name("topology", text, "--topology", systems);
  if (const std::string* system = find_system(rest, systems)) {
    result.nodes = *first;
    result.system = *system;
    return result;
  }
  const std::optional<std::size_t> second = take_count(rest, text);
  result.nodes = second ? *first : 1;
  result.gpus = second ? *second : *first;
  result.device = rest;
  if (result.gpus > most_gpus_a_node) {
    throw InputError(std::to_string(result.gpus) + " GPUs do not fit one node", where,
                     "at most 64 a node; a device as 'shardsim list devices' names it, such as 8xRTX-4090; "
                     "NODESxGPUSxDEVICE such as 8x8xH100 for several nodes");
  }
  if (result.nodes * result.gpus > most_gpus) {
    throw InputError(std::to_string(result.nodes * result.gpus) + " GPUs are too many", where, "at most 65536");
  }
  return result;
}

}  // namespace shardsim
