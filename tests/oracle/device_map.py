"""Where accelerate puts the modules of a model on several devices: data/device_map.json.

get_balanced_memory and infer_auto_device_map on models of model/zoo, in bf16, on the meta device; decoder layers a
device (GPUs, CPU, disk), and where the head went.
"""
import accelerate
import torch
from accelerate.utils import get_balanced_memory

import models
from counts import model_of

GB = 10**9
CASES = [  # model, GB of each GPU, GB of the CPU, balanced
    ("llama-3-8b", [80] * 4, 500, True), ("llama-3-8b", [24, 24], 100, True), ("llama-3-8b", [10, 5], 20, False),
    ("llama-3-8b", [6, 4], 3, False), ("mistral-7b", [8, 8], 3, True), ("gpt2", [0.1] * 3, 1, True),
    ("gpt2", [0.2, 0.1], 1, False), ("llama-2-7b", [12], 3, False), ("llama-2-7b", [80], 3, True),
    ("llama-2-13b", [80] * 8, 500, True), ("qwen2.5-7b", [12, 12], 40, True), ("qwen3-14b", [24, 24], 80, True),
    ("gemma-2-9b", [24, 24], 40, True), ("gemma-2-9b", [8, 8], 40, False), ("pythia-6.9b", [10, 10], 40, True),
    ("falcon-7b", [10, 10], 40, True), ("phi-3-mini", [6, 6], 20, True), ("opt-6.7b", [10, 8], 40, False),
    ("mixtral-8x7b", [40, 40, 40], 200, True), ("llama-3-70b", [80, 80], 200, True),
]


def place(name, gpus, cpu, balanced):
    model = model_of(name)
    model.tie_weights()
    whole = list(model._no_split_modules or [])
    memory = {i: int(gb * GB) for i, gb in enumerate(gpus)} | {"cpu": int(cpu * GB)}
    options = dict(no_split_module_classes=whole, dtype=torch.bfloat16)
    if balanced:
        memory = get_balanced_memory(model, max_memory=dict(memory), **options)
    placed = accelerate.infer_auto_device_map(model, max_memory=memory, **options)

    def device_of(module):
        while module not in placed:
            module = module.rpartition(".")[0]
        device = placed[module]
        return {"cpu": len(gpus), "disk": len(gpus) + 1}.get(device, device)

    base, layers, _ = models.base_of(model)
    names = {id(module): name for name, module in model.named_modules()}
    counts = [0] * (len(gpus) + 2)
    for layer in layers:
        counts[device_of(names[id(layer)])] += 1
    return {"model": name, "gpus": [int(gb * GB) for gb in gpus], "cpu": int(cpu * GB), "balanced": balanced,
            "layers": counts, "head": device_of(names[id(model.get_output_embeddings())])}


def main():
    models.write("device_map.json", models.stamp("transformers", "accelerate"), [place(*case) for case in CASES])


if __name__ == "__main__":
    main()
