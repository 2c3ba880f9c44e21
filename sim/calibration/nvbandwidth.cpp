#include "sim/calibration/nvbandwidth.hpp"

#include <charconv>

#include "model/core/error.hpp"

namespace shardsim {

namespace {

using Json = nlohmann::json;

const std::string usual = "the output of nvbandwidth --json with host_to_device_memcpy_ce";

enum class Direction : std::uint8_t { to_device, to_host, read, write };

std::optional<Direction> direction_of(const std::string& name) {
  if (name == "host_to_device_memcpy_ce") return Direction::to_device;
  if (name == "device_to_host_memcpy_ce") return Direction::to_host;
  if (name == "device_to_device_memcpy_read_ce") return Direction::read;
  if (name == "device_to_device_memcpy_write_ce") return Direction::write;
  return std::nullopt;
}

/// Of a copy of a gigabyte; the matrix does not say how much was copied.
TimedCopy copy(Direction direction, std::size_t row, std::size_t column, double gigabytes_a_second) {
  TimedCopy copy;
  copy.bytes = 1e9;
  copy.seconds = 1 / gigabytes_a_second;
  switch (direction) {
    case Direction::to_device:
      copy.to = column;
      break;
    case Direction::to_host:
      copy.from = column;
      break;
    case Direction::read:
      copy.from = row;
      copy.to = column;
      break;
    case Direction::write:
      copy.from = column;
      copy.to = row;
      break;
  }
  return copy;
}

/// A cell is a text; "N/A" where there is no such copy. None: no such copy.
std::optional<double> rate(const JsonReader& json, const Json& cell, const std::string& where) {
  if (cell == "N/A") return std::nullopt;
  double value = 0;
  bool right = cell.is_number();
  if (right) value = cell.get<double>();
  if (cell.is_string()) {
    const std::string text = cell.get<std::string>();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    right = error == std::errc{} && end == text.data() + text.size();
  }
  if (!right || !(value > 0 && value < 1e6)) {
    throw InputError(cell.dump() + " is no bandwidth", json.place(where, "bandwidth_matrix"), "GB/s, or N/A");
  }
  return value;
}

void read_matrix(const JsonReader& json, const Json& test, Direction direction, const std::string& where,
                 Measurements& m) {
  const Json& matrix = json.need(test, "bandwidth_matrix", where);
  if (!matrix.is_array()) throw InputError("no list", json.place(where, "bandwidth_matrix"), "rows of GB/s");
  for (std::size_t row = 0; row < matrix.size(); ++row) {
    if (!matrix[row].is_array()) throw InputError("no list", json.place(where, "bandwidth_matrix"), "rows of GB/s");
    for (std::size_t column = 0; column < matrix[row].size(); ++column) {
      const std::optional<double> found = rate(json, matrix[row][column], where);
      if (found) m.copies.push_back(copy(direction, row, column, *found));
    }
  }
}

}  // namespace

bool is_nvbandwidth(const JsonReader& json) { return json.document().contains("nvbandwidth"); }

Measurements read_nvbandwidth(const JsonReader& json) {
  Measurements m;
  const Json& root = json.document()["nvbandwidth"];
  const std::string place = "nvbandwidth";
  if (!root.is_object()) throw InputError("no object", json.place("", place), usual);
  const Json& tests = json.need(root, "testcases", place);
  if (!tests.is_array()) throw InputError("no list", json.place(place, "testcases"), usual);
  for (std::size_t i = 0; i < tests.size(); ++i) {
    const std::string where = place + ".testcases[" + std::to_string(i) + "]";
    if (!tests[i].is_object()) throw InputError("no object", json.place("", where), "a test case");
    const std::optional<Direction> direction = direction_of(json.text(tests[i], "name", where));
    if (!direction || json.text(tests[i], "status", where) != "Passed") continue;
    read_matrix(json, tests[i], *direction, where, m);
  }
  if (m.copies.empty()) throw InputError("no copy between a GPU and its host or another GPU", json.file(), usual);
  m.source = "nvbandwidth, " + json.file();
  return m;
}

}  // namespace shardsim
