"""What adapter libraries do to small models: trainable parameters, saved bytes of a layer, bytes of the saved adapter.

Prints one JSON object a line; tests/model/adapter_recorded_test.cpp and tests/plan/adapter_save_test.cpp hold the
numbers. Runs on a CPU: pip install torch transformers peft adapters bitsandbytes safetensors.
"""
import copy
import json
import os
import sys
import tempfile
import weakref
from contextlib import nullcontext

import torch
import transformers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config

SHAPES = {
    "llama": LlamaConfig(hidden_size=256, intermediate_size=704, num_attention_heads=4, num_key_value_heads=2,
                         vocab_size=512, num_hidden_layers=3),
    "qwen2": Qwen2Config(hidden_size=256, intermediate_size=704, num_attention_heads=4, num_key_value_heads=2,
                         vocab_size=512, num_hidden_layers=3),
    "gpt2": GPT2Config(n_embd=256, n_head=4, n_positions=512, vocab_size=512, n_layer=3, attn_pdrop=0.0,
                       resid_pdrop=0.0, embd_pdrop=0.0),
}
BATCH, SEQ, LAYER = 2, 128, 1


def build(name, dtype):
    torch.manual_seed(0)
    config = copy.deepcopy(SHAPES[name])
    config.use_cache = False
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=dtype)
    model.train()
    return model


def layers_of(model):
    for path in ("model.layers", "transformer.h"):
        for name, module in model.named_modules():
            if name.endswith(path):
                return list(module)
    raise SystemExit("no layers")


class Saved:
    """Stands for a saved tensor: it dies with the node of the graph that saved it."""

    def __init__(self, tensor):
        self.tensor = tensor


