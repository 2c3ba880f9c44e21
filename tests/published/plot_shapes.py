#!/usr/bin/env python3
"""Draws how predicted throughput scales, beside what others have published: tests/published/shapes/*.svg.

    tests/published/plot_shapes.py [build/release/shardsim]

Lines are predictions, dots the rows of measured.csv that ran the same. Python's own library is enough.
"""
import csv
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(HERE.parent.parent / "build/release/shardsim")
NOT_OPTIONS = {"id", "source", "trust", "notes"}
COLORS = ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#555555"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 80, 230, 40, 50


def measured_rows():
    with open(HERE / "measured.csv", newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


ROWS = measured_rows()


def options_of(row, **changes):
    options = {k: v for k, v in row.items() if v and k not in NOT_OPTIONS and not k.startswith("measured_")}
    options.update(changes)
    if options.get("model", "").startswith("models/"):
        options["model"] = str(HERE / options["model"])
    return options


def throughput(options):
    """Predicted tokens/s a GPU; none where it does not fit or is refused."""
    words = [PROGRAM, "simulate", "--format", "json", "-q"]
    for key, value in options.items():
        words += ["--" + key, str(value)]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        print(run.stderr.strip(), file=sys.stderr)
        return None
    report = json.loads(run.stdout)
    return report["step"]["tokens_per_s_per_gpu"] if report["fits"] else None


def gpus_of(topology):
    sizes = [int(part) for part in topology.split("x")[:-1]]
    total = 1
    for size in sizes:
        total *= size
    return total


class Chart:
    """Logarithmic in x, linear in y from 0."""

    def __init__(self, title, x_label):
        self.title, self.x_label, self.series = title, x_label, []

    def add(self, name, line, dots=()):
        self.series.append((name, [(x, y) for x, y in line if y], [(x, y) for x, y in dots if y]))

    def write(self, name):
        from math import log2
        points = [p for _, line, dots in self.series for p in line + dots]
        x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
        y_high = max(y for _, y in points) * 1.08
        span = max(log2(x_high) - log2(x_low), 1e-9)

        def place(x, y):
            return (LEFT + (log2(x) - log2(x_low)) / span * (WIDTH - LEFT - RIGHT),
                    HEIGHT - BOTTOM - y / y_high * (HEIGHT - TOP - BOTTOM))

        out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
               f'font-size="12"><rect width="100%" height="100%" fill="white"/>',
               f'<text x="10" y="22">{self.title}</text>']
        x = x_low
        while x <= x_high * 1.001:
            at, _ = place(x, 0)
            label = f"{x // 1024}k" if x >= 1024 and x % 1024 == 0 else f"{x}"
            out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{label}</text>'
                       f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eee"/>')
            x *= 2
        for i in range(5):
            value = y_high * i / 4
            _, at = place(x_low, value)
            out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
                       f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{self.x_label}</text>')
        for i, (name_of_series, line, dots) in enumerate(self.series):
            color = COLORS[i % len(COLORS)]
            path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)
            out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
            for x, y in dots:
                cx, cy = place(x, y)
                out.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="{color}"/>')
            y = TOP + 18 * i + 10
            out.append(f'<line x1="{WIDTH - RIGHT + 12}" x2="{WIDTH - RIGHT + 32}" y1="{y}" y2="{y}" stroke="{color}" '
                       f'stroke-width="2"/><text x="{WIDTH - RIGHT + 38}" y="{y + 4}">{name_of_series}</text>')
        out.append("</svg>")
        (HERE / "shapes").mkdir(exist_ok=True)
        (HERE / "shapes" / name).write_text("\n".join(out) + "\n", encoding="utf-8")


def speed(row):
    value = row["measured_tokens_per_s_per_gpu"]
    return float(value) if value else None


def same_but(rows, column, **wanted):
    """Rows that have the values of `wanted`, by `column`."""
    return [row for row in rows.values() if all(row[k.replace("_", "-")] == v for k, v in wanted.items())
            and speed(row) and row[column]]


