// A YAML file under topologies/: every figure as {value, basis, source}, so that no number stands without its origin.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/core/units.hpp"
#include "sim/topology/device.hpp"

namespace shardsim {

/// One figure: a text with its unit ("80 GiB"), or a list of points.
struct Figure {
  std::string value;
  std::vector<std::pair<double, double>> points;
  Basis basis = Basis::assumed;
};

/// A whole file, flattened: nested keys are joined by dots ("pcie4.bandwidth"). Reading a key marks it as known;
/// refuse_unread() then rejects what nobody asked for, so a mistyped key cannot pass in silence.
/// Every reader throws InputError with the file and the key.
class SpecFile {
 public:
  explicit SpecFile(const std::filesystem::path& path);

  bool has(const std::string& key) const { return texts_.contains(key) || figures_.contains(key); }
  const std::string& text(const std::string& key) const;
  const std::vector<std::string>& list(const std::string& key) const;
  const Figure& figure(const std::string& key) const;
  Bytes bytes(const std::string& key) const;
  Bandwidth bandwidth(const std::string& key) const;  ///< refuses zero
  Time time(const std::string& key) const;
  FlopRate flop_rate(const std::string& key) const;
  double number(const std::string& key, double least, double most) const;
  bool flag(const std::string& key) const;
  std::vector<EfficiencyPoint> curve(const std::string& key) const;
  std::vector<std::string> groups() const;  ///< the first parts of nested keys, sorted
  void refuse_unread() const;
  /// Takes over figures that this file lacks.
  void inherit(const SpecFile& base, const std::vector<std::string>& keys);
  /// Takes over everything that this file lacks.
  void inherit(const SpecFile& base);
  std::string where(const std::string& key) const { return file_ + ": " + key; }

 private:
  std::string file_;
  std::map<std::string, std::string> texts_;
  std::map<std::string, std::vector<std::string>> lists_;
  std::map<std::string, Figure> figures_;
  mutable std::set<std::string> read_;

  friend struct SpecFileReader;
};

}  // namespace shardsim
