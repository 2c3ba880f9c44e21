#include "sim/plan/optimizer_rules.hpp"

#include <fmt/format.h>

#include "model/core/error.hpp"
#include "sim/plan/strategies/strategies.hpp"
#include "sim/request/choices.hpp"

namespace shardsim {
namespace {

[[noreturn]] void refuse(const Request& request, std::string_view reason, std::string_view right) {
  throw InputError(fmt::format("--optimizer {} does not run under {}: {}",
                               name_in(optimizer_choices, request.optimizer), request.strategy, reason),
                   "", std::string(right));
}

void check_fsdp2(const Request& request) {
  const OptimizerKind kind = request.optimizer;
  if (is_bitsandbytes(kind)) {
    refuse(request, "bitsandbytes' kernels take no DTensor, which FSDP2's shards are",
           "adamw, adamw-bf16, muon, sgd or sgd-momentum; or bitsandbytes under single, ddp or ZeRO");
  }
  if (kind == OptimizerKind::adafactor) {
    refuse(request, "transformers' Adafactor mixes its plain factors with FSDP2's DTensors, which PyTorch refuses",
           "adamw, adamw-bf16, muon, sgd or sgd-momentum; or adafactor under single, ddp or ZeRO");
  }
  if (kind == OptimizerKind::muon && request.offload.any()) {
    refuse(request, "Muon multiplies whole matrices, and NCCL cannot gather shards that lie in CPU memory",
           "adamw, or muon without offload");
  }
}

void check_fsdp1(const Request& request) {
  const OptimizerKind kind = request.optimizer;
  if (kind == OptimizerKind::muon) {
    refuse(request, "torch.optim.Muon takes matrices only, and FSDP1's parameters are flat",
           "adamw; or muon under fsdp");
  }
}

void check_zero_muon(const Request& request) {
  if (request.kind == StrategyKind::zero3) {
    if (request.zero.reduce_scatter) {
      refuse(request, "DeepSpeed's ZeRO-3 raises \"Muon and reduce scatter cannot be used together\"",
             "adamw; or muon under single, ddp, zero1, zero2 or fsdp");
    }
    refuse(request, "the exchange of whole gradients and momenta that ZeRO-3 makes for Muon is not simulated",
           "muon under single, ddp, zero1, zero2 or fsdp");
  }
  if (request.offload.any()) {
    refuse(request,
           "DeepSpeed gathers offloaded gradients and momenta on the GPU to orthogonalize them, which is not simulated",
           "adamw or lion; or muon without offload");
  }
  if (takes_bf16_optimizer(request)) {
    refuse(request, "the exchange of whole matrices that DeepSpeed's BF16_Optimizer makes for Muon is not simulated",
           "\"data_types\": {\"grad_accum_dtype\": \"bf16\"}, or zero2");
  }
}

void check_zero(const Request& request) {
  const OptimizerKind kind = request.optimizer;
  if (kind == OptimizerKind::muon) check_zero_muon(request);
  if (kind == OptimizerKind::adamw_bf16 && request.precision != Precision::bf16) {
    refuse(request, "DeepSpeed keeps moments in bf16 only beside bf16 master weights", "--precision bf16, or adamw");
  }
  if (!request.offload.optimizer) return;
  if (request.zero.ratio < 1 && kind != OptimizerKind::adamw) {
    refuse(request, "a ratio below 1 asserts \"Hybrid Optimizer Only Supports DeepSpeedCPUAdam\"",
           "adamw, or offload_optimizer.ratio 1");
  }
  if (kind == OptimizerKind::adafactor || (is_bitsandbytes(kind) && kind != OptimizerKind::lion)) {
    refuse(request,
           "DeepSpeed refuses optimizers other than its CPU Adam and Lion with ZeRO-Offload, unless "
           "zero_force_ds_cpu_optimizer is false (and accelerate puts CPU Adam in its place)",
           "adamw or lion");
  }
}

}  // namespace

void check_optimizer(const Request& request) {
  if (is_fsdp2(request.kind)) check_fsdp2(request);
  if (is_fsdp1(request.kind)) check_fsdp1(request);
  if (is_zero(request.kind)) check_zero(request);
  if (request.optimizer == OptimizerKind::adamw_bf16 && request.precision != Precision::bf16 &&
      request.optimizer_impl != OptimizerImpl::fused) {
    throw InputError(
        "moments in bf16 beside fp32 weights exist in the fused kernel only: PyTorch's other "
        "implementations refuse two types",
        "--optimizer adamw-bf16 --optimizer-impl", "fused, or --precision bf16");
  }
}

}  // namespace shardsim
