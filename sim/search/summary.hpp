// What a sweep found, in a page.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/search/spec.hpp"

namespace shardsim {

/// "9.24 GiB", "0.53 s": a value of an objective's figure.
std::string objective_text(const Objective& objective, double value);

/// Fed with every point once.
class SweepSummary {
 public:
  explicit SweepSummary(const SweepSpec& spec);

  void add(const std::string& line, const nlohmann::json& point);
  std::uint64_t fitting() const { return fitting_; }
  /// Counts, the best by each objective and the Pareto front; at most `rows` of it.
  std::string text(std::uint64_t points, std::size_t rows = 20) const;

 private:
  struct Candidate {
    std::vector<double> scores;  ///< smaller is better
    std::string line;
  };
  void keep_if_unbeaten(Candidate candidate);
  std::string table(const std::vector<const Candidate*>& rows) const;

  const SweepSpec& spec_;
  std::uint64_t fitting_ = 0;
  std::map<std::string, std::uint64_t> by_status_;
  std::map<std::string, std::uint64_t> refusals_;  ///< by message
  std::vector<Candidate> front_;
};

}  // namespace shardsim
