// The whole product: every value of every option, on three models and three machines, under the first strategy that the
// real runtime combines it with. What no strategy takes on any of the nine is named here, with the reason.
#include <functional>
#include <map>
#include <optional>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "model/core/error.hpp"
#include "sim/request/choices.hpp"
#include "sim/request/strategy_name.hpp"

using namespace shardsim;

namespace {

using Words = std::vector<std::string>;

const Words models{"llama-3-8b", "mistral-7b", "gpt2"};
const std::map<std::string, Words> strategies_on{{"1xRTX-4090", {"single", "fsdp", "zero3", "zero3-offload"}},
                                                 {"4xA100", {"zero3", "fsdp", "ddp", "fsdp-offload"}},
                                                 {"2x8xH100", {"fsdp", "zero2", "ddp"}}};

Words joined(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words cell(const std::string& model, const std::string& machine) {
  return {"--model", model, "--topology", machine, "--seq-len", "512"};
}

/// Nothing where the runtime refuses; every refusal is one line that says why.
std::optional<Report> attempt(const Words& words) {
  try {
    return simulate(test::request(words), test::data());
  } catch (const InputError& error) {
    CHECK_FALSE(std::string(error.what()).empty());
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return std::nullopt;
  }
}

void check_report(const Report& report) {
  bool all_fit = true;
  for (const DeviceReport& device : report.devices) {
    std::int64_t sum = 0;
    for (const auto& [category, bytes] : device.at_peak) sum += bytes;
    CHECK(sum == device.peak_allocated_bytes);
    CHECK(device.peak_allocated_bytes > 0);
    CHECK(device.peak_reserved_bytes >= device.peak_allocated_bytes);
    CHECK(device.peak_used_bytes > device.peak_reserved_bytes);
    CHECK_FALSE(device.peak_at.empty());
    CHECK(device.fits == (device.peak_used_bytes <= device.capacity_bytes));
    all_fit = all_fit && device.fits;
  }
  for (const HostReport& host : report.hosts) {
    CHECK(host.pinned_bytes <= host.peak_bytes);
    CHECK(host.fits == (host.peak_bytes <= host.capacity_bytes));
    all_fit = all_fit && host.fits;
  }
  CHECK((!report.fits || all_fit));
  const StepReport& step = report.step;
  CHECK(step.time_s > 0);
  CHECK(step.compute_s > 0);
  CHECK(step.compute_s + step.exposed_communication_s + step.exposed_transfer_s + step.optimizer_s + step.idle_s ==
        Approx(step.time_s).epsilon(1e-9));
  CHECK(step.mfu > 0);
  CHECK(step.mfu < 1);
  CHECK(step.hfu < 1);
  for (const LinkReport& link : report.links) CHECK(link.utilization <= 1 + 1e-9);
}

struct OptionValue {
  std::string option, value;
  Words with = {};  ///< what it stands beside
};

std::vector<OptionValue> values() {
  std::vector<OptionValue> all;
  const auto add = [&](const std::string& option, const Words& names, const Words& with = {}) {
    for (const std::string& name : names) all.push_back({option, name, with});
  };
  add("precision", names_of(precision_choices));
  for (const std::string method : {"lora", "dora", "adapter", "prompt"}) {
    const Words with{"--peft", method};
    add("compile", {"on"}, with);
    add("checkpointing", {"selective", "every:2"}, with);
    add("precision", {"fp8-mixed"}, with);
  }
  add("checkpointing", {"selective"}, {"--peft", "qdora"});
  add("optimizer", names_of(optimizer_choices));
  add("optimizer-impl", names_of(optimizer_impl_choices));
  add("peft", names_of(peft_choices));
  add("quantization", names_of(quantization_choices), {"--peft", "qlora"});
  add("kbit-upcast", {"on", "off"}, {"--peft", "qlora"});
  add("lora-rank", {"1", "8", "256"}, {"--peft", "lora"});
  add("lora-targets", {"all-linear"}, {"--peft", "lora"});
  add("reduce-dtype", names_of(reduce_dtype_choices));
  add("checkpointing", names_of(checkpointing_choices));
  add("checkpointing", {"every:2"});
  add("attention", names_of(attention_choices));
  add("loss", names_of(loss_choices));
  add("implementation", names_of(implementation_choices));
  add("compile", {"on", "off"});
  add("pin-memory", {"on", "off"});
  add("allocator", names_of(allocator_choices));
  add("save", {"none", "sharded", "full", "gathered-16bit"});
  add("save", {"adapter"}, {"--peft", "lora"});
  add("micro-batch", {"1", "3"});
  add("grad-accum", {"1", "3"});
  add("tokens", {"1e9"});
  add("examples", {"10000"}, {"--epochs", "3"});
  return all;
}

}  // namespace

TEST_CASE("Every value of every option runs on every machine for every model") {
  for (const OptionValue& value : values()) {
    for (const auto& [machine, strategies] : strategies_on) {
      for (const std::string& model : models) {
        INFO(model << " on " << machine << ": --" << value.option << " " << value.value);
        bool ran = false;
        for (const std::string& strategy : strategies) {
          const auto report = attempt(joined(joined(cell(model, machine), value.with),
                                             {"--strategy", strategy, "--" + value.option, value.value}));
          if (!report) continue;
          INFO(strategy);
          check_report(*report);
          ran = true;
          break;
        }
        CHECK(ran);
      }
    }
  }
}

TEST_CASE("Muon runs over ZeRO's partitions for every model") {
  for (const std::string& model : models) {
    for (const Words& where : {Words{"4xA100", "zero1"}, Words{"2x8xH100", "zero2"}}) {
      INFO(model << " on " << where.front() << ": " << where.back());
      const auto report =
          attempt(joined(cell(model, where.front()), {"--strategy", where.back(), "--optimizer", "muon"}));
      REQUIRE(report.has_value());
      check_report(*report);
    }
  }
}

TEST_CASE("Every method of PEFT runs over a device map, and is saved from it") {
  for (const std::string method : {"lora", "qlora", "dora", "qdora", "adapter", "prompt"}) {
    for (const std::string model : {"mistral-7b", "gpt2"}) {
      INFO(method << ", " << model);
      const auto report =
          attempt(joined(cell(model, "4xA100"), {"--strategy", "device-map", "--peft", method, "--save", "adapter"}));
      REQUIRE(report.has_value());
      check_report(*report);
    }
  }
}

TEST_CASE("Every strategy runs on every machine where it makes sense") {
  const auto makes_sense = [](const std::string& strategy, const std::string& machine) {
    const bool alone = machine.starts_with("1x");
    const bool nodes = machine.starts_with("2x8x");
    if (strategy == "single") return alone;
    if (strategy.starts_with("ddp")) return !alone;
    if (strategy.find("hsdp") != std::string::npos) return nodes;
    if (strategy == "device-map") return !nodes;
    if (strategy.starts_with("fsdp1")) return !alone;
    return true;
  };
  std::size_t ran = 0;
  for (const std::string& strategy : strategy_names()) {
    for (const auto& [machine, unused] : strategies_on) {
      for (const std::string& model : models) {
        INFO(model << " on " << machine << ": " << strategy);
        const auto report = attempt(joined(cell(model, machine), {"--strategy", strategy}));
        if (report) check_report(*report);
        // Llama-3-8B and Mistral-7B lie on one 24 GB GPU only with CPU memory's help, which a device map cannot train.
        const bool too_large = strategy == "device-map" && machine.starts_with("1x") && model != "gpt2";
        if (makes_sense(strategy, machine) && !too_large) CHECK(report.has_value());
        ran += report.has_value();
      }
    }
  }
  CHECK(ran > 200);
}

namespace {

struct Seen {
  Report report;
  std::int64_t states = 0;  ///< what rank 0 keeps from step to step, in all memories
};

/// Weights, master weights and optimizer states that nothing releases.
std::int64_t states_of(const Words& words) {
  const auto planned = test::plan(words);
  const Program& program = planned.run.plan.programs.front();
  std::int64_t sum = 0;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.kind != Instruction::Kind::allocate && instruction.kind != Instruction::Kind::release) continue;
    const Tensor& tensor = program.tensors[instruction.index];
    const bool lasting = tensor.category == Category::weights || tensor.category == Category::master_weights ||
                         tensor.category == Category::optimizer;
    if (lasting) sum += instruction.kind == Instruction::Kind::allocate ? tensor.bytes : -tensor.bytes;
  }
  return sum;
}

