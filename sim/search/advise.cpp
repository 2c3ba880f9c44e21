#include "sim/search/advise.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/core/error.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/changes.hpp"

namespace shardsim {

namespace {

bool fits_devices(const PointResult& result) {
  return result.status == PointStatus::fits || (result.status == PointStatus::does_not_fit &&
                                                result.figures.peak_used_bytes <= result.figures.capacity_bytes);
}

/// Memory as it is sold: 64, 96, 128, 192, 256, ... GiB.
std::int64_t sold_memory(std::int64_t bytes) {
  std::int64_t size = std::int64_t{64} << 30;
  while (size < bytes) {
    if (size + size / 2 >= bytes && size > (std::int64_t{64} << 30)) return size + size / 2;
    size *= 2;
  }
  return size;
}

class Ladder {
 public:
  Ladder(const OptionTexts& request, Evaluator& evaluator) : evaluator_(evaluator) {
    Rung rung{"as asked", request, request, evaluator.evaluate(request)};
    if (rung.result.status == PointStatus::refused) throw InputError(rung.result.message, "", "");
    advice_.ladder.push_back(std::move(rung));
    if (advice_.ladder.front().result.status == PointStatus::fits) advice_.chosen = 0;
  }

  Advice go_down() {
    if (advice_.chosen) return std::move(advice_);
    for (const Change& change : memory_ladder()) {
      while (climb(change) && change.traits.repeats && !enough()) {
      }
      if (change.name == "weights in CPU memory too") more_host_memory();
      if (enough()) break;
    }
    if (advice_.chosen) {
      drop_what_is_not_needed();
    } else {
      find_nearest();
    }
    return std::move(advice_);
  }

 private:
  bool enough() const { return advice_.chosen && advice_.alternatives.size() >= 2; }

  /// The rung that the next change builds on: the last that was kept, or the last before what was chosen; without
  /// offload where hardware is added.
  const Rung& base_of(const Change& change) const {
    for (std::size_t i = advice_.chosen.value_or(advice_.ladder.size()); i-- > 0;) {
      const Rung& rung = advice_.ladder[i];
      if (rung.kept && !(change.traits.adds_hardware && resolve_request(rung.options).offload.any())) return rung;
    }
    return advice_.ladder.front();
  }

  /// The options as the request has them.
  void take_back(OptionTexts& options, std::initializer_list<const char*> names) const {
    const OptionTexts& request = advice_.ladder.front().options;
    for (const std::string name : names) {
      const auto asked = request.find(name);
      if (asked == request.end()) {
        options.erase(name);
      } else {
        options.insert_or_assign(name, asked->second);
      }
    }
  }

  /// True if the change applied.
  bool climb(const Change& change) {
    Rung base = base_of(change);
    if (change.traits.to_cpu) take_back(base.options, {"optimizer", "precision"});
    const Request request = resolve_request(base.options);
    const std::size_t gpus = evaluator_.scenario(base.options).topology.devices.size();
    const auto options = change.apply(base.options, request, gpus);
    if (!options || stands_already(*options)) return false;
    Rung rung{change.name, base.options, *options, evaluator_.evaluate(*options), change.traits.trains_less};
    if (!is_simulated(rung.result.status)) {
      rung.kept = false;
      rung.remark = "not possible: " + rung.result.message;
    } else if (!helps(rung, base)) {
      rung.remark = "no help by itself";
      // Nor will it help to make it again.
      rung.kept = !change.traits.repeats;
    }
    // What is only tried once something fits stays out of the ladder unless it fits as well.
    if (advice_.chosen && rung.result.status != PointStatus::fits) return false;
    if (advice_.chosen || rung.trains_less) rung.kept = false;
    const bool kept = rung.kept;
    advice_.ladder.push_back(std::move(rung));
    take_if_fitting(advice_.ladder.size() - 1);
    return kept;
  }

  /// What was chosen stays where its change repeats, and would be found once more.
  bool stands_already(const OptionTexts& options) const {
    const std::string line = command_line(options);
    return std::any_of(advice_.ladder.begin(), advice_.ladder.end(),
                       [&](const Rung& rung) { return command_line(rung.options) == line; });
  }

  static bool helps(const Rung& rung, const Rung& base) {
    constexpr double least = 0.99;
    if (rung.result.status == PointStatus::fits || (fits_devices(rung.result) && !fits_devices(base.result)))
      return true;
    return static_cast<double>(rung.result.figures.peak_used_bytes) <
           least * static_cast<double>(base.result.figures.peak_used_bytes);
  }

