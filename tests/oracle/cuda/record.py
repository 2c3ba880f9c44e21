"""What needs a GPU: data/cuda.json, for a machine that has one.

    build/oracle/bin/python tests/oracle/cuda/record.py            # on a CUDA machine
    build/oracle/bin/python tests/oracle/cuda/record.py --fake     # dry run without one: nothing is written

For full fine-tunes, LoRA, QLoRA, checkpointing, and FSDP2 as one of eight ranks of a fake process group (allocations
are real, communication is not): memory between steps, max_memory_allocated and max_memory_reserved of the second step,
the allocator's requests and releases in order (a trace to replay), and the step's time. Besides: the bytes of the CUDA
context, and a table of matrix products. Under torchrun, NCCL's collectives are timed, and only they.

A dry run uses fake tensors: it shows that models and wrapping work, and that memory agrees with
data/training.json where that has the case. Everything that names CUDA stays untried until a GPU is at hand.
"""
import argparse
import json
import os
import pathlib
import sys
import time

import torch
import torch.distributed as dist

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import models  # noqa: E402
import training  # noqa: E402
from gpu_kernels import behave_like_a_gpu  # noqa: E402

LLAMA_1B = dict(model_type="llama", hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
                num_attention_heads=32, num_key_value_heads=8, head_dim=64, vocab_size=128256, tie_word_embeddings=True,
                max_position_embeddings=8192)
SHAPES = [(1024, 2048, 2048), (4096, 2048, 8192), (4096, 8192, 2048), (8192, 4096, 14336), (4096, 4096, 128256)]
SIZES = [2**power for power in range(16, 31, 2)]


def cases():
    common = dict(model="llama-1b", world=1, batch=1, seq=1024, attention="sdpa", optimizer="fused", reduce=None,
                  reshard=False, checkpointing="none", strategy="single")
    for precision in ("bf16", "amp-bf16", "fp32"):
        for checkpointing in ("none", "full"):
            yield common | dict(precision=precision, checkpointing=checkpointing)
    yield common | dict(precision="bf16", batch=2, seq=2048)
    for method in ("lora", "qlora"):
        for checkpointing in ("none", "full"):
            yield common | dict(precision="bf16", adapter=method, checkpointing=checkpointing)
    for reshard in (True, False):
        for checkpointing in ("none", "full"):
            yield common | dict(strategy="fsdp2", world=8, precision="mixed", reduce="fp32", reshard=reshard,
                                checkpointing=checkpointing)


def quantized(model):
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            parent = model.get_submodule(name.rpartition(".")[0])
            linear = bnb.nn.Linear4bit(module.in_features, module.out_features, bias=module.bias is not None,
                                       compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4")
            linear.weight = bnb.nn.Params4bit(module.weight.data.cpu(), requires_grad=False, quant_type="nf4")
            setattr(parent, name.rpartition(".")[2], linear.cuda())
    return model


def model_of(case, mesh, device):
    model = models.build("llama-1b", "bf16" if case["precision"] == "bf16" else "fp32", case["attention"], device)
    if case.get("adapter") == "qlora":
        model = quantized(model)
    if case["checkpointing"] == "full":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if case.get("adapter"):
            model.enable_input_require_grads()
    return adapted(model) if case.get("adapter") else training.wrap(model, mesh, case)


def adapted(model):
    import peft

    return peft.get_peft_model(model, peft.LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))


def step(model, optimizer, case, device):
    ids = torch.zeros(case["batch"], case["seq"], dtype=torch.long, device=device)
    with torch.autocast(device, torch.bfloat16, enabled=case["precision"] == "amp-bf16"):
        loss = model(input_ids=ids, labels=ids.clone()).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def on_gpu(case):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=case["world"])
    try:
        mesh = init_device_mesh("cuda", (case["world"],))
        model = model_of(case, mesh, "cuda")
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
        step(model, optimizer, case, "cuda")
        torch.cuda.synchronize()
        between = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.memory._record_memory_history(max_entries=1_000_000, context=None)
        step(model, optimizer, case, "cuda")
        torch.cuda.synchronize()
        trace = torch.cuda.memory._snapshot()["device_traces"][0]
        torch.cuda.memory._record_memory_history(enabled=None)
        begin = time.perf_counter()
        for _ in range(5):
            step(model, optimizer, case, "cuda")
        torch.cuda.synchronize()
        return {"between": between, "allocated": torch.cuda.max_memory_allocated(),
                "reserved": torch.cuda.max_memory_reserved(), "seconds": (time.perf_counter() - begin) / 5,
                "trace": [[e["action"], e["size"], e["stream"]] for e in trace]}
    finally:
        dist.destroy_process_group()
        torch.cuda.empty_cache()


def matrix_products():
    rows = []
    for m, n, k in SHAPES:
        a = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
        b = torch.randn(k, n, device="cuda", dtype=torch.bfloat16)
        for _ in range(3):
            a @ b
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(20):
            a @ b
        torch.cuda.synchronize()
        rows.append({"m": m, "n": n, "k": k, "seconds": (time.perf_counter() - begin) / 20})
    return rows


def collectives():
    """Under torchrun: seconds of each collective by bytes of its full tensor."""
    dist.init_process_group("nccl")
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    rows = []
    for nbytes in SIZES:
        whole = torch.zeros(nbytes // 2, dtype=torch.bfloat16, device="cuda")
        part = torch.zeros(nbytes // 2 // dist.get_world_size(), dtype=torch.bfloat16, device="cuda")
        for name, call in {"all_reduce": lambda: dist.all_reduce(whole),
                           "all_gather": lambda: dist.all_gather_into_tensor(whole, part),
                           "reduce_scatter": lambda: dist.reduce_scatter_tensor(part, whole)}.items():
            for _ in range(5):
                call()
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(20):
                call()
            torch.cuda.synchronize()
            rows.append({"collective": name, "bytes": nbytes, "seconds": (time.perf_counter() - begin) / 20})
    return rows


def context_bytes():
    """What the driver holds for this process beyond the allocator's segments."""
    torch.zeros(1, device="cuda")
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()


def dry_run():
    behave_like_a_gpu()
    recorded = json.loads((models.DATA / "training.json").read_text())["cases"]
    for case in cases():
        if case.get("adapter"):
            print("left out: PEFT and bitsandbytes convert parameters in ways that fake tensors refuse")
            continue
        small = case | dict(model="llama-512", seq=256)
        nbytes = training.run(small)
        known = [c["bytes"] for c in recorded if {k: v for k, v in c.items() if k != "bytes"} == small]
        print(json.dumps(small), nbytes, "as recorded" if nbytes in known else "not recorded" if not known else known)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--fake", action="store_true", help="fake tensors: no GPU, nothing written")
    models.CONFIGS["llama-1b"] = LLAMA_1B
    if arguments.parse_args().fake:
        return dry_run()
    header = models.stamp("transformers", "peft")
    header |= {"device": torch.cuda.get_device_name(), "models": {"llama-1b": LLAMA_1B}}
    if "RANK" in os.environ:
        rows = collectives()
        if dist.get_rank() == 0:
            models.write("cuda_collectives.json", header | {"ranks": dist.get_world_size()}, rows)
        return None
    header |= {"context_bytes": context_bytes(), "matrix_products": matrix_products()}
    models.write("cuda.json", header, [case | on_gpu(case) for case in cases()])


if __name__ == "__main__":
    main()
