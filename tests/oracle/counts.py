"""Parameters of every shipped model and of PEFT's adapters on some: data/counts.json.

The models of model/zoo are built on the meta device. Recorded are the elements of all parameters, the bytes of all
buffers, and a 64-bit FNV-1a hash of one line a parameter, "name 32x16", in the order of named_parameters().
"""
import json
import pathlib

import torch
import transformers

import models

ZOO = pathlib.Path(__file__).parents[2] / "model/zoo"
LLAMA = ["q_proj", "v_proj"]
ADAPTERS = [(name, rank, targets) for name, choices in {
    "llama-2-7b": [None, LLAMA, "all-linear"], "mistral-7b": [None, "all-linear"], "qwen2.5-7b": [None, "all-linear"],
    "qwen3-8b": [None, "all-linear"], "gemma-2-9b": [None, "all-linear"], "gpt2": [None, "all-linear"],
    "falcon-7b": [None, "all-linear"], "pythia-1b": [None, "all-linear"], "phi-3-mini": [["qkv_proj", "o_proj"]],
    "opt-1.3b": [None], "bloom-560m": [None], "mixtral-8x7b": [None, LLAMA],
}.items() for targets in choices for rank in (8, 64)]


def fnv1a(lines):
    value = 0xCBF29CE484222325
    for byte in "".join(line + "\n" for line in lines).encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def model_of(name, dtype=torch.bfloat16):
    config = json.loads((ZOO / f"{name}.json").read_text())
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**config), dtype=dtype)


def lines_of(parameters):
    return [name + " " + "x".join(map(str, p.shape)) for name, p in parameters]


def count(name):
    model = model_of(name, torch.float32)  # in which from_pretrained keeps the routers' corrections
    named = list(model.named_parameters())
    buffers = {b.untyped_storage()._cdata: b.untyped_storage().nbytes() for b in model.buffers() if b.dim() > 0}
    return {"model": name, "parameters": sum(p.numel() for _, p in named), "tensors": len(named),
            "names": fnv1a(lines_of(named)), "buffers": sum(buffers.values())}


def adapt(name, rank, targets):
    import peft

    with torch.device("meta"):
        model = peft.get_peft_model(model_of(name), peft.LoraConfig(r=rank, target_modules=targets,
                                                                    task_type="CAUSAL_LM"))
    trained = [(n.removeprefix("base_model.model."), p) for n, p in model.named_parameters() if p.requires_grad]
    return {"model": name, "rank": rank, "targets": targets, "parameters": sum(p.numel() for _, p in trained),
            "tensors": len(trained), "names": fnv1a(sorted(lines_of(trained)))}


def main():
    rows = [count(path.stem) for path in sorted(ZOO.glob("*.json"))]
    rows += [adapt(*choice) for choice in ADAPTERS]
    models.write("counts.json", models.stamp("transformers", "peft"), rows)


if __name__ == "__main__":
    main()
