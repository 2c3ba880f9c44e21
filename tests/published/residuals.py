#!/usr/bin/env python3
"""Between which factors on a prediction eight in ten measured runs lie, by kind of run: the table of sim/report/range.cpp.

    tests/published/residuals.py build/release/shardsim
"""
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def kind_of(run):
    family = "zero" if run["strategy"].startswith("zero") else "fsdp" if run["strategy"].startswith("fsdp") else "single"
    what = "full" if run["peft"] in ("", "none") else "adapters"
    nodes = "nodes" if run["topology"].count("x") > 1 and run["topology"].split("x")[1].isdigit() else "node"
    return family, what, nodes


def quantile(sorted_values, part):
    place = part * (len(sorted_values) - 1)
    below = int(place)
    above = min(below + 1, len(sorted_values) - 1)
    return sorted_values[below] + (place - below) * (sorted_values[above] - sorted_values[below])


def main():
    with open(HERE / "measured.csv", newline="") as file:
        runs = {row["id"]: row for row in csv.DictReader(file)}
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        subprocess.run([sys.argv[1], "validate", str(HERE / "measured.csv"), "--format", "json", "-q", "-o", output.name],
                       check=True)
        rows = json.load(open(output.name))["rows"]
    found = {}
    for row in rows:
        family, what, nodes = kind_of(runs[row["id"]])
        ratio = row["measured"] / row["predicted"] if row["predicted"] else 0
        if row["quantity"] == "tokens_per_s_per_gpu":
            found.setdefault(("time", family, what, nodes), []).append(1 / ratio)
        elif row["quantity"] == "step_time_s":
            found.setdefault(("time", family, what, nodes), []).append(ratio)
        elif row["quantity"] in ("allocated_bytes", "reserved_bytes", "used_bytes"):
            found.setdefault(("memory", family, what, ""), []).append(ratio)
    for key, ratios in sorted(found.items()):
        ratios.sort()
        print(f"{' '.join(key):<28} {len(ratios):>4} values  {quantile(ratios, 0.1):.2f} to {quantile(ratios, 0.9):.2f}")


if __name__ == "__main__":
    main()
