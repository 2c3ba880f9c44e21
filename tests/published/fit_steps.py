#!/usr/bin/env python3
"""Fits the device figures that no benchmark of kernels gives to measured steps.

    tests/published/fit_steps.py build/release/shardsim

Simulates the runs of measured.csv with each figure as it stands in topologies/devices and with each moved by a tenth, and
solves for the figures that make the errors of log(time) smallest (least squares, outliers beyond 8 % weighed down, rows of
high trust at full weight, medium at a half, low left out). Prints what to write into the device files; changes nothing.
Needs numpy.
"""
import csv
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What is fitted: a figure, and the device files that share it (others inherit it through `like`).
FITTED = [
    ("matmul_efficiency", ["A100-SXM4-80GB"]),
    ("matmul_efficiency", ["H100-SXM5-80GB"]),
    ("matmul_efficiency", ["H100-SXM5-96GB-HBM2e"]),
    ("memory_efficiency", ["A100-SXM4-80GB"]),
    ("memory_efficiency", ["H100-SXM5-80GB"]),
    ("collective_slowdown", ["A100-SXM4-80GB", "H100-SXM5-80GB"]),
    ("kernel_launch", ["A100-SXM4-80GB", "H100-SXM5-80GB"]),
]
TRUST = {"high": 1.0, "medium": 0.5, "low": 0.0}
OUTLIER = 0.08


def figure(text, key):
    match = re.search(rf"^{key}: \{{value: ([0-9.]+)", text, re.M)
    return match and float(match.group(1))


def move(folder, key, devices, factor):
    for device in devices:
        path = folder / f"topologies/devices/{device}.yaml"
        text = path.read_text()
        value = figure(text, key)
        if value is None:
            sys.exit(f"{device} has no {key} of its own")
        path.write_text(re.sub(rf"^({key}: \{{value: )[0-9.]+", rf"\g<1>{value * factor:.6g}", text, flags=re.M))


def time_errors(program, folder):
    """log(predicted / measured time) by run."""
    output = folder / "validation.json"
    command = [program, "validate", "--format", "json", "-q", "-o", str(output)]
    subprocess.run(command, env={**os.environ, "SHARDSIM_DATA": str(folder)}, check=True)
    errors = {}
    for row in json.loads(output.read_text())["rows"]:
        if row["quantity"] == "step_time_s":
            errors[row["id"]] = math.log(row["predicted"] / row["measured"])
        elif row["quantity"] == "tokens_per_s_per_gpu":
            errors[row["id"]] = math.log(row["measured"] / row["predicted"])
    return errors


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with open(ROOT / "tests/published/measured.csv", newline="") as file:
        trust = {row["id"]: TRUST[row["trust"]] for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part in ("model", "tests"):
            os.symlink(ROOT / part, folder / part)

        def fresh():
            shutil.rmtree(folder / "topologies", ignore_errors=True)
            shutil.copytree(ROOT / "topologies", folder / "topologies")

        fresh()
        now = time_errors(program, folder)
        runs = sorted(run for run in now if trust[run] > 0)
        residual = numpy.array([now[run] for run in runs])
        columns = []
        for key, devices in FITTED:
            fresh()
            move(folder, key, devices, 1.1)
            moved = time_errors(program, folder)
            columns.append([(moved[run] - now[run]) / math.log(1.1) for run in runs])
    jacobian = numpy.array(columns).T
    weight = numpy.array([trust[run] for run in runs])
    step = numpy.zeros(len(FITTED))
    for _ in range(50):
        left = residual + jacobian @ step
        soft = weight * numpy.minimum(1, OUTLIER / numpy.maximum(abs(left), 1e-9))
        # A figure that the runs hardly know stays where it is: a prior of 30 % around it.
        normal = jacobian.T @ (jacobian * soft[:, None]) / OUTLIER**2 + numpy.eye(len(FITTED)) / 0.3**2
        step = numpy.linalg.solve(normal, -jacobian.T @ (residual * soft) / OUTLIER**2)
    for (key, devices), change in zip(FITTED, step):
        value = figure((ROOT / f"topologies/devices/{devices[0]}.yaml").read_text(), key)
        print(f"{key:<20} {', '.join(devices):<40} {value:.4g} -> {value * math.exp(change):.4g}")
    for title, left in (("before", residual), ("after", residual + jacobian @ step)):
        errors = abs(numpy.expm1(left))
        print(f"{title}: median {numpy.median(errors):.1%}, 90 % below {numpy.quantile(errors, 0.9):.1%}, "
              f"bias {numpy.mean(numpy.expm1(left)):+.1%}")


if __name__ == "__main__":
    main()
