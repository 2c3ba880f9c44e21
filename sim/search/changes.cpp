#include "sim/search/changes.hpp"

#include <fmt/format.h>

#include <regex>

namespace shardsim {

namespace {

using Changed = std::optional<OptionTexts>;

Changed lower_precision(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.precision != Precision::fp32 && request.precision != Precision::amp_bf16) return {};
  return with(options, "precision", "bf16-mixed");
}

Changed checkpoint(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.checkpointing == Checkpointing::full) return {};
  return with(options, "checkpointing", "full");
}

Changed chunk_loss(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.loss == LossKind::fused || request.loss == LossKind::chunked) return {};
  return with(options, "loss", "fused");
}

Changed shrink_optimizer(const OptionTexts& options, const Request& request, std::size_t) {
  switch (request.optimizer) {
    case OptimizerKind::adamw:
    case OptimizerKind::paged_adamw:
      return with(options, "optimizer", "paged-adamw-8bit");
    case OptimizerKind::lion:
      return with(options, "optimizer", "lion-8bit");
    default:
      return {};
  }
}

/// Half the micro-batch where that divides, else one; the tokens of a step stay.
Changed shrink_micro_batch(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.micro_batch == 1) return {};
  const std::int64_t smaller = request.micro_batch % 2 == 0 ? request.micro_batch / 2 : 1;
  const std::int64_t steps = request.grad_accum * (request.micro_batch / smaller);
  return with(with(options, "micro-batch", fmt::format("{}", smaller)), "grad-accum", fmt::format("{}", steps));
}

/// Weights, gradients and states in bf16 alone.
Changed drop_masters(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.precision != Precision::bf16_mixed && request.precision != Precision::fp16_mixed) return {};
  return with(options, "precision", "bf16");
}

Changed shard_more(const OptionTexts& options, const Request& request, std::size_t gpus) {
  if (gpus == 1) return {};
  switch (request.kind) {
    case StrategyKind::single:
    case StrategyKind::device_map:
    case StrategyKind::ddp:
      return with(options, "strategy", "zero1");
    case StrategyKind::zero1:
      return with(options, "strategy", request.offload.any() ? "zero2-offload" : "zero2");
    case StrategyKind::zero2:
      return with(options, "strategy", request.offload.any() ? "zero3-offload-optimizer" : "zero3");
    case StrategyKind::fsdp_grad_op:
    case StrategyKind::hsdp:
      return with(options, "strategy", "fsdp");
    case StrategyKind::fsdp1_grad_op:
    case StrategyKind::fsdp1_hsdp:
      return with(options, "strategy", "fsdp1");
    default:
      return {};
  }
}

Changed use_lora(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.peft.kind != PeftKind::none) return {};
  return with(options, "peft", "lora");
}

Changed use_qlora(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.peft.kind != PeftKind::none && request.peft.kind != PeftKind::lora) return {};
  return with(options, "peft", "qlora");
}

/// DeepSpeed's CPU optimizers are Adam and Lion with fp32 states.
OptionTexts with_cpu_optimizer(OptionTexts options, const Request& request) {
  if (request.optimizer == OptimizerKind::adamw || request.optimizer == OptimizerKind::lion) return options;
  return with(std::move(options), "optimizer", request.optimizer == OptimizerKind::lion_8bit ? "lion" : "adamw");
}

Changed offload_optimizer(const OptionTexts& options, const Request& request, std::size_t gpus) {
  if (request.offload.any()) return {};
  if (is_fsdp(request.kind))
    return with(with_cpu_optimizer(options, request), "strategy", request.strategy + "-offload");
  if (request.kind == StrategyKind::zero3 && gpus > 1) {
    return with(with_cpu_optimizer(options, request), "strategy", "zero3-offload-optimizer");
  }
  return with(with_cpu_optimizer(options, request), "strategy", "zero2-offload");
}

Changed offload_parameters(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.offload.parameters || is_fsdp(request.kind)) return {};
  return with(with_cpu_optimizer(options, request), "strategy", "zero3-offload");
}

Changed offload_to_drives(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.offload.on_nvme() || is_fsdp(request.kind)) return {};
  OptionTexts changed = with(with_cpu_optimizer(options, request), "strategy", "zero3-nvme");
  if (!request.nvme) changed = with(std::move(changed), "nvme", "8TB");
  return changed;
}

