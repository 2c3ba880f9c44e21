#include "sim/request/option_table.hpp"

#include <array>

namespace shardsim {

namespace {

constexpr std::array table = {
    OptionSpec{"Machine", "topology", 0, "TOPOLOGY",
               "4xA100, 2x8xH100 (nodes x GPUs x device), a named system, a Graphviz DOT file, or @FILE: the text of "
               "nvidia-smi topo -m, hwloc XML (lstopo), NCCL topology XML or a DeepSpeed hostfile (required)",
               "4xA100, 2x8xH100, a named system, FILE.dot or @FILE (nvidia-smi topo -m)"},
    OptionSpec{
        "Machine", "gpu", 0, "DEVICE",
        "device for a topology that names none, or to tell variants apart; or a device file that shardsim calibrate "
        "wrote",
        "the device, where the topology leaves it open or ambiguous"},
    OptionSpec{"Machine", "host-memory", 0, "SIZE", "memory of each node, such as 512GiB [the topology's]"},
    OptionSpec{"Machine", "nvme", 0, "SIZE", "drives of each node, such as 4TB [the topology's]"},
    OptionSpec{"Machine", "fabric", 0, "FABRIC",
               "what joins the nodes: rail, fat-tree:2 (oversubscribed twice), fat-tree:2:4 (four nodes a leaf) or "
               "ethernet:25G [a non-blocking switch]"},
    OptionSpec{"Machine", "slow-gpu", 0, "GPU:SPEED", "GPUs that run slower than they should, such as 3:0.8,5:0.5"},
    OptionSpec{"Machine", "price", 0, "USD", "US dollars an hour for the whole machine [the topology's]"},

    OptionSpec{"Model and step", "model", 0, "MODEL", "a shipped name or a path to a config.json [llama-2-7b]",
               "a shipped name or a path to a config.json [llama-2-7b]"},
    OptionSpec{"Model and step", "seq-len", 0, "N", "tokens in a sequence; 4k means 4096 [4096]",
               "tokens in a sequence; 4k means 4096 [4096]"},
    OptionSpec{"Model and step", "micro-batch", 0, "N", "sequences a device works on at once [1]",
               "sequences a device works on at once [1]"},
    OptionSpec{"Model and step", "grad-accum", 0, "N", "micro-batches in a step [1]", "micro-batches in a step [1]"},

    OptionSpec{"Strategy", "strategy", 0, "STRATEGY",
               "single, ddp, zero1, zero2, zero3, fsdp, fsdp-grad-op, hsdp, fsdp1, fsdp1-grad-op, fsdp1-hsdp, "
               "device-map; most with -offload, -offload-optimizer or -offload-param, zero1 to zero3 with -nvme or "
               "-nvme-optimizer, zero3 with -nvme-param (required)",
               "single, ddp, zero1..3, fsdp, hsdp, fsdp1, device-map, many with -offload"},
    OptionSpec{"Strategy", "deepspeed", 0, "FILE",
               "a DeepSpeed ds_config.json in place of --strategy and of what it sets; options beside it win",
               "a ds_config.json in place of --strategy; --accelerate: an accelerate YAML"},
    OptionSpec{"Strategy", "accelerate", 0, "FILE", "an accelerate YAML (FSDP or DeepSpeed), likewise"},
    OptionSpec{"Strategy", "precision", 0, "PRECISION",
               "bf16-mixed, fp16-mixed, amp-bf16, bf16, fp32 or fp8-mixed [bf16-mixed]",
               "bf16-mixed, fp16-mixed, amp-bf16, bf16, fp32 or fp8-mixed [bf16-mixed]"},
    OptionSpec{"Strategy", "reduce-dtype", 0, "TYPE", "type of gradient reduction: bf16, fp16 or fp32 [the runtime's]"},
    OptionSpec{"Strategy", "optimizer", 0, "OPTIMIZER", "adamw, adamw-8bit, adafactor, lion, muon, sgd, ... [adamw]",
               "adamw, adamw-8bit, adafactor, lion, muon, sgd, ... [adamw]"},
    OptionSpec{"Strategy", "optimizer-impl", 0, "IMPL", "fused, foreach or for-loop [fused]"},
    OptionSpec{
        "Strategy", "checkpointing", 0, "POLICY",
        "activation checkpointing: none, full (every block), every:K (each K-th block) or selective (by operator, "
        "as torchtitan) [none]",
        "activations: none, full, every:K or selective [none]"},
    OptionSpec{
        "Strategy", "use-reentrant", 0, "on|off",
        "torch.utils.checkpoint's older form, transformers' default up to 4.57 [on under FSDP1 with transformers' "
        "modules]"},
    OptionSpec{
        "Strategy", "save", 0, "KIND",
        "also simulate the checkpoint that follows the step: none, sharded, full, gathered-16bit or adapter [none]"},
    OptionSpec{"Strategy", "pin-memory", 0, "on|off", "page-locked host buffers [the runtime's]"},
    OptionSpec{"Strategy", "cpu-threads", 0, "N",
               "cores on which each rank's offloaded optimizer runs, OMP_NUM_THREADS [torchrun's and accelerate's 1, "
               "under the deepspeed launcher all of them]"},

    OptionSpec{"Adapters", "peft", 0, "METHOD",
               "parameter-efficient fine-tuning: none, lora, qlora, dora, qdora, adapter (Houlsby), prompt, or PEFT's "
               "adapter_config.json [none]",
               "none, lora, qlora, dora, qdora, adapter, prompt or a JSON file [none]"},
    OptionSpec{"Adapters", "lora-rank", 0, "N", "rank of the adapters [16]"},
    OptionSpec{"Adapters", "lora-targets", 0, "NAMES",
               "modules that get adapters, such as q_proj,v_proj, or all-linear [PEFT's default for the model]"},
    OptionSpec{"Adapters", "lora-dropout", 0, "P", "share of each adapter's input that is dropped [0, PEFT's default]"},
    OptionSpec{"Adapters", "quantization", 0, "TYPE",
               "storage of the frozen base under qlora and qdora: nf4-dq, nf4, fp4, int8 or gptq4 [nf4-dq]"},
    OptionSpec{"Adapters", "kbit-upcast", 0, "on|off",
               "cast what is not quantized to fp32, as prepare_model_for_kbit_training does [the runtime's]"},

    OptionSpec{"Framework", "attention", 0, "KERNEL", "flash, sdpa or eager [flash]", "flash, sdpa or eager [flash]"},
    OptionSpec{
        "Framework", "loss", 0, "LOSS",
        "eager (logits upcast to fp32), plain (one kernel on 16-bit logits), chunked or fused (with the head) [eager]",
        "eager, plain, chunked or fused [eager]"},
    OptionSpec{"Framework", "compile", 0, "on|off", "torch.compile of each block [off]"},
    OptionSpec{"Framework", "implementation", 0, "NAME", "whose block: hf, torchtitan, liger, foak or megatron [hf]",
               "whose block: hf, torchtitan, liger, foak or megatron [hf]"},
    OptionSpec{"Framework", "transformers", 0, "VERSION",
               "whose loss transformers' modules compute: 4.45 (or older), 4.48 (from 4.46 on) or 4.57 [4.57]"},
    OptionSpec{"Framework", "keep-outputs", 0, "on|off",
               "the training loop names the model's outputs until backward is over, as Hugging Face's Trainer does not "
               "[off]"},
    OptionSpec{"Framework", "allocator", 0, "NAME", "caching, or expandable (expandable_segments:True) [caching]"},

    OptionSpec{"Whole run", "tokens", 0, "N", "tokens to train on, such as 15T: adds time, energy and money",
               "tokens to train on, such as 15T: adds time, energy and money"},
    OptionSpec{"Whole run", "examples", 0, "N", "sequences in an epoch, in place of --tokens"},
    OptionSpec{"Whole run", "epochs", 0, "N", "passes over them [1]"},

    OptionSpec{"Output", "format", 0, "FORMAT",
               "text, json, csv, markdown or html (one file to look at, with -o) [text]",
               "text, json, csv, markdown or html [text]"},
    OptionSpec{"Output", "output", 'o', "FILE", "write the report there instead of to stdout",
               "write the report there instead of to stdout"},
    OptionSpec{"Output", "trace", 0, "FILE",
               "also write the run as a timeline: .json or .json.gz (Chrome's format) or .pftrace (Perfetto's); "
               "https://ui.perfetto.dev opens each",
               "also a timeline for https://ui.perfetto.dev: .json, .json.gz or .pftrace"},
    OptionSpec{"Output", "memory-snapshot", 0, "FILE",
               "also write the devices' memory as torch.cuda.memory._dump_snapshot() does, such as run.pickle; "
               "https://pytorch.org/memory_viz opens it"},
    OptionSpec{"Output", "quiet", 'q', "", "no notes and no warnings"},
    OptionSpec{"Output", "verbose", 'v', "", "more rows: largest tensors, all links, options"},
    OptionSpec{"Output", "no-color", 0, "", "plain text on a terminal too"},

    OptionSpec{"General", "config", 0, "FILE",
               "options from a file, 'seq-len = 4096' a line; the command line beats it",
               "options from a file, 'seq-len = 4096' a line; the command line beats it"},
    OptionSpec{"General", "threads", 0, "N", "threads to use [all]; the result does not depend on it"},
    OptionSpec{"General", "seed", 0, "N", "seed of everything random [0]"},
    OptionSpec{"General", "help", 'h', "", "this text",
               "this text; more of one option: shardsim help OPTION, of all: help all"},
};

}  // namespace

std::span<const OptionSpec> option_table() { return table; }

std::vector<std::string> option_names() {
  std::vector<std::string> names;
  for (const OptionSpec& option : table) names.emplace_back(option.name);
  return names;
}

}  // namespace shardsim
