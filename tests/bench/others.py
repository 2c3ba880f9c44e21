#!/usr/bin/env python3
"""Other programs that estimate a training step, asked the same question on the same machine, and how long each takes.

    tests/bench/others.py FOLDER [--program build/release/shardsim]

The question: Llama 2 7B, data parallel on eight A100 of 80 GB with ZeRO-3 (or the nearest that the program knows), full
recomputation, micro-batch 1 of 4096 tokens. FOLDER has clones of github.com/cli99/llm-analysis, calculon-ai/calculon and
MooreThreads/SimuMax; the python that runs this has what they import (pandas sympy tabulate matplotlib graphviz tqdm
psutil) and what tests/oracle/setup.sh installs (DeepSpeed). Prints the Markdown table that README.md shows: processor time
of one answer in a process of its own, with its start; answers a second of processor time in one process (micro-batch and
length vary); and the answer. accelerate estimate-memory is left out: it asks the Hugging
Face hub, and knows neither a strategy nor a batch.
"""
import argparse
import contextlib
import datetime
import io
import json
import logging
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

here = pathlib.Path(__file__).resolve()
source = here.parents[2]
GIB = 2.0**30


def llm_analysis(folder):
    sys.path.insert(0, f"{folder}/llm-analysis")
    from llm_analysis.analysis import train

    def ask(micro_batch, length):
        said = train(
            model_name="NousResearch_Llama-2-7b-hf", gpu_name="a100-sxm-80gb", batch_size_per_gpu=micro_batch,
            gradient_accumulation_steps=1, seq_len=length, total_num_tokens=1e9, activation_recomputation=4, ds_zero=3,
            dp_size=8, flops_efficiency=0.5, log_level="ERROR")
        used = said["weight_memory_per_gpu"] + said["optimizer_state_memory_per_gpu"] + said["gradient_memory_per_gpu"]
        return (used + said["activation_memory_per_gpu"]) / GIB, said["latency_per_iter"]

    return ask


def calculon(folder):
    sys.path.insert(0, f"{folder}/calculon")
    from calculon import System
    from calculon.llm import Llm
    system = json.load(open(f"{folder}/calculon/systems/a100_80g.json"))
    shape = {"hidden": 4096, "feedforward": 11008, "attn_heads": 32, "attn_size": 128, "num_blocks": 32}
    run = {
        "num_procs": 8, "tensor_par": 1, "pipeline_par": 1, "data_par": 8, "tensor_par_net": 0, "pipeline_par_net": 0,
        "data_par_net": 0, "datatype": "float16", "fused_activation": True, "attention_type": "multihead",
        "activation_recompute": "full", "pipeline_interleaving": 1, "optimizer_sharding": True,
        "tensor_par_comm_type": "ar", "tensor_par_overlap": "none", "seq_par_ag_redo": False, "data_par_overlap": False,
        "weight_offload": False, "activations_offload": False, "optimizer_offload": False, "training": True}

    def ask(micro_batch, length):
        model = Llm(Llm.Application({**shape, "seq_size": length}), logging.getLogger())
        machine = System(system)
        model.compile(machine, Llm.Execution.from_json(
            {**run, "batch_size": 8 * micro_batch, "microbatch_size": micro_batch}))
        model.run(machine)
        return model.get_mem_tier1_cap_req() / GIB, model.get_total_time()

    return ask


def simumax(folder):
    sys.path.insert(0, f"{folder}/SimuMax")
    os.chdir(tempfile.mkdtemp())
    from simumax.core.config import ModelConfig, StrategyConfig, SystemConfig
    from simumax.core.perf_llm import PerfLLM
    configs = f"{folder}/SimuMax/configs"

    def ask(micro_batch, length):
        strategy = json.load(open(f"{configs}/strategy/tp1_pp1_dp8_mbs1.json"))
        strategy.update(seq_len=length, micro_batch_size=micro_batch, micro_batch_num=1, recompute_granularity="full_block",
                        recompute_layer_num=32)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(strategy, file)
            file.flush()
            plan = StrategyConfig.init_from_config_file(file.name)
        model = PerfLLM()
        model.configure(strategy_config=plan,
                        model_config=ModelConfig.init_from_config_file(f"{configs}/models/llama2-7b.json"),
                        system_config=SystemConfig.init_from_config_file(f"{configs}/system/a100_pcie.json"))
        model.run_estimate()
        memory = model.analysis_mem().data["peak_mem"]  # "48.8622 GB", which are GiB
        times = model.analysis_cost().data["breakdown_result"].values()
        return float(memory.split()[0]), sum(seconds(text) for text in times)

    return ask