/// Twice the GPUs of a node up to eight, then twice the nodes.
Changed double_gpus(const OptionTexts& options, const Request& request, std::size_t gpus) {
  static const std::regex counted(R"(^(?:(\d{1,5})[xX])?(\d{1,5})[xX]([A-Za-z].*)$)");
  std::smatch match;
  const std::string topology = request.topology;
  std::string larger;
  constexpr std::size_t most = 512;
  if (gpus * 2 > most) return {};
  if (std::regex_match(topology, match, counted)) {
    const int nodes = match[1].matched ? std::stoi(match[1]) : 1;
    const int each = std::stoi(match[2]);
    larger = each < 8 && nodes == 1 ? fmt::format("{}x{}", 2 * each, match[3].str())
                                    : fmt::format("{}x{}x{}", 2 * nodes, each, match[3].str());
  } else if (topology.find('/') == std::string::npos && !topology.starts_with('@')) {
    larger = "2x" + topology;
  } else {
    return {};
  }
  OptionTexts changed = with(options, "topology", larger);
  if (request.kind == StrategyKind::single || request.kind == StrategyKind::ddp ||
      request.kind == StrategyKind::zero1 || request.kind == StrategyKind::zero2) {
    changed = with(std::move(changed), "strategy", "zero3");
  }
  return changed;
}

Change set(const std::string& name, const std::string& option, const std::string& value) {
  return {name, {}, [option, value](const OptionTexts& options, const Request&, std::size_t) -> Changed {
            const auto old = options.find(option);
            if (old != options.end() && old->second.value == value) return {};
            return with(options, option, value);
          }};
}

Changed grow_micro_batch(const OptionTexts& options, const Request& request, std::size_t) {
  if (request.grad_accum % 2 != 0) return {};
  return with(with(options, "micro-batch", fmt::format("{}", 2 * request.micro_batch)), "grad-accum",
              fmt::format("{}", request.grad_accum / 2));
}

}  // namespace

OptionTexts with(OptionTexts options, const std::string& option, const std::string& value) {
  options.insert_or_assign(option, OptionText{value, "--" + option});
  return options;
}

std::vector<Change> memory_ladder() {
  return {{"bf16 compute with fp32 master weights", {}, lower_precision},
          {"activation checkpointing", {}, checkpoint},
          {"a loss that never holds all logits", {}, chunk_loss},
          {"an 8-bit, paged optimizer", {}, shrink_optimizer},
          {"smaller micro-batch, more accumulation", {.repeats = true}, shrink_micro_batch},
          {"bf16 weights without fp32 masters", {}, drop_masters},
          {"more sharding", {.repeats = true}, shard_more},
          {"LoRA", {.trains_less = true}, use_lora},
          {"QLoRA", {.trains_less = true}, use_qlora},
          {"optimizer in CPU memory", {.to_cpu = true}, offload_optimizer},
          {"weights in CPU memory too", {.to_cpu = true}, offload_parameters},
          {"states on drives", {.to_cpu = true}, offload_to_drives},
          {"twice the GPUs", {.repeats = true, .adds_hardware = true}, double_gpus}};
}

std::vector<Change> speed_moves() {
  return {set("no checkpointing", "checkpointing", "none"),
          set("selective checkpointing", "checkpointing", "selective"),
          set("flash attention", "attention", "flash"),
          set("a fused loss", "loss", "fused"),
          set("fused kernels (Liger)", "implementation", "liger"),
          set("torch.compile", "compile", "on"),
          set("a fused optimizer", "optimizer-impl", "fused"),
          set("bf16 compute", "precision", "bf16-mixed"),
          {"larger micro-batch, less accumulation", {}, grow_micro_batch},
          set("FSDP", "strategy", "fsdp"),
          set("FSDP, weights kept gathered", "strategy", "fsdp-grad-op"),
          set("hybrid sharding", "strategy", "hsdp"),
          set("ZeRO-3", "strategy", "zero3"),
          set("ZeRO-2", "strategy", "zero2"),
          set("ZeRO-1", "strategy", "zero1"),
          set("whole replicas", "strategy", "ddp"),
          set("one GPU alone", "strategy", "single")};
}

}  // namespace shardsim
