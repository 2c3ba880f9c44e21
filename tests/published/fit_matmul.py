#!/usr/bin/env python3
"""How well the tile model of sim/cost/kernel_time.cpp explains measured matrix products, and with which constants.

Reads matmul.csv beside it: fraction of the peak by shape. For each device and layout it prints the plateau that fits best
(matmul_efficiency of a device file) for several prologues, and the errors that remain.
"""
import csv
import math
import pathlib
import statistics

MULTIPROCESSORS = {"A100-PCIE-80GB": 108, "B200-SXM-180GB": 148}
TILES = ((256, 128, 1), (128, 256, 1), (128, 128, 0.95), (64, 128, 0.85), (128, 64, 0.85), (64, 64, 0.7))


def tile_efficiency(m, n, k, batch, processors, prologue):
    best = 0
    for tile_m, tile_n, speed in TILES:
        count = math.ceil(m / tile_m) * math.ceil(n / tile_n) * batch
        waves = math.ceil(count / processors)
        best = max(best, speed * m * n * batch / (waves * processors * tile_m * tile_n))
    return best * k / (k + prologue)


def main():
    shapes = {}
    with open(pathlib.Path(__file__).parent / "matmul.csv", newline="") as file:
        for row in csv.DictReader(file):
            shape = [int(row[key]) for key in ("m", "n", "k", "batch")]
            shapes.setdefault((row["device"], row["layout"]), []).append((shape, float(row["fraction_of_peak"])))
    print(f"{'device':<16} layout shapes prologue plateau  median |error|  90 % below")
    for (device, layout), measured in sorted(shapes.items()):
        for prologue in (0, 64, 128, 256):
            ratios = [f / tile_efficiency(*shape, MULTIPROCESSORS[device], prologue) for shape, f in measured]
            plateau = statistics.median(ratios)
            errors = sorted(abs(plateau / ratio - 1) for ratio in ratios)
            print(f"{device:<16} {layout:<6} {len(measured):>6} {prologue:>8} {plateau:>7.3f} {errors[len(errors) // 2]:>15.1%}"
                  f" {errors[int(0.9 * len(errors))]:>11.1%}")


if __name__ == "__main__":
    main()
