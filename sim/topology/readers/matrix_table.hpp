// The matrix as a table: names, relations, affinities, before it means anything.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardsim {

/// The worst thing between two devices, from good to bad.
enum class Relation : std::uint8_t { self, nvlink, switch_below, switches_below, host, socket, unknown };

struct MatrixCell {
  Relation relation = Relation::unknown;
  int links = 0;  ///< nvlink
};

struct MatrixDevice {
  std::string name;
  bool is_gpu = false;
  bool has_row = false;
  std::size_t line = 0;
  std::vector<MatrixCell> cells;  ///< by column; empty without a row
  std::string cpus, numa, path;   ///< affinity columns and PCI path, where present
};

struct NicPlacement {
  std::string name;
  double megabits = 0;
  std::string numa, path;
};

struct MatrixTable {
  std::vector<MatrixDevice> devices;  ///< by column
  std::vector<NicPlacement> nics;

  /// From either row.
  MatrixCell between(std::size_t a, std::size_t b) const {
    if (devices[a].has_row) return devices[a].cells[b];
    return devices[b].has_row ? devices[b].cells[a] : MatrixCell{};
  }
};

/// Throws InputError with line and column: no header, a missing row or cell, an unknown word, two cells that disagree.
MatrixTable read_matrix_table(std::string_view text, const std::string& file);

}  // namespace shardsim