/// For every cell and strategy that takes all variants, what they give.
void for_each_cell(const std::vector<Words>& variants, const std::function<void(const std::vector<Seen>&)>& law) {
  std::size_t compared = 0;
  for (const auto& [machine, strategies] : strategies_on) {
    for (const std::string& model : models) {
      for (const std::string& strategy : strategies) {
        INFO(model << " on " << machine << ", " << strategy);
        std::vector<Seen> seen;
        for (const Words& variant : variants) {
          const Words words = joined(joined(cell(model, machine), {"--strategy", strategy}), variant);
          if (auto report = attempt(words)) seen.push_back({std::move(*report), states_of(words)});
        }
        if (seen.size() < variants.size()) continue;
        law(seen);
        ++compared;
      }
    }
  }
  CHECK(compared >= 9);
}

std::int64_t peak(const Seen& seen) { return seen.report.devices.front().peak_allocated_bytes; }
double work(const Seen& seen) { return seen.report.step.hfu * seen.report.step.time_s; }

}  // namespace

TEST_CASE("QLoRA keeps no more than LoRA, and LoRA no more than a full fine-tune") {
  for_each_cell({{"--peft", "qlora", "--kbit-upcast", "off"}, {"--peft", "lora"}, {}}, [](const auto& seen) {
    // DeepSpeed does not shard a quantized base, so LoRA over ZeRO-3's shards of a 16-bit one can be smaller.
    if (!seen[0].report.request.strategy.starts_with("zero3")) CHECK(seen[0].states <= seen[1].states);
    CHECK(seen[1].states <= seen[2].states);
    CHECK(peak(seen[1]) <= peak(seen[2]));
    CHECK(seen[0].report.model.trainable_parameters == seen[1].report.model.trainable_parameters);
    CHECK(seen[1].report.model.trainable_parameters < seen[2].report.model.trainable_parameters / 10);
  });
}

