"""What one core takes for an update in host memory: data/cpu_optimizers.json. The core's own time, the best of four."""
import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["DS_SKIP_CUDA_CHECK"] = "1"

import re
import time

import torch
from deepspeed.ops.adam import DeepSpeedCPUAdam

import models

ELEMENTS = 100_000_000
OPTIMIZERS = {
    "DeepSpeedCPUAdam": DeepSpeedCPUAdam,
    "AdamW, fused": lambda p: torch.optim.AdamW(p, fused=True),
    "AdamW, for-loop": lambda p: torch.optim.AdamW(p, foreach=False),
    "AdamW, foreach": lambda p: torch.optim.AdamW(p, foreach=True),
}


def best(work):
    work()
    times = []
    for _ in range(4):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def main():
    torch.set_num_threads(1)
    parameter = torch.nn.Parameter(torch.randn(ELEMENTS))
    parameter.grad = torch.randn(ELEMENTS)
    half = torch.empty(ELEMENTS, dtype=torch.bfloat16)
    work = {name: make([parameter]).step for name, make in OPTIMIZERS.items()}
    work["unscale"] = lambda: parameter.grad.mul_(1.0)
    work["fp32 to bf16"] = lambda: half.copy_(parameter.data)
    rows = [{"work": name, "ns_per_parameter": round(best(run) / ELEMENTS * 1e9, 3)} for name, run in work.items()]
    cpu = dict(re.findall(r"^(cpu family|model|model name)\s*: (.*)$", open("/proc/cpuinfo").read(), re.M))
    models.write("cpu_optimizers.json", {**models.stamp("deepspeed"), "cpu": cpu}, rows)


if __name__ == "__main__":
    main()
