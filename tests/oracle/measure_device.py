#!/usr/bin/env python3
"""Measures a CUDA device with PyTorch alone, for `shardsim calibrate`.

    tests/oracle/measure_device.py A100-SXM4-80GB > measured.json
    shardsim calibrate measured.json -o my-a100.yaml

The argument is the nearest of `shardsim list devices`. Takes about a minute. With --cpu it times tiny products on the
CPU instead: figures that mean nothing, in the form that a GPU's have (tests/calibration/data/on_cpu.json is such a file).
"""
import argparse
import json
import sys
import time

import torch

SHAPES = [(m, n, k) for m in (4096, 8192, 16384) for n, k in ((4096, 4096), (12288, 4096), (4096, 14336), (8192, 8192))]
PASS_ELEMENTS = [1 << 26, 1 << 27, 1 << 28]
SMALL_SHAPES = [(64, 64, 64), (128, 64, 64)]
SMALL_PASSES = [1 << 16, 1 << 17]


def once(work, where):
    """Seconds of one run, by the device's own clock where it has one."""
    if where == "cpu":
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def seconds_of(work, where):
    """Median over a second of repeated runs, so that clocks settle where sustained load leaves them."""
    least = 0.01 if where == "cpu" else 1.0
    for _ in range(3):
        once(work, where)
    times = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < least:
        times.append(once(work, where))
    return sorted(times)[len(times) // 2]


def launch_seconds(where):
    """Host time of one small operation of eager PyTorch: the device is never waited for."""
    small = torch.zeros(8, device=where)
    for _ in range(100):
        small.add_(1)
    if where == "cuda":
        torch.cuda.synchronize()
    count = 1000
    begin = time.perf_counter()
    for _ in range(count):
        small.add_(1)
    host = time.perf_counter() - begin
    if where == "cuda":
        torch.cuda.synchronize()
    return host / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", help="the nearest of `shardsim list devices`")
    parser.add_argument("--cpu", action="store_true", help="the form without the figures")
    options = parser.parse_args()
    where = "cpu" if options.cpu else "cuda"
    if where == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device")
    on_gpu = where == "cuda"
    dtype = torch.bfloat16 if not on_gpu or torch.cuda.is_bf16_supported() else torch.float16
    matmul = []
    for m, n, k in SHAPES if on_gpu else SMALL_SHAPES:
        a, b = torch.randn(m, k, device=where, dtype=dtype), torch.randn(k, n, device=where, dtype=dtype)
        matmul.append({"m": m, "n": n, "k": k, "seconds": seconds_of(lambda: a @ b, where)})
    elementwise = []
    for elements in PASS_ELEMENTS if on_gpu else SMALL_PASSES:
        a, b = torch.randn(elements, device=where, dtype=dtype), torch.empty(elements, device=where, dtype=dtype)
        elementwise.append({"bytes": 2 * elements * a.element_size(),
                            "seconds": seconds_of(lambda: torch.mul(a, 2, out=b), where)})
    name = torch.cuda.get_device_name() if on_gpu else "a CPU"
    measured = {"device": options.device,
                "source": f"tests/oracle/measure_device.py, {name}, torch {torch.__version__}",
                "launch_seconds": launch_seconds(where),
                "matmul": matmul,
                "elementwise": elementwise}
    if on_gpu:
        measured["memory_bytes"] = torch.cuda.mem_get_info()[1]
    json.dump(measured, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
