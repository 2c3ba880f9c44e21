// What the real frameworks allocated (data/*.json, written by the programs beside this file), and how it compares.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.hpp"

namespace shardsim::oracle {

inline nlohmann::json recording(const std::string& name) {
  std::ifstream file(std::string(SHARDSIM_SOURCE) + "/tests/oracle/data/" + name);
  REQUIRE(file);
  return nlohmann::json::parse(file);
}

/// The programs leave out tensors of one element.
constexpr std::int64_t scalar = 8;

/// One figure, both ways.
struct Row {
  std::string name, figure;
  std::int64_t ours = 0, theirs = 0;
  double tolerance = 0;  ///< share of theirs; 0: equal to the byte
  std::string cause;     ///< of what the tolerance admits

  double difference() const {
    if (ours == theirs) return 0;
    return theirs == 0 ? 1 : (static_cast<double>(ours) - static_cast<double>(theirs)) / static_cast<double>(theirs);
  }
};

inline void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.name << ", " << row.figure << ": ours " << row.ours << ", theirs " << row.theirs << " ("
                  << row.ours - row.theirs << ")");
    if (row.tolerance == 0) {
      CHECK(row.ours == row.theirs);
    } else {
      CHECK(std::abs(row.difference()) <= row.tolerance);
    }
  }
}

/// One a kind; README.md prints them.
std::vector<Row> saved_tensors();
std::vector<Row> training();
std::vector<Row> two_sides();
std::vector<Row> optimizers();
std::vector<Row> quantized();
std::vector<Row> ddp();
std::vector<Row> device_map();
std::vector<Row> counts();
std::vector<Row> zero();
std::vector<Row> allocator();

}  // namespace shardsim::oracle