TEST_CASE("Selective checkpointing lies between none and full, in memory and in work") {
  for_each_cell({{}, {"--checkpointing", "selective"}, {"--checkpointing", "full"}}, [](const auto& seen) {
    // Where the optimizer step holds the peak, only the rounding of the allocator's blocks tells them apart.
    CHECK(1.01 * static_cast<double>(peak(seen[0])) >= static_cast<double>(peak(seen[1])));
    CHECK(1.01 * static_cast<double>(peak(seen[1])) >= static_cast<double>(peak(seen[2])));
    CHECK(work(seen[0]) <= work(seen[1]) * (1 + 1e-9));
    CHECK(work(seen[1]) <= work(seen[2]) * (1 + 1e-9));
    CHECK(work(seen[2]) < work(seen[0]) * 4 / 3);
  });
}

TEST_CASE("8-bit states are smaller than fp32 ones") {
  for (const std::string kind : {"adamw", "lion"}) {
    for_each_cell({{"--optimizer", kind + "-8bit"}, {"--optimizer", kind}}, [](const auto& seen) {
      CHECK(seen[0].states < seen[1].states);
      CHECK(peak(seen[0]) <= peak(seen[1]));
    });
  }
}

TEST_CASE("Accumulation changes no state, and a step takes at most as many times as long") {
  for_each_cell({{}, {"--grad-accum", "4"}}, [](const auto& seen) {
    CHECK(seen[0].states == seen[1].states);
    CHECK(seen[1].report.step.tokens == 4 * seen[0].report.step.tokens);
    CHECK(seen[1].report.step.time_s > seen[0].report.step.time_s);
    CHECK(seen[1].report.step.time_s < 4.2 * seen[0].report.step.time_s);
  });
}
