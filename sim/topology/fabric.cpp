#include "sim/topology/fabric.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"

namespace shardsim {

namespace {

constexpr const char* fabrics =
    "rail, fat-tree:2 (two times oversubscribed), fat-tree:2:4 (four nodes a leaf) or ethernet:25G";

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void refuse(std::string_view text) {
  throw InputError("'" + std::string(text) + "' is no fabric", "--fabric", fabrics);
}

}  // namespace

Fabric parse_fabric(std::string_view text) {
  constexpr double most_oversubscribed = 1000;
  constexpr std::size_t most_nodes = 65536;
  Fabric fabric;
  if (text.empty()) return fabric;
  const auto colon = std::min(text.find(':'), text.size());
  const std::string_view kind = text.substr(0, colon);
  std::string_view rest = colon < text.size() ? text.substr(colon + 1) : std::string_view();
  if (kind == "rail" && colon == text.size()) {
    fabric.kind = Fabric::Kind::rail;
  } else if (kind == "fat-tree") {
    fabric.kind = Fabric::Kind::fat_tree;
    const auto second = std::min(rest.find(':'), rest.size());
    const auto factor = number<double>(rest.substr(0, second));
    const auto nodes =
        second < rest.size() ? number<std::size_t>(rest.substr(second + 1)) : std::optional<std::size_t>(1);
    if (!factor || !(*factor >= 1 && *factor <= most_oversubscribed) || !nodes || *nodes < 1 || *nodes > most_nodes)
      refuse(text);
    fabric.oversubscription = *factor;
    fabric.nodes_a_leaf = *nodes;
  } else if (kind == "ethernet" && !rest.empty()) {
    fabric.kind = Fabric::Kind::ethernet;
    std::string speed(rest);
    if (speed.ends_with("GbE")) speed.resize(speed.size() - 2);
    if (speed.ends_with('G')) speed += "b/s";
    fabric.port = parse_bandwidth(speed, "--fabric");
    if (fabric.port->bytes_per_second <= 0) refuse(text);
  } else {
    refuse(text);
  }
  return fabric;
}

std::vector<SlowGpu> parse_slow_gpus(std::string_view text, std::size_t devices) {
  std::vector<SlowGpu> found;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view one = text.substr(begin, end - begin);
    const auto colon = std::min(one.find(':'), one.size());
    const auto device = number<std::size_t>(one.substr(0, colon));
    const auto speed = colon < one.size() ? number<double>(one.substr(colon + 1)) : std::nullopt;
    if (!device || !speed || !(*speed >= 0.01 && *speed <= 1)) {
      throw InputError("'" + std::string(one) + "' names no slow GPU", "--slow-gpu",
                       "GPU:SPEED such as 3:0.8, a speed from 0.01 to 1");
    }
    const bool twice =
        std::any_of(found.begin(), found.end(), [&](const SlowGpu& gpu) { return gpu.device == *device; });
    if (*device >= devices || twice) {
      throw InputError(twice ? "GPU " + std::to_string(*device) + " is named twice"
                             : "the machine has no GPU " + std::to_string(*device),
                       "--slow-gpu", "GPUs from 0 to " + std::to_string(devices - 1) + ", once each");
    }
    found.push_back({*device, *speed});
    begin = end + 1;
  }
  return found;
}

}  // namespace shardsim
