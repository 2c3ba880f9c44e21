"""What each optimizer keeps for a tensor: data/optimizers.json. One step on the CPU; scalars are left out."""
import bitsandbytes as bnb
import torch
from transformers.optimization import Adafactor

import models

SHAPES = [(64,), (4095,), (4096,), (5000,), (100000,), (63, 65), (64, 64), (1000, 300), (1024, 2752)]
OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, fused=True),
    "adamw-8bit": bnb.optim.AdamW8bit,
    "paged-adamw": bnb.optim.PagedAdamW,
    "paged-adamw-8bit": bnb.optim.PagedAdamW8bit,
    "adafactor": lambda p: Adafactor(p, lr=1e-3, scale_parameter=False, relative_step=False),
    "lion": bnb.optim.Lion,
    "lion-8bit": bnb.optim.Lion8bit,
    "muon": torch.optim.Muon,
    "sgd": torch.optim.SGD,
    "sgd-momentum": lambda p: torch.optim.SGD(p, momentum=0.9),
}


def state(name, dtype, shape):
    parameter = torch.nn.Parameter(torch.zeros(shape, dtype=dtype))
    parameter.grad = torch.ones_like(parameter)
    optimizer = OPTIMIZERS[name]([parameter])
    try:
        optimizer.step()
    except Exception as refusal:  # pages need a GPU
        print(name, shape, str(refusal)[:80])
        return None
    tensors = {k: v for k, v in optimizer.state[parameter].items() if torch.is_tensor(v) and "qmap" not in k}
    return sum(v.numel() * v.element_size() for v in tensors.values() if v.dim() > 0)


def main():
    rows = []
    for name in OPTIMIZERS:
        for precision, dtype in models.TYPES.items():
            for shape in SHAPES:
                if name == "muon" and len(shape) != 2:
                    continue
                nbytes = state(name, dtype, shape)
                if nbytes is not None:
                    rows.append({"optimizer": name, "type": precision, "shape": shape, "bytes": nbytes})
    models.write("optimizers.json", models.stamp("transformers", "bitsandbytes"), rows)


if __name__ == "__main__":
    main()
