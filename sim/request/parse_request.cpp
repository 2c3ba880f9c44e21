#include "sim/request/parse_request.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "model/core/error.hpp"
#include "model/core/parse_units.hpp"
#include "sim/request/accelerate_config.hpp"
#include "sim/request/choices.hpp"
#include "sim/request/deepspeed_config.hpp"
#include "sim/request/parse_peft.hpp"
#include "sim/request/strategy_name.hpp"

namespace shardsim {

namespace {

/// Calls `use` with the option's text where it was written.
template <class Use>
void where_given(const OptionTexts& texts, std::string_view option, Use use) {
  if (const auto text = texts.find(option); text != texts.end()) use(text->second);
}

template <class Target>
void set_text(const OptionTexts& texts, std::string_view option, Target& target) {
  where_given(texts, option, [&](const OptionText& text) { target = text.value; });
}

template <class Target, class Value, std::size_t count>
void set_choice(const OptionTexts& texts, std::string_view option, const std::array<Choice<Value>, count>& choices,
                Target& target) {
  where_given(texts, option, [&](const OptionText& text) { target = choose(choices, option, text); });
}

std::int64_t positive(std::int64_t value, const OptionText& text) {
  if (value < 1) throw InputError("'" + text.value + "' is not positive", text.where, "a whole number from 1 up");
  return value;
}

/// A size of the batch: no run of any model comes near, and products of two stay within 64 bits.
std::int64_t extent(std::int64_t value, const OptionText& text) {
  constexpr std::int64_t most = 1'000'000'000;
  if (value < 1 || value > most) {
    throw InputError("'" + text.value + "' is out of range", text.where,
                     "a whole number from 1 to " + std::to_string(most));
  }
  return value;
}

template <class Target>
void set_switch(const OptionTexts& texts, std::string_view option, Target& target) {
  where_given(texts, option, [&](const OptionText& text) { target = parse_switch(text); });
}

/// A number from 0 up.
double parse_number(const OptionText& text, const std::string& kind, const std::string& right) {
  double number = 0;
  const char* end = text.value.data() + text.value.size();
  const auto [rest, error] = std::from_chars(text.value.data(), end, number);
  if (error != std::errc() || rest != end || !std::isfinite(number) || number < 0) {
    throw InputError("'" + text.value + "' is not " + kind, text.where, right);
  }
  return number;
}

void set_length_of_run(const OptionTexts& texts, Request& request) {
  where_given(texts, "tokens",
              [&](const OptionText& text) { request.tokens = positive(parse_count(text.value, text.where), text); });
  where_given(texts, "examples",
              [&](const OptionText& text) { request.examples = positive(parse_count(text.value, text.where), text); });
  where_given(texts, "epochs", [&](const OptionText& text) {
    constexpr double most_epochs = 1e6;
    request.epochs = parse_number(text, "a number of epochs", "passes over the data, such as 3 or 0.5");
    if (*request.epochs == 0 || *request.epochs > most_epochs) {
      throw InputError("'" + text.value + "' passes make no run", text.where, "more than 0, up to a million");
    }
  });
  if (request.tokens && request.examples) {
    throw InputError("--tokens and --examples both say how long an epoch is", "", "one of them");
  }
  if (request.epochs && !request.tokens && !request.examples) {
    throw InputError("--epochs does not say of what", "", "--examples or --tokens beside it");
  }
}

void set_numbers(const OptionTexts& texts, Request& request) {
  where_given(texts, "seq-len", [&](const OptionText& text) {
    request.seq_len = extent(parse_length(text.value, text.where), text);
    request.seq_len_given = true;
  });
  where_given(texts, "micro-batch", [&](const OptionText& text) {
    request.micro_batch = extent(parse_count(text.value, text.where), text);
    request.micro_batch_given = true;
  });
  where_given(texts, "grad-accum", [&](const OptionText& text) {
    request.grad_accum = extent(parse_count(text.value, text.where), text);
    request.grad_accum_given = true;
  });
  where_given(texts, "host-memory", [&](const OptionText& text) {
    request.host_memory = Bytes(positive(parse_bytes(text.value, text.where).value(), text));
  });
  where_given(texts, "nvme", [&](const OptionText& text) {
    request.nvme = Bytes(positive(parse_bytes(text.value, text.where).value(), text));
  });
  where_given(texts, "price", [&](const OptionText& text) {
    constexpr double most_usd = 1e12;
    request.price = parse_number(text, "a price", "US dollars an hour, such as 12.5");
    if (*request.price > most_usd) throw InputError("'" + text.value + "' is no price", text.where, "at most 1e12 USD");
  });
  where_given(texts, "cpu-threads",
              [&](const OptionText& text) { request.cpu_threads = extent(parse_count(text.value, text.where), text); });
  where_given(texts, "threads", [&](const OptionText& text) { request.threads = parse_threads(text); });
  where_given(texts, "seed", [&](const OptionText& text) {
    request.seed = static_cast<std::uint64_t>(parse_count(text.value, text.where));
  });
}

/// A policy's name, or `every:K`.
void set_checkpointing(const OptionText& text, Request& request) {
  constexpr std::string_view every = "every:";
  if (!text.value.starts_with(every)) {
    std::vector<std::string> known = names_of(checkpointing_choices);
    for (const Choice<Checkpointing>& choice : checkpointing_choices) {
      if (choice.name == text.value) {
        request.checkpointing = choice.value;
        return;
      }
    }
    known.emplace_back("every:2");
    throw_unknown_name("checkpointing", text.value, text.where, known);
  }
  request.checkpointing = Checkpointing::every;
  request.checkpoint_every = positive(parse_count(text.value.substr(every.size()), text.where), text);
}

void set_choices(const OptionTexts& texts, Request& request) {
  set_choice(texts, "precision", precision_choices, request.precision);
  set_choice(texts, "reduce-dtype", reduce_dtype_choices, request.reduce_dtype);
  set_choice(texts, "optimizer", optimizer_choices, request.optimizer);
  where_given(texts, "checkpointing", [&](const OptionText& text) { set_checkpointing(text, request); });
  set_choice(texts, "attention", attention_choices, request.attention);
  set_choice(texts, "loss", loss_choices, request.loss);
  set_choice(texts, "transformers", transformers_choices, request.transformers);
  set_choice(texts, "implementation", implementation_choices, request.implementation);
  set_choice(texts, "optimizer-impl", optimizer_impl_choices, request.optimizer_impl);
  set_choice(texts, "allocator", allocator_choices, request.allocator);
  set_choice(texts, "save", save_choices, request.save);
  set_switch(texts, "use-reentrant", request.use_reentrant);
  set_switch(texts, "compile", request.compile);
  set_switch(texts, "keep-outputs", request.keep_outputs);
  set_switch(texts, "pin-memory", request.pin_memory);
  set_choice(texts, "format", format_choices, request.format);
}

/// What the ending of --trace's file says of its format.
constexpr std::array<std::string_view, 3> trace_endings = {".json", ".json.gz", ".pftrace"};

void set_output(const OptionTexts& texts, Request& request) {
  set_text(texts, "output", request.output);
  set_text(texts, "memory-snapshot", request.memory_snapshot);
  where_given(texts, "trace", [&](const OptionText& text) {
    request.trace = text.value;
    const bool known = std::any_of(trace_endings.begin(), trace_endings.end(),
                                   [&](std::string_view ending) { return text.value.ends_with(ending); });
    if (!known)
      throw InputError("no trace format ends so: '" + text.value + "'", text.where, ".json, .json.gz or .pftrace");
  });
  bool quiet = false;
  bool verbose = false;
  bool plain = false;
  set_switch(texts, "quiet", quiet);
  set_switch(texts, "verbose", verbose);
  set_switch(texts, "no-color", plain);
  if (quiet && verbose) throw InputError("--quiet and --verbose contradict each other", "", "one of them");
  request.verbosity = quiet ? -1 : verbose ? 1 : 0;
  request.color = !plain;
}

void require_machine_and_strategy(const OptionTexts& texts) {
  const bool topology = texts.contains("topology");
  const bool strategy = texts.contains("strategy");
  const std::string example = "for example: shardsim --topology 4xA100 --strategy zero3 (see shardsim --help)";
  if (!topology && !strategy) throw InputError("--topology and --strategy are missing", "", example);
  if (!topology) throw InputError("--topology is missing", "", example);
  if (!strategy) throw InputError("--strategy is missing", "", example);
}

/// Puts what a runtime's own file sets below what the user wrote. Returns where the file puts the states, if it is the
/// file that names the strategy.
std::optional<Offload> take_runtime_config(OptionTexts& texts, Request& request) {
  set_text(texts, "deepspeed", request.deepspeed);
  set_text(texts, "accelerate", request.accelerate);
  if (request.deepspeed.empty() && request.accelerate.empty()) return {};
  if (!request.deepspeed.empty() && !request.accelerate.empty()) {
    throw InputError("--deepspeed and --accelerate contradict each other", "",
                     "one of them; an accelerate YAML may name a deepspeed_config_file");
  }
  RuntimeConfig config =
      request.deepspeed.empty() ? read_accelerate_config(request.accelerate) : read_deepspeed_config(request.deepspeed);
  const bool names_strategy = !texts.contains("strategy");
  // merge() keeps what the user already says.
  texts.merge(config.options);
  request.zero = config.zero;
  request.fsdp = config.fsdp;
  request.train_batch_size = config.train_batch_size;
  request.processes = config.processes;
  request.machines = config.machines;
  request.warnings = std::move(config.warnings);
  return names_strategy ? config.offload : std::nullopt;
}

void set_strategy(const OptionTexts& texts, Request& request) {
  where_given(texts, "strategy", [&](const OptionText& text) {
    const StrategyChoice choice = parse_strategy(text);
    request.strategy = text.value;
    request.kind = choice.kind;
    request.offload = choice.offload;
    if (!choice.warning.empty()) request.warnings.push_back(choice.warning);
    if (!request.deepspeed.empty() && text.where == "--strategy" && !is_zero(choice.kind)) {
      throw InputError("a DeepSpeed file says nothing of " + text.value, "--strategy beside --deepspeed",
                       "zero1, zero2 or zero3, or no --strategy");
    }
  });
}

}  // namespace

int parse_threads(const OptionText& text) {
  constexpr std::int64_t most_threads = 1024;  // OpenMP ends the program where the system grants no more
  const std::int64_t threads = positive(parse_count(text.value, text.where), text);
  if (threads > most_threads) {
    throw InputError("'" + text.value + "' threads are too many", text.where,
                     "the machine's cores, at most " + std::to_string(most_threads));
  }
  return static_cast<int>(threads);
}

Request resolve_request(OptionTexts texts) {
  Request request;
  const std::optional<Offload> offload = take_runtime_config(texts, request);
  set_text(texts, "gpu", request.gpu);
  set_text(texts, "fabric", request.fabric);
  set_text(texts, "slow-gpu", request.slow_gpus);
  set_text(texts, "model", request.model);
  set_text(texts, "topology", request.topology);
  set_strategy(texts, request);
  if (offload) request.offload = *offload;
  set_numbers(texts, request);
  set_length_of_run(texts, request);
  set_choices(texts, request);
  parse_peft(texts, request);
  set_output(texts, request);
  require_machine_and_strategy(texts);
  return request;
}

OptionTexts with_config_file(OptionTexts texts) {
  if (const auto config = texts.find("config"); config != texts.end()) {
    OptionTexts file = read_config_file(config->second.value);
    if (texts.contains("quiet")) file.erase("verbose");
    if (texts.contains("verbose")) file.erase("quiet");
    // merge() keeps what the command line already says.
    texts.merge(file);
  }
  return texts;
}

OptionTexts read_options(const std::vector<std::string>& arguments) {
  return with_config_file(read_command_line(arguments));
}

Request parse_request(const std::vector<std::string>& arguments) { return resolve_request(read_options(arguments)); }

}  // namespace shardsim
