// Where each byte of the peak and each second of the step goes, and beside it the rule of thumb.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/simulate.hpp"

namespace shardsim {

/// Equal tensors that are live at the peak.
struct TensorGroup {
  std::string name;  ///< "mlp.gate_proj weight"
  std::int64_t count = 0;
  std::int64_t bytes_each = 0;
  std::string layers;        ///< "layers 0 to 31"; empty: outside of them
  std::string arithmetic;    ///< of one of them; empty: no product of the model's numbers
  std::string since, until;  ///< where the first of them is made and the last goes; until empty: it stays
  std::int64_t bytes() const { return count * bytes_each; }
};

struct CategoryExplanation {
  Category category = Category::weights;
  std::int64_t bytes = 0;           ///< in the allocator's blocks
  std::string arithmetic;           ///< of all of it, to a thousandth; empty: none
  std::vector<TensorGroup> groups;  ///< largest first
  std::int64_t rounding = 0;        ///< what the blocks are larger than the tensors
  std::string rule;                 ///< the rule of thumb as arithmetic; empty: none
  double rule_bytes = 0;
  std::string why;           ///< what the rule leaves out
  std::string source;        ///< of the rule
  std::string allocated_by;  ///< the file of the framework that makes these tensors
};

/// A host's RAM at its peak, all its ranks together.
struct HostExplanation {
  std::string id;
  std::int64_t count = 1;  ///< hosts alike
  std::int64_t bytes = 0;
  std::int64_t pinned = 0;
  std::vector<CategoryExplanation> memory;
  std::string rule;  ///< empty: none
  double rule_bytes = 0;
  std::string why, source;
};

/// Work of one name in one phase of the steady step.
struct WorkGroup {
  Phase phase = Phase::forward;
  std::string name, stream;
  std::int64_t count = 0;
  double seconds = 0;  ///< of the stream's time, whether something else overlaps it or not
};

struct Doubled {
  std::string what;  ///< "GPUs twice as fast"
  double step_s = 0;
};

struct Explanation {
  Report report;
  std::string peak_at;
  std::vector<CategoryExplanation> memory;  ///< of the fullest device
  std::vector<HostExplanation> hosts;       ///< one of each class that holds anything
  std::vector<TensorGroup> largest;         ///< over all categories, at most 20
  std::vector<WorkGroup> work;              ///< longest first
  std::string time_rule;                    ///< 6 x parameters x tokens over the peak rate
  double time_rule_s = 0;
  std::vector<Doubled> doubled;
};

/// Throws what simulate() throws.
Explanation explain(const Request& request, const Scenario& scenario);

}  // namespace shardsim
