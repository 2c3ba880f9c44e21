#!/usr/bin/env python3
"""Measures a CUDA machine with PyTorch alone, for `shardsim calibrate`.

    tests/oracle/measure_device.py A100-SXM4-80GB > measured.json
    shardsim calibrate measured.json -o my-a100.yaml
    shardsim calibrate measured.json --topology dgx-a100 -o mine.dot

The argument is the nearest of `shardsim list devices`. The first GPU's kernels make the device file, copies of all GPUs
and, where there are several, their collectives over NCCL the machine file. Takes a minute or two. With --cpu it times
tiny products and copies on the CPU and two processes over gloo instead: figures that mean nothing, in the form that a
GPU's have (tests/calibration/data/on_cpu.json is such a file).
"""
import argparse
import json
import os
import sys
import tempfile
import time

import torch
import torch.distributed
import torch.multiprocessing

SHAPES = [(m, n, k) for m in (4096, 8192, 16384) for n, k in ((4096, 4096), (12288, 4096), (4096, 14336), (8192, 8192))]
PASS_ELEMENTS = [1 << 26, 1 << 27, 1 << 28]
SMALL_SHAPES = [(64, 64, 64), (128, 64, 64)]
SMALL_PASSES = [1 << 16, 1 << 17]
COPIES = [1 << 12, 1 << 16, 1 << 28]
SMALL_COPIES = [1 << 12, 1 << 16, 1 << 22]
COLLECTIVES = [1 << power for power in range(12, 33, 2)]
SMALL_COLLECTIVES = [1 << 12, 1 << 24]


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


def copies(where, gpus):
    """Pinned copies to and from each GPU, and from each to the next, one at a time."""
    found = []

    def add(source, target, begin, end, size):
        found.append({"from": begin, "to": end, "bytes": size,
                      "seconds": seconds_of(lambda: target.copy_(source, non_blocking=True), where)})

    for size in COPIES if where == "cuda" else SMALL_COPIES:
        host = torch.empty(size, dtype=torch.uint8, pin_memory=where == "cuda")
        for gpu in range(gpus):
            if where == "cuda":
                torch.cuda.set_device(gpu)
            device = torch.empty(size, dtype=torch.uint8, device=where)
            add(host, device, "host", gpu, size)
            add(device, host, gpu, "host", size)
            if where == "cuda" and gpus > 1:
                other = (gpu + 1) % gpus
                add(device, torch.empty(size, dtype=torch.uint8, device=f"cuda:{other}"), gpu, other, size)
    if where == "cuda":
        torch.cuda.set_device(0)
    return found


def collective(name, size, ranks, where):
    """What runs it once; `size` is that of the whole buffer."""
    whole = torch.zeros(size, dtype=torch.uint8, device=where).view(torch.float32)
    part = torch.zeros(size // ranks, dtype=torch.uint8, device=where).view(torch.float32)
    if name == "all_reduce":
        return lambda: torch.distributed.all_reduce(whole)
    if name == "all_gather":
        return lambda: torch.distributed.all_gather_into_tensor(whole, part)
    return lambda: torch.distributed.reduce_scatter_tensor(part, whole)


def time_collectives(rank, ranks, where, store, output):
    """One process: the mean of 20 after 5, as nccl-tests times them; the first writes them down."""
    if where == "cuda":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl" if where == "cuda" else "gloo", init_method=f"file://{store}",
                                         rank=rank, world_size=ranks)

    def finish():
        if where == "cuda":
            torch.cuda.synchronize()
        torch.distributed.barrier()

    found = []
    for name in ("all_reduce", "all_gather", "reduce_scatter"):
        for size in COLLECTIVES if where == "cuda" else SMALL_COLLECTIVES:
            run = collective(name, size // (4 * ranks) * 4 * ranks, ranks, where)
            for _ in range(5):
                run()
            finish()
            begin = time.perf_counter()
            for _ in range(20):
                run()
            if where == "cuda":
                torch.cuda.synchronize()
            found.append({"collective": name, "ranks": ranks, "nodes": 1, "bytes": size // (4 * ranks) * 4 * ranks,
                          "seconds": (time.perf_counter() - begin) / 20})
            finish()
    if rank == 0:
        with open(output, "w", encoding="utf-8") as file:
            json.dump(found, file)
    torch.distributed.destroy_process_group()


def collectives(where, ranks):
    if ranks < 2:
        return []
    with tempfile.TemporaryDirectory() as folder:
        store, output = os.path.join(folder, "store"), os.path.join(folder, "found.json")
        torch.multiprocessing.spawn(time_collectives, (ranks, where, store, output), nprocs=ranks)
        with open(output, encoding="utf-8") as file:
            return json.load(file)


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
    gpus = torch.cuda.device_count() if on_gpu else 1
    measured["copies"] = copies(where, gpus)
    measured["collectives"] = collectives(where, gpus if on_gpu else 2)
    if on_gpu:
        measured["memory_bytes"] = torch.cuda.mem_get_info()[1]
    json.dump(measured, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
