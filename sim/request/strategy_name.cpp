#include "sim/request/strategy_name.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "model/core/error.hpp"
#include "model/core/suggest.hpp"

namespace shardsim {

namespace {

struct Base {
  std::string_view name;
  StrategyKind kind;
  std::string_view summary;
};
constexpr std::array bases = {
    Base{"single", StrategyKind::single, "one device holds everything"},
    Base{"ddp", StrategyKind::ddp, "every rank holds everything; gradients are all-reduced"},
    Base{"zero1", StrategyKind::zero1, "DeepSpeed: optimizer states are sharded"},
    Base{"zero2", StrategyKind::zero2, "DeepSpeed: optimizer states and gradients are sharded"},
    Base{"zero3", StrategyKind::zero3, "DeepSpeed: optimizer states, gradients and parameters are sharded"},
    Base{"fsdp", StrategyKind::fsdp, "FSDP2: everything is sharded; parameters are freed after each forward"},
    Base{"fsdp-grad-op", StrategyKind::fsdp_grad_op, "FSDP2: everything is sharded; parameters stay until backward"},
    Base{"device-map", StrategyKind::device_map, "one process, its layers spread over the GPUs, which work in turn"},
    Base{"hsdp", StrategyKind::hsdp, "FSDP2: everything is sharded within each node and replicated over the nodes"},
    Base{"fsdp1", StrategyKind::fsdp1,
         "FSDP1: flat parameters, everything sharded; parameters are freed after each forward"},
    Base{"fsdp1-grad-op", StrategyKind::fsdp1_grad_op, "FSDP1: SHARD_GRAD_OP; parameters stay until backward"},
    Base{"fsdp1-hsdp", StrategyKind::fsdp1_hsdp,
         "FSDP1: HYBRID_SHARD; sharded within each node, replicated over the nodes"},
};

enum class Suffix { none, offload, offload_optimizer, offload_param, nvme, nvme_optimizer, nvme_param };
// The longest first: "-offload" ends no other, but "-offload-param" must not be read as a base "...-offload".
constexpr std::array<std::pair<std::string_view, Suffix>, 6> suffixes = {
    {{"-offload-optimizer", Suffix::offload_optimizer},
     {"-offload-param", Suffix::offload_param},
     {"-nvme-optimizer", Suffix::nvme_optimizer},
     {"-nvme-param", Suffix::nvme_param},
     {"-offload", Suffix::offload},
     {"-nvme", Suffix::nvme}}};

std::pair<std::string_view, Suffix> split(std::string_view name) {
  for (const auto& [ending, suffix] : suffixes) {
    if (name.ends_with(ending)) return {name.substr(0, name.size() - ending.size()), suffix};
  }
  return {name, Suffix::none};
}

bool is_nvme(Suffix suffix) {
  return suffix == Suffix::nvme || suffix == Suffix::nvme_optimizer || suffix == Suffix::nvme_param;
}

/// Why the runtime has no such offload; empty when it has.
std::string_view reason_against(StrategyKind kind, Suffix suffix) {
  if (suffix == Suffix::none) return "";
  if (kind == StrategyKind::single || kind == StrategyKind::ddp) return "it keeps every state on the device";
  if (kind == StrategyKind::device_map) return "accelerate computes with offloaded weights, but does not train them";
  const bool stage1or2 = kind == StrategyKind::zero1 || kind == StrategyKind::zero2;
  if (stage1or2 && (suffix == Suffix::offload_param || suffix == Suffix::nvme_param))
    return "DeepSpeed offloads parameters under ZeRO-3 only";
  if (is_fsdp(kind) && suffix == Suffix::offload_optimizer) {
    return "FSDP offloads parameters, gradients and optimizer together";
  }
  if (is_fsdp(kind) && is_nvme(suffix)) return "FSDP offloads to CPU memory only";
  return "";
}

Offload offload_of(StrategyKind kind, Suffix suffix) {
  if (suffix == Suffix::none) return {};
  // CPUOffloadPolicy of FSDP2 and CPUOffload of FSDP1 move all three states, whichever name asks for it.
  if (is_fsdp(kind)) return {.optimizer = true, .parameters = true};
  // Stages 1 and 2 know of no drives (stage_1_and_2.py: `device != none` is cpu_offload).
  if (is_nvme(suffix) && kind != StrategyKind::zero3) return {.optimizer = true};
  // Parameters on drives leave the optimizer in CPU memory.
  if (is_nvme(suffix)) {
    return {.optimizer = true,
            .parameters = suffix != Suffix::nvme_optimizer,
            .optimizer_on_nvme = suffix != Suffix::nvme_param,
            .parameters_on_nvme = suffix != Suffix::nvme_optimizer};
  }
  return {.optimizer = suffix != Suffix::offload_param,
          .parameters = suffix == Suffix::offload_param || (suffix == Suffix::offload && kind == StrategyKind::zero3)};
}

}  // namespace

StrategyChoice parse_strategy(const OptionText& text) {
  const auto parts = split(text.value);
  const std::string_view name = parts.first;
  const Suffix suffix = parts.second;
  const auto base = std::find_if(bases.begin(), bases.end(), [&](const Base& b) { return b.name == name; });
  if (base == bases.end()) throw_unknown_name("strategy", text.value, text.where, strategy_names());
  if (const std::string_view reason = reason_against(base->kind, suffix); !reason.empty()) {
    throw InputError(
        fmt::format("{} has no {}: {}", name, text.value.substr(name.size() + 1), reason),
        fmt::format("{} {}", text.where, text.value),
        is_fsdp(base->kind) ? fmt::format("{}-offload", name) : "zero2-offload, zero3-offload or fsdp-offload");
  }
  StrategyChoice choice{base->kind, offload_of(base->kind, suffix), ""};
  if (is_nvme(suffix) && !choice.offload.on_nvme()) {
    choice.warning = fmt::format(
        "{}: DeepSpeed takes nvme under stage {} and keeps the optimizer in CPU memory all the same; only stage 3 "
        "swaps "
        "to drives",
        text.value, base->kind == StrategyKind::zero1 ? 1 : 2);
  }
  return choice;
}

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (const Base& base : bases) {
    names.emplace_back(base.name);
    for (const auto& [ending, suffix] : suffixes) {
      if (!reason_against(base.kind, suffix).empty()) continue;
      names.push_back(fmt::format("{}{}", base.name, ending));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string describe_strategy(std::string_view name) {
  const StrategyChoice choice = parse_strategy({std::string(name), "strategy"});
  const auto base = std::find_if(bases.begin(), bases.end(), [&](const Base& b) { return b.kind == choice.kind; });
  std::string text(base->summary);
  if (is_fsdp(choice.kind) && choice.offload.any()) return text + "; parameters, gradients and optimizer in CPU memory";
  if (choice.offload.on_nvme()) {
    const bool optimizer = choice.offload.optimizer_on_nvme;
    if (optimizer && choice.offload.parameters_on_nvme) return text + "; optimizer and parameters on drives";
    return text + (optimizer ? "; optimizer on drives" : "; parameters on drives, optimizer in CPU memory");
  }
  if (choice.offload.optimizer && choice.offload.parameters) return text + "; optimizer and parameters in CPU memory";
  if (choice.offload.optimizer) return text + "; optimizer in CPU memory";
  if (choice.offload.parameters) return text + "; parameters in CPU memory";
  return text;
}

}  // namespace shardsim
