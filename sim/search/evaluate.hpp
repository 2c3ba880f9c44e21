// One point of a search: its options resolved, simulated, and boiled down.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "sim/report/residuals.hpp"
#include "sim/request/option_text.hpp"
#include "sim/search/figures.hpp"
#include "sim/simulate.hpp"

namespace shardsim {

enum class PointStatus : std::uint8_t {
  fits,
  does_not_fit,
  refused,  ///< the runtimes do not combine these options
  failed,   ///< a bug of ours
};
std::string_view name_of(PointStatus status);
inline bool is_simulated(PointStatus status) {
  return status == PointStatus::fits || status == PointStatus::does_not_fit;
}

struct PointResult {
  PointStatus status = PointStatus::fits;
  Figures figures;      ///< of the first two
  std::string message;  ///< of the last two
};

/// Remembers the machines and models that it has read. One thread uses it.
class Evaluator {
 public:
  /// `memory` may be shared with evaluators of other threads.
  explicit Evaluator(DataFolders data, std::shared_ptr<MemoryCache> memory = std::make_shared<MemoryCache>())
      : data_(std::move(data)),
        residuals_(read_residuals(data_.published / "residuals.csv")),
        simulator_(std::move(memory)) {}

  /// Never throws because of the point. `alter` may change the machine before it is simulated.
  PointResult evaluate(const OptionTexts& texts, const std::function<void(Topology&)>& alter = {});
  /// Throws what simulate() throws.
  Report report(const OptionTexts& texts);
  /// What the options' names stand for.
  Scenario scenario(const OptionTexts& texts);
  /// Throws InputError if the options name something that nobody knows; other faults are the point's own.
  void check_names(const OptionTexts& texts);

 private:
  struct Named {
    std::string machine;  ///< all that names the topology
    const Topology& topology;
    const Architecture& architecture;
  };
  Named named(const Request& request);

  DataFolders data_;
  Residuals residuals_;
  std::map<std::string, Topology> topologies_;
  std::map<std::string, Architecture> architectures_;
  Simulator simulator_;
};

}  // namespace shardsim
