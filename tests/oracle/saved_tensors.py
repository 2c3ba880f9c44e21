"""What autograd saves in each part of a model: data/saved_tensors.json.

Each distinct storage is counted once a region; parameters and buffers are left out, and so are the kernels' random
states ("random_state" counts their bytes). A storage that several layers save (cos, sin, the mask) is counted under
"shared" instead. The models lie on the meta device, whose tensors have shapes and types only, which is all that
autograd looks at when it saves them, and kernels are those of a GPU (gpu_kernels.py). Where the CPU, with its own
kernels, saves other bytes, "cpu" has them.
"""
import torch

import models
from gpu_kernels import behave_like_a_gpu

SHAPES = ((1, 128), (2, 96))


class Regions:
    """Follows which part of the model runs, and notes what autograd saves in it."""

    def __init__(self, model):
        self.base, self.layers, self.norm = models.base_of(model)
        self.region = "loss"
        self.device = next(model.parameters()).device
        self.saved = {}  # region -> storage -> bytes
        self.kept = []
        self.ignored = {t.untyped_storage()._cdata for t in [*model.parameters(), *model.buffers()]}
        self.random_state = 0
        for part, name in [(self.base, "embedding"), (self.norm, "norm"), (model.get_output_embeddings(), "head"),
                           *((layer, f"layer {i}") for i, layer in enumerate(self.layers))]:
            self._follow(part, name)

    def _follow(self, module, name):
        outside = []

        def enter(*_):
            outside.append(self.region)
            self.region = name

        def leave(*_):
            self.region = outside.pop()

        module.register_forward_pre_hook(enter)
        module.register_forward_hook(leave)

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        self.kept.append(tensor)  # so that no other storage takes its place
        if tensor.dtype == torch.uint64 or (tensor.dtype == torch.int64 and tensor.dim() == 0):
            self.random_state += storage.nbytes()
        elif tensor.device == self.device and storage._cdata not in self.ignored:
            self.saved.setdefault(self.region, {})[storage._cdata] = storage.nbytes()
        return tensor

    def counts(self):
        per_layer = [self.saved.get(f"layer {i}", {}) for i in range(len(self.layers))]
        often = {s: n for layer in per_layer for s, n in layer.items() if sum(s in other for other in per_layer) > 1}
        everything = {s: n for region in self.saved.values() for s, n in region.items()}
        return {
            "embedding": sum(self.saved.get("embedding", {}).values()),
            "layers": [sum(n for s, n in layer.items() if s not in often) for layer in per_layer],
            "shared": sum(often.values()),
            "norm": sum(self.saved.get("norm", {}).values()),
            "head": sum(self.saved.get("head", {}).values()),
            "loss": sum(self.saved.get("loss", {}).values()),
            "total": sum(everything.values()),
        }


def record(model, batch, seq, device):
    regions = Regions(model)
    ids = torch.zeros(batch, seq, dtype=torch.long, device=device)
    with torch.autograd.graph.saved_tensors_hooks(regions.pack, lambda t: t):
        model(input_ids=ids, labels=ids)
    return regions


def with_lora(model, targets):
    import peft

    # Made on the meta device too; adapters stay in fp32, as PEFT makes them over 16-bit weights.
    return peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules=targets, lora_dropout=0.0,
                                                      task_type="CAUSAL_LM"))


def measure(name, precision, attention, batch, seq, targets, device):
    model = models.build(name, precision, attention, device)
    if targets:
        with torch.device(device):
            with_lora(model, targets)
    regions = record(model, batch, seq, device)
    return regions.counts(), regions.random_state


LORA = {
    "llama": [["q_proj", "v_proj"], "all-linear"],
    "qwen2": [["q_proj", "v_proj"], "all-linear"],
    "gpt2": [["c_attn"], ["c_attn", "c_proj", "c_fc"]],
}


def cases():
    for name in models.CONFIGS:
        for precision in ("bf16", "fp32"):
            for attention in ("eager", "sdpa", "flash_attention_2"):
                if attention == "flash_attention_2" and (precision == "fp32" or "falcon" in name):
                    continue  # the kernel takes 16 bits only; falcon imports the kernel's package itself
                if name == "opt" and attention != "eager":
                    continue  # it reads its mask, which meta tensors cannot
                for batch, seq in SHAPES:
                    yield name, precision, attention, batch, seq, None
    for name, choices in LORA.items():
        for targets in choices:
            for precision, attention in (("bf16", "sdpa"), ("bf16", "eager"), ("fp32", "eager")):
                yield name, precision, attention, 2, 96, targets


def main():
    torch.manual_seed(0)
    behave_like_a_gpu()
    rows = []
    for name, precision, attention, batch, seq, targets in cases():
        case = {"model": name, "precision": precision, "attention": attention, "batch": batch, "seq": seq}
        if targets:
            case["lora"] = targets
        saved, random_state = measure(name, precision, attention, batch, seq, targets, "meta")
        case["saved"] = saved
        if random_state:
            case["random_state"] = random_state
        if attention != "flash_attention_2":
            on_cpu, _ = measure(name, precision, attention, batch, seq, targets, "cpu")
            if on_cpu != saved:
                case["cpu"] = on_cpu
        rows.append(case)
    configs = {n: models.CONFIGS[n] for n in models.CONFIGS}
    models.write("saved_tensors.json", models.stamp("transformers", "peft") | {"models": configs}, rows)


if __name__ == "__main__":
    main()
