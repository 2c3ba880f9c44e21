#!/usr/bin/env python3
"""Draws predicted against measured throughput where the shape of a curve matters, as SVG beside this file.

    tests/published/plot_scaling.py build/release/shardsim

gpus.svg: tokens/s a GPU over the number of GPUs; sequence.svg: over the sequence length; strategies.svg: ZeRO-2 and ZeRO-3,
over NVLink and over PCIe, with offload and without.
"""
import csv
import html
import json
import math
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
COLORS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 860, 460, 70, 50, 30, 250


def throughputs(program):
    """Runs of measured.csv with (predicted, measured) tokens a second a GPU."""
    with open(HERE / "measured.csv", newline="") as file:
        runs = {row["id"]: row for row in csv.DictReader(file)}
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        subprocess.run([program, "validate", str(HERE / "measured.csv"), "--format", "json", "-q", "-o", output.name], check=True)
        rows = json.load(open(output.name))["rows"]
    found = []
    for row in rows:
        run = runs[row["id"]]
        counts = [int(part) for part in run["topology"].split("x")[:-1] if part.isdigit()]
        run = dict(run, gpus=math.prod(counts), name=pathlib.Path(run["model"]).stem)
        if row["quantity"] == "tokens_per_s_per_gpu":
            found.append((run, row["predicted"], row["measured"]))
        elif row["quantity"] == "step_time_s":
            tokens = int(run["seq-len"]) * int(run["micro-batch"]) * int(run["grad-accum"] or 1)
            found.append((run, tokens / row["predicted"], tokens / row["measured"]))
    return found


def ticks(low, high):
    return [base * 10**power for power in range(-2, 8) for base in (1, 2, 5) if low <= base * 10**power <= high]


def chart(path, title, x_title, series):
    """`series`: {name: [(x, predicted, measured)]}; both axes are logarithmic, the line is the prediction."""
    points = [point for line in series.values() for point in line]
    low_x, high_x = min(p[0] for p in points) / 1.2, max(p[0] for p in points) * 1.2
    low_y, high_y = min(min(p[1:]) for p in points) / 1.3, max(max(p[1:]) for p in points) * 1.3

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / low_x) / math.log(high_x / low_x)

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * math.log(value / low_y) / math.log(high_y / low_y)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="{LEFT}" y="18" font-size="14">{html.escape(title)}</text>']
    for value in ticks(low_y, high_y):
        out.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
    for value in sorted({p[0] for p in points}):
        out.append(f'<path d="M{x(value):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>'
                   f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{html.escape(x_title)}; '
               'line: predicted, dot: measured</text>')
    for number, (name, line) in enumerate(sorted(series.items())):
        color = COLORS[number % len(COLORS)]
        line = sorted(line)
        path_data = "M" + " L".join(f"{x(p[0]):.1f} {y(p[1]):.1f}" for p in line)
        out.append(f'<path d="{path_data}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        out += [f'<circle cx="{x(p[0]):.1f}" cy="{y(p[2]):.1f}" r="3.5" fill="{color}"/>' for p in line]
        top = TOP + 18 * number + 8
        out.append(f'<circle cx="{WIDTH - RIGHT + 16}" cy="{top}" r="4" fill="{color}"/>'
                   f'<text x="{WIDTH - RIGHT + 26}" y="{top + 4}">{html.escape(name)}</text>')
    path.write_text("\n".join(out + ["</svg>"]) + "\n")


def grouped(found, belongs, name, x):
    """Series of at least two different x."""
    series = {}
    for run, predicted, measured in found:
        if belongs(run):
            series.setdefault(name(run), []).append((x(run), predicted, measured))
    return {key: line for key, line in series.items() if len({p[0] for p in line}) > 1}


def main():
    found = throughputs(str(pathlib.Path(sys.argv[1]).resolve()))
    of_foundry = [entry for entry in found if entry[0]["id"].startswith("llmf")]
    chart(HERE / "gpus.svg", "tokens/s a GPU over GPUs, FSDP, sequences of 2048 (llm-foundry)", "GPUs",
          grouped(of_foundry, lambda run: run["seq-len"] == "2048" and run["precision"] == "bf16-mixed" and
                  ("H100" in run["gpu"] or "40GB" in run["gpu"]) and any(s in run["name"] for s in ("-1b", "-3b", "-13b", "-70b")),
                  lambda run: f"{run['name'].split('-s')[0]}, {run['gpu'].split('-')[0]}", lambda run: run["gpus"]))
    chart(HERE / "sequence.svg", "tokens/s a GPU over the sequence length, 8 GPUs, FSDP (llm-foundry)", "tokens a sequence",
          grouped(of_foundry, lambda run: run["gpus"] == 8 and run["precision"] == "bf16-mixed" and
                  ("H100" in run["gpu"] or "A100-SXM4-80GB" in run["gpu"]) and any(s in run["name"] for s in ("-1b", "-3b", "-7b", "-13b")),
                  lambda run: f"{run['name'].split('-s')[0]}, {run['gpu'].split('-')[0]}", lambda run: int(run["seq-len"])))
    chosen = [entry for entry in found if entry[0]["id"].startswith(("gist", "T12"))]
    order = {"zero1": 1, "zero2": 2, "zero3": 3, "zero2-offload-optimizer": 4, "zero3-offload-optimizer": 5}
    chart(HERE / "strategies.svg", "tokens/s a GPU: 1 ZeRO-1, 2 ZeRO-2, 3 ZeRO-3, 4 and 5 with the optimizer on the CPU", "strategy",
          grouped(chosen, lambda run: run["strategy"] in order,
                  lambda run: f"{run['name']}, {run['topology'].split('-')[0]}, {'PCIe' if 'TITAN' in run['gpu'] else 'NVLink'}"
                  f"{', checkpointed' if run['checkpointing'] == 'full' else ''}", lambda run: order[run["strategy"]]))


if __name__ == "__main__":
    main()