def over_gpus():
    chart = Chart("Tokens/s a GPU over GPUs (FSDP, sequences of 2048), of the smallest machine's: lines predicted, "
                  "dots published", "GPUs")
    for label, model, gpu, checkpointing in (("MPT-125M, A100-40GB", "mpt-125m-s2048", "A100-SXM4-40GB", "none"),
                                             ("MPT-350M, A100-40GB", "mpt-350m-s2048", "A100-SXM4-40GB", "none"),
                                             ("MPT-7B, A100-40GB", "mpt-7b-s2048", "A100-SXM4-40GB", "full"),
                                             ("MPT-30B, H100", "mpt-30b-s2048", "H100-SXM5-80GB", "full")):
        rows = [r for r in same_but(ROWS, "topology", model=f"models/{model}.json", gpu=gpu, checkpointing=checkpointing)
                if r["precision"] == "bf16-mixed" and r["strategy"] == "fsdp1"]
        rows.sort(key=lambda r: gpus_of(r["topology"]))
        base = rows[0]
        line = []
        for nodes in (1, 2, 4, 8, 16, 32, 64):
            changes = {"topology": f"{nodes}x8x{gpu}" if nodes > 1 else f"8x{gpu}", "micro-batch": rows[-1]["micro-batch"]}
            line.append((8 * nodes, throughput(options_of(base, **changes))))
        line = [(x, y) for x, y in line if y]
        first = next((r for r in rows if any(x == gpus_of(r["topology"]) for x, _ in line)), rows[0])
        start = dict(line).get(gpus_of(first["topology"]), line[0][1])
        chart.add(label, [(x, 100 * y / start) for x, y in line],
                  [(gpus_of(r["topology"]), 100 * speed(r) / speed(first)) for r in rows])
    chart.write("throughput-over-gpus.svg")


def over_sequence():
    chart = Chart("Tokens/s a GPU over the sequence (FSDP, 8 GPUs): lines predicted, dots published",
                  "tokens in a sequence")
    groups = {}
    for row in ROWS.values():
        name = row["model"].removeprefix("models/").split("-s")[0]
        if row["source"].startswith("mosaicml") and gpus_of(row["topology"]) == 8 and speed(row):
            groups.setdefault((name, row["gpu"], row["precision"], row["checkpointing"]), []).append(row)
    largest = sorted(groups.items(), key=lambda g: -len({r["seq-len"] for r in g[1]}))[:5]
    for (name, gpu, precision, checkpointing), rows in largest:
        rows.sort(key=lambda r: int(r["seq-len"]))
        best = {}
        for row in rows:
            length = int(row["seq-len"])
            if length not in best or speed(row) > speed(best[length]):
                best[length] = row
        line = [(length, throughput(options_of(row))) for length, row in sorted(best.items())]
        chart.add(f"{name}, {gpu.split('-')[0]}{', fp8' if precision == 'fp8-mixed' else ''}"
                  f"{', AC' if checkpointing == 'full' else ''}", line,
                  [(length, speed(row)) for length, row in sorted(best.items())])
    chart.write("throughput-over-sequence.svg")


def zero_stages():
    chart = Chart("ZeRO-2 and ZeRO-3, Llama 2 7B, 8 GPUs, tokens/s a GPU over tokens a GPU and micro-step",
                  "tokens of a micro-step")
    for label, gpu, strategy in (("ZeRO-2, A800 (NVLink)", "A800-SXM4-80GB", "zero2"),
                                 ("ZeRO-3, A800 (NVLink)", "A800-SXM4-80GB", "zero3"),
                                 ("ZeRO-2, A100 PCIe", "A100-PCIE-80GB", "zero2"),
                                 ("ZeRO-3, A100 PCIe", "A100-PCIE-80GB", "zero3")):
        line = []
        for batch in (1, 2, 4, 8):
            line.append((4096 * batch, throughput({"topology": f"8x{gpu}", "model": "llama-2-7b", "strategy": strategy,
                                                   "seq-len": 4096, "micro-batch": batch, "checkpointing": "full"})))
        dots = [(4096 * int(r["micro-batch"]), speed(r)) for r in ROWS.values()
                if r["id"].startswith("gist") and r["gpu"] == gpu and r["strategy"] == strategy
                and r["checkpointing"] == "full"]
        chart.add(label, line, dots)
    chart.write("zero2-against-zero3.svg")


def offload():
    chart = Chart("Offload against none, Llama 2 7B, 8 A800, tokens/s a GPU over tokens of a step",
                  "tokens a GPU between optimizer steps")
    for label, strategy in (("ZeRO-2", "zero2"), ("ZeRO-2, optimizer offloaded", "zero2-offload-optimizer"),
                            ("ZeRO-3", "zero3"), ("ZeRO-3, optimizer offloaded", "zero3-offload-optimizer"),
                            ("ZeRO-3, all offloaded", "zero3-offload")):
        line = []
        for accumulation in (1, 2, 4, 8, 16):
            line.append((4096 * accumulation,
                         throughput({"topology": "8xA800-SXM4-80GB", "model": "llama-2-7b", "strategy": strategy,
                                     "seq-len": 4096, "grad-accum": accumulation, "checkpointing": "full"})))
        dots = [(4096 * int(r["micro-batch"]) * int(r["grad-accum"] or 1), speed(r)) for r in ROWS.values()
                if r["id"].startswith("gist") and r["strategy"] == strategy and r["checkpointing"] == "full"]
        chart.add(label, line, dots)
    chart.write("offload-against-none.svg")


if __name__ == "__main__":
    over_gpus()
    over_sequence()
    zero_stages()
    offload()