def seconds(text):
    value, unit = text.split()
    return float(value) * {"s": 1, "ms": 1e-3, "us": 1e-6}[unit]


def deepspeed(_):
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs

    def ask(micro_batch, length):
        gpu = estimate_zero3_model_states_mem_needs(6738415616, 131072000, num_gpus_per_node=8, cpu_offload=False)[1]
        return gpu / GIB, None

    return ask


def version(folder, tool):
    if tool == "DeepSpeed":
        import deepspeed as library
        return library.__version__
    return subprocess.run(["git", "-C", f"{folder}/{tool}", "log", "-1", "--format=%h, %cs"], capture_output=True,
                          text=True, check=True).stdout.strip()


tools = {
    "llm-analysis": (llm_analysis, "ZeRO-3; closed form, efficiency (0.5) is the user's guess"),
    "calculon": (calculon, "ZeRO-1, it knows no other; closed form, no language-model head"),
    "SimuMax": (simumax, "ZeRO-1, on A100 PCIe, the A100 that it ships; operator by operator"),
    "DeepSpeed": (deepspeed, "`estimate_zero3_model_states_mem_needs`: states alone, no time"),
}


def quietly(call):
    with contextlib.redirect_stdout(io.StringIO()):
        return call()


def processor_time(command):
    """Seconds, the median of five: what else the machine does counts little."""
    times = []
    for _ in range(5):
        begin = os.times()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        end = os.times()
        times.append(end.children_user + end.children_system - begin.children_user - begin.children_system)
    return statistics.median(times)


def rate(ask):
    """Answers a second of processor time, each to another question."""
    done, begin = 0, time.process_time()
    while time.process_time() < begin + 3:
        ask(1 + done % 8, 1024 + 256 * (done // 8 % 13))
        done += 1
    return done / (time.process_time() - begin)


def one(tool, folder, what):
    ask = quietly(lambda: tools[tool][0](folder))
    if what == "rate":
        print(json.dumps(quietly(lambda: rate(ask))))
    else:
        print(json.dumps([quietly(lambda: ask(1, 4096)), version(folder, tool)]))


def asked(tool, folder, what):
    said = subprocess.run([sys.executable, here, folder, "--one", tool, what], capture_output=True, text=True, check=True)
    return json.loads(said.stdout.splitlines()[-1])


def shardsim(program):
    question = [program, "--topology", "8xA100", "--strategy", "zero3", "--checkpointing", "full", "--format", "json", "-q"]
    report = json.loads(subprocess.run(question, capture_output=True, text=True, check=True).stdout)
    answer = report["devices"][0]["peak_allocated_bytes"] / GIB, report["step"]["time_s"]
    with tempfile.TemporaryDirectory() as scratch:
        spec = pathlib.Path(scratch) / "spec.yaml"
        spec.write_text("base: {topology: 8xA100, strategy: zero3, checkpointing: full}\naxes:\n"
                        "  micro-batch: {from: 1, to: 8}\n  seq-len: {from: 1024, to: 4096, step: 256}\n")
        points = 8 * 13 / processor_time(["sh", "-c", f"rm -rf {scratch}/out*; exec {program} sweep {spec} -q --threads 1 "
                                                      f"-o {scratch}/out.jsonl"])
    of = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return answer, of, processor_time(question), points


def row(name, of, alone, many, answer, says):
    memory, step = answer
    step = "none" if step is None else f"{step:.2f} s"
    print(f"| {name} {of} | {1000 * alone:.0f} ms | {many:.0f} | {memory:.1f} GiB | {step} | {says} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--program", default=source / "build/release/shardsim")
    parser.add_argument("--one", nargs=2, metavar=("TOOL", "WHAT"))
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    if arguments.one:
        return one(arguments.one[0], folder, arguments.one[1])
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"{datetime.date.today()}, {cpu}, Python {sys.version.split()[0]}\n")
    print("| program | one answer, with its start | answers a second and core | memory a GPU | step | what it is |")
    print("| :--- | ---: | ---: | ---: | ---: | :--- |")
    answer, of, alone, many = shardsim(arguments.program)
    row("shardsim", of, alone, many, answer, "ZeRO-3; every tensor, kernel and transfer as an event")
    for tool, (_, says) in tools.items():
        answer, of = asked(tool, folder, "answer")
        alone = processor_time([sys.executable, here, folder, "--one", tool, "answer"])
        row(tool, of, alone, asked(tool, folder, "rate"), answer, says)


if __name__ == "__main__":
    main()
