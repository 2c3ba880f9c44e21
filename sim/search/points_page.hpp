// Many runs as a page to look at: a scatter with its Pareto front, filters, a heat map, a table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/search/evaluate.hpp"

namespace shardsim {

/// A figure of each point, and how it is shown.
struct PageFigure {
  std::string name, title, unit;  ///< of unit "bytes" are shown in GiB, of "" in percent
  bool smaller_is_better = true;
  std::vector<std::optional<double>> values = {};  ///< by point
};

/// Fed with the points, each with a value for every axis and every figure.
class PointsPage {
 public:
  /// `objectives`: names of the two figures that the scatter begins with.
  PointsPage(std::vector<std::string> axes, std::vector<PageFigure> figures, std::vector<std::string> objectives);

  void add(std::uint64_t index, const std::vector<std::string>& values, PointStatus status,
           const std::vector<std::optional<double>>& figures, const std::string& bottleneck);
  std::uint64_t points() const { return index_.size(); }
  std::uint64_t count(PointStatus status) const;

  std::string verdict, headline, subtitle, command;
  bool answered = true;                                 ///< something fits
  std::map<std::string, std::string> base = {};         ///< options of every point, for a point's command
  std::vector<std::string> commands = {}, labels = {};  ///< by point; empty: from base and axes, by index
  std::vector<std::string> notes = {};

  /// The whole file. Of more than 50 000 points those are drawn that no other beats in the objectives, and every n-th.
  std::string html(const std::string& text) const;

 private:
  struct PageAxis {
    std::string name;
    std::vector<std::string> values;
    std::map<std::string, std::uint32_t> numbers;
    std::vector<std::uint32_t> index;  ///< by point, into values
    std::uint32_t number(const std::string& value);
  };

  std::vector<std::size_t> drawn() const;
  std::vector<bool> on_front() const;
  const PageFigure& figure(const std::string& name) const;

  std::vector<PageAxis> axes_;
  std::vector<PageFigure> figures_;
  std::vector<std::string> objectives_;
  std::vector<std::uint64_t> index_;
  std::vector<PointStatus> status_;
  PageAxis bottleneck_;
};

/// The key figures of a simulation, as a page shows them; in the order of page_values().
std::vector<PageFigure> page_figures();
std::vector<std::optional<double>> page_values(const Figures& figures);

}  // namespace shardsim