  void take_if_fitting(std::size_t index) {
    const Rung& rung = advice_.ladder[index];
    if (rung.result.status != PointStatus::fits) return;
    if (!rung.trains_less && !advice_.chosen) {
      advice_.chosen = index;
    } else if (advice_.alternatives.size() < 2) {
      advice_.alternatives.push_back(index);
    }
  }

  /// Changes that cost time, and that what was chosen fits without.
  void drop_what_is_not_needed() {
    Rung rung = advice_.ladder[*advice_.chosen];
    std::string dropped;
    for (std::size_t i = 1; i < *advice_.chosen; ++i) {
      const Rung& earlier = advice_.ladder[i];
      if (!earlier.kept) continue;
      const OptionTexts options = without(rung.options, earlier.options, earlier.before);
      const PointResult result = evaluator_.evaluate(options);
      if (result.status != PointStatus::fits || result.figures.step_time_s >= rung.result.figures.step_time_s) continue;
      rung.options = options;
      rung.result = result;
      dropped += (dropped.empty() ? "" : ", ") + earlier.change;
    }
    if (dropped.empty()) return;
    rung.change = "without what it does not need";
    rung.before = advice_.ladder.front().options;
    rung.remark = "without " + dropped;
    advice_.chosen = advice_.ladder.size();
    advice_.ladder.push_back(std::move(rung));
  }

  /// `options` with what came from `before` to `after` taken back, where it is still so.
  static OptionTexts without(OptionTexts options, const OptionTexts& after, const OptionTexts& before) {
    for (const auto& [name, text] : after) {
      const auto old = before.find(name);
      if (old != before.end() && old->second.value == text.value) continue;
      const auto now = options.find(name);
      if (now == options.end() || now->second.value != text.value) continue;
      if (old == before.end()) {
        options.erase(name);
      } else {
        options.insert_or_assign(name, old->second);
      }
    }
    return options;
  }

  /// The devices have room and the host lacks it: what memory would do.
  void more_host_memory() {
    if (advice_.chosen) return;
    for (std::size_t i = advice_.ladder.size(); i-- > 0;) {
      const Rung base = advice_.ladder[i];
      if (base.trains_less || !is_simulated(base.result.status) || !fits_devices(base.result)) continue;
      const std::int64_t needed = sold_memory(base.result.figures.host_peak_bytes);
      if (needed <= base.result.figures.host_capacity_bytes) continue;
      const std::string size = fmt::format("{}GiB", needed >> 30);
      Rung rung{"more host RAM", base.options, with(base.options, "host-memory", size), {}};
      rung.result = evaluator_.evaluate(rung.options);
      rung.remark =
          fmt::format("needs {:.0f} GB of host RAM", static_cast<double>(rung.result.figures.host_peak_bytes) / 1e9);
      advice_.ladder.push_back(std::move(rung));
      take_if_fitting(advice_.ladder.size() - 1);
      return;
    }
  }

  /// Of what was simulated: an adapter that fits, else what lacks least on the device.
  void find_nearest() {
    if (!advice_.alternatives.empty()) {
      advice_.nearest = advice_.alternatives.front();
      return;
    }
    double least = 0;
    for (std::size_t i = 0; i < advice_.ladder.size(); ++i) {
      const PointResult& result = advice_.ladder[i].result;
      if (!is_simulated(result.status)) continue;
      const double lack =
          std::max(static_cast<double>(result.figures.peak_used_bytes) /
                       static_cast<double>(std::max<std::int64_t>(1, result.figures.capacity_bytes)),
                   static_cast<double>(result.figures.host_peak_bytes) /
                       static_cast<double>(std::max<std::int64_t>(1, result.figures.host_capacity_bytes)));
      if (!advice_.nearest || lack < least) advice_.nearest = i, least = lack;
    }
  }