def saved_bytes(model, autocast):
    """Distinct storages that layer LAYER holds for backward when forward is over, without parameters and buffers, and
    without what the next layer holds too."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    current, saved = [None], []

    def pack(tensor):
        holder = Saved(tensor)
        if current[0] is not None:
            saved.append((current[0], weakref.ref(holder)))
        return holder

    handles = []
    for index, layer in enumerate(layers_of(model)):
        handles.append(layer.register_forward_pre_hook(lambda m, a, i=index: current.__setitem__(0, i)))
        handles.append(layer.register_forward_hook(lambda m, a, o: current.__setitem__(0, None)))
    ids = torch.randint(0, 512, (BATCH, SEQ))
    context = torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext()
    with context, torch.autograd.graph.saved_tensors_hooks(pack, lambda holder: holder.tensor):
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss
    kept = {0: {}, 1: {}, 2: {}}
    for layer, reference in saved:
        holder = reference()
        if holder is not None:
            storage = holder.tensor.untyped_storage()
            kept[layer][storage.data_ptr()] = storage.nbytes()
    holder = None
    loss.backward()
    for handle in handles:
        handle.remove()
    shared = set(kept[1]) & set(kept[2])
    return sum(size for pointer, size in kept[LAYER].items() if pointer not in shared and pointer not in own)


def file_bytes(folder):
    """Bytes of the tensors in a saved adapter, and of the whole file."""
    from safetensors import safe_open

    for root, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".safetensors"):
                path = os.path.join(root, name)
                with safe_open(path, "pt") as tensors:
                    data = sum(tensors.get_tensor(k).numel() * tensors.get_tensor(k).element_size()
                               for k in tensors.keys())
                return data, os.path.getsize(path)
    raise SystemExit("nothing was saved")


def trained(model):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return sum(p.numel() for _, p in named), sorted({str(p.dtype)[6:] for _, p in named}), [n for n, _ in named]


def report(case, model, autocast):
    count, types, names = trained(model)
    row = {"case": case, "trainable": count, "types": types, "first": names[:4], "tensors": len(names)}
    row["saved"] = saved_bytes(model, autocast)
    with tempfile.TemporaryDirectory() as folder:
        if hasattr(model, "peft_config"):
            model.save_pretrained(folder)
        else:
            model.save_adapter(folder, "default", use_safetensors=True)
        row["data"], row["file"] = file_bytes(folder)
    print(json.dumps(row), flush=True)


def main():
    import peft
    from peft import LoraConfig, PromptTuningConfig, get_peft_model

    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__,
                      "peft": peft.__version__}))
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    configs = {
        "lora": lambda targets: LoraConfig(r=8, target_modules=targets, task_type="CAUSAL_LM"),
        "lora_bias": lambda targets: LoraConfig(r=8, target_modules=targets, lora_bias=True, task_type="CAUSAL_LM"),
        "dora": lambda targets: LoraConfig(r=8, target_modules=targets, use_dora=True, task_type="CAUSAL_LM"),
        "dora_dropout": lambda targets: LoraConfig(r=8, target_modules=targets, use_dora=True, lora_dropout=0.1,
                                                   task_type="CAUSAL_LM"),
        "pattern": lambda targets: LoraConfig(r=8, target_modules=["q_proj", "k_proj"], exclude_modules=r".*\.k_proj",
                                              layers_to_transform=[1, 2], rank_pattern={"2.self_attn.q_proj": 4},
                                              task_type="CAUSAL_LM"),
        "prompt": lambda targets: PromptTuningConfig(num_virtual_tokens=20, task_type="CAUSAL_LM"),
    }
    for shape, targets in (("llama", every), ("llama", None), ("qwen2", None), ("gpt2", None)):
        for kind, make in configs.items():
            if kind in ("pattern", "lora_bias") and (shape != "llama" or targets is None):
                continue
            if kind == "prompt" and targets is not None:
                continue
            for mode in ("autocast", "fp32_adapters", "bf16"):
                model = get_peft_model(build(shape, torch.bfloat16), make(targets),
                                       autocast_adapter_dtype=mode != "bf16")
                if kind == "prompt" and mode == "bf16":
                    model.prompt_encoder.to(torch.bfloat16)
                try:
                    report(f"{shape} {kind} {'all' if targets else 'default'} {mode}", model, mode == "autocast")
                except Exception as fault:  # a mode that the library does not run
                    print(json.dumps({"case": f"{shape} {kind} {mode}", "fault": str(fault)[:200]}), flush=True)
    extras()
    quantized(every)
    bottlenecks()


def extras():
    """Modules that are copied and trained whole, and biases that are trained, beside adapters of rank 8."""
    from peft import LoraConfig, get_peft_model

    cases = [("llama", {"modules_to_save": names}) for names in
             (["lm_head"], ["embed_tokens", "lm_head"], ["input_layernorm"], ["q_proj"], ["mlp"])]
    cases += [("gpt2", {"modules_to_save": ["wte"]})]
    cases += [(shape, {"bias": bias}) for shape in ("gpt2", "qwen2") for bias in ("all", "lora_only")]
    for shape, more in cases:
        for mode in ("autocast", "fp32_adapters", "bf16"):
            config = LoraConfig(r=8, task_type="CAUSAL_LM", **more)
            model = get_peft_model(build(shape, torch.bfloat16), config, autocast_adapter_dtype=mode != "bf16")
            report(f"{shape} {more} {mode}", model, mode == "autocast")


def quantized(every):
    """PEFT's bitsandbytes layers ask whether autocast is on for CUDA: here they are told so where it is on for the CPU."""
    import bitsandbytes
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    print(json.dumps({"bitsandbytes": bitsandbytes.__version__}))

    def replace(module):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear) and name != "lm_head":
                new = bitsandbytes.nn.Linear4bit(child.in_features, child.out_features, child.bias is not None,
                                                 compute_dtype=torch.bfloat16, compress_statistics=True,
                                                 quant_type="nf4")
                new.weight = bitsandbytes.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4",
                                                        compress_statistics=True)
                setattr(module, name, new.to("cpu"))
            else:
                replace(child)

    really = torch.is_autocast_enabled
    for kind in ("lora", "dora"):
        for upcast in (True, False):
            for mode in ("autocast", "fp32_adapters"):
                model = build("llama", torch.bfloat16)
                replace(model)
                model.is_loaded_in_4bit = True  # what PEFT chooses its 4-bit layer by
                if upcast:
                    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
                model = get_peft_model(model, LoraConfig(r=8, target_modules=every, use_dora=kind == "dora",
                                                         task_type="CAUSAL_LM"))
                name = f"llama q{kind} all {mode}{' upcast' if upcast else ''}"
                torch.is_autocast_enabled = lambda *_: mode == "autocast"
                try:
                    report(name, model, mode == "autocast")
                except Exception as fault:
                    print(json.dumps({"case": name, "fault": str(fault)[:200]}), flush=True)
    torch.is_autocast_enabled = really


def bottlenecks():
    import adapters
    from importlib.metadata import version

    print(json.dumps({"adapters": version("adapters")}))
    for shape in ("llama", "gpt2"):
        for mode in ("autocast", "bf16"):
            model = build(shape, torch.bfloat16)
            adapters.init(model)
            model.add_adapter("default", config="double_seq_bn")
            model.train_adapter("default")
            model.train()
            if mode == "bf16":
                model.to(torch.bfloat16)
            try:
                report(f"{shape} adapter {mode}", model, mode == "autocast")
            except Exception as fault:
                print(json.dumps({"case": f"{shape} adapter {mode}", "fault": str(fault)[:200]}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