  Evaluator& evaluator_;
  Advice advice_;
};

/// The larger the better; nothing where the figure is unknown.
std::optional<double> merit(const PointResult& result, Aim aim) {
  if (result.status != PointStatus::fits) return {};
  if (aim == Aim::faster) return result.figures.tokens_per_s;
  if (!result.figures.usd_per_million_tokens) return {};
  return -*result.figures.usd_per_million_tokens;
}

/// From a run that fits: the best single change, again and again.
void climb(Advice& advice, Aim aim, Evaluator& evaluator) {
  constexpr int most_rounds = 8;
  constexpr double least_gain = 0.005;
  std::size_t at = *advice.chosen;
  for (int round = 0; round < most_rounds; ++round) {
    const Rung base = advice.ladder[at];
    const double now = *merit(base.result, aim);
    std::vector<Rung> better;
    const Request request = resolve_request(base.options);
    const std::size_t gpus = evaluator.scenario(base.options).topology.devices.size();
    for (const Change& move : speed_moves()) {
      const auto options = move.apply(base.options, request, gpus);
      if (!options) continue;
      Rung rung{move.name, base.options, *options, evaluator.evaluate(*options)};
      const auto reached = merit(rung.result, aim);
      if (reached && *reached > now + least_gain * std::abs(now)) better.push_back(std::move(rung));
    }
    if (better.empty()) break;
    std::stable_sort(better.begin(), better.end(),
                     [&](const Rung& a, const Rung& b) { return *merit(a.result, aim) > *merit(b.result, aim); });
    advice.ladder.push_back(better.front());
    at = advice.ladder.size() - 1;
    advice.alternatives.clear();
    for (std::size_t i = 1; i < std::min<std::size_t>(3, better.size()); ++i) {
      better[i].kept = false;
      advice.alternatives.push_back(advice.ladder.size());
      advice.ladder.push_back(better[i]);
    }
  }
  advice.chosen = at;
}

/// The largest value of `option` that fits, found by doubling and halving.
std::optional<std::int64_t> largest_value(const OptionTexts& options, const std::string& option, std::int64_t from,
                                          std::int64_t step, Evaluator& evaluator) {
  const auto fits = [&](std::int64_t value) {
    return evaluator.evaluate(with(options, option, fmt::format("{}", value))).status == PointStatus::fits;
  };
  constexpr std::int64_t most = std::int64_t{1} << 24;
  if (!fits(from)) return {};
  std::int64_t good = from, bad = 2 * from;
  while (bad <= most && fits(bad)) good = bad, bad *= 2;
  while (bad - good > step) {
    const std::int64_t middle = (good + bad) / 2 / step * step;
    if (middle <= good) break;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

/// Models by parameters; what fits is taken to fit when it is smaller, but for neighbours.
std::string largest_model(const OptionTexts& options, Evaluator& evaluator, const std::vector<std::string>& zoo) {
  std::vector<std::pair<std::int64_t, std::string>> models;
  for (const std::string& name : zoo) {
    models.emplace_back(evaluator.scenario(with(options, "model", name)).architecture.parameter_count(), name);
  }
  std::sort(models.begin(), models.end());
  const auto fits = [&](std::size_t i) {
    return evaluator.evaluate(with(options, "model", models[i].second)).status == PointStatus::fits;
  };
  std::size_t low = 0, high = models.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (fits(middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  constexpr std::size_t neighbours = 3;
  for (std::size_t i = std::min(low + neighbours, models.size()); i-- > 0;) {
    if (i + neighbours + 1 < low) break;
    if (fits(i)) return models[i].second;
  }
  return "";
}

Largest find_largest(const OptionTexts& options, Evaluator& evaluator, const std::vector<std::string>& zoo) {
  const Request request = resolve_request(options);
  Largest largest;
  largest.micro_batch = largest_value(options, "micro-batch", request.micro_batch, 1, evaluator);
  constexpr std::int64_t step = 256;
  largest.seq_len = largest_value(options, "seq-len", request.seq_len, step, evaluator);
  if (!request.model.ends_with(".json")) largest.model = largest_model(options, evaluator, zoo);
  return largest;
}

}  // namespace

Advice advise(const OptionTexts& request, Aim aim, Evaluator& evaluator, const std::vector<std::string>& zoo) {
  Advice advice = Ladder(request, evaluator).go_down();
  if (!advice.chosen) return advice;
  if (aim != Aim::fit) {
    if (!merit(advice.ladder[*advice.chosen].result, aim)) {
      throw InputError("nobody knows what this machine costs", "--cheaper",
                       "--price, US dollars an hour for the whole machine");
    }
    climb(advice, aim, evaluator);
  }
  advice.largest = find_largest(advice.ladder[*advice.chosen].options, evaluator, zoo);
  return advice;
}

std::string command_line(const OptionTexts& options) {
  std::string line = "shardsim";
  const auto add = [&](const std::string& option, const std::string& value) {
    line += " --" + option + " " + shell_word(value);
  };
  // The machine and the strategy first, as people write them.
  for (const char* first : {"topology", "strategy", "model"}) {
    if (const auto text = options.find(first); text != options.end()) add(first, text->second.value);
  }
  for (const auto& [option, text] : options) {
    if (option == "topology" || option == "strategy" || option == "model" || option == "config") continue;
    if (option == "threads") continue;  // the answer is the same on any number of them
    if (option == "format" || option == "output" || option == "quiet" || option == "verbose" || option == "no-color")
      continue;
    add(option, text.value);
  }
  return line;
}

}  // namespace shardsim
