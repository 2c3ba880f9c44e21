"""Training steps with PyTorch's own parallelism on fake tensors: data/training.json.

Real models, fully_shard and AdamW run over the "fake" process group, whose collectives return at once; nothing is
computed, and what is allocated is counted (ledger.py). Each case runs two
steps, the second of which is recorded: bytes between steps, and the peak of forward, backward and optimizer step.
"""
import contextlib
import gc

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore

import models
from gpu_kernels import behave_like_a_gpu
from ledger import Ledger

_wide = dict(hidden_size=512, intermediate_size=1376, num_attention_heads=8, num_key_value_heads=4,
             num_hidden_layers=4, vocab_size=2000, tie_word_embeddings=False, max_position_embeddings=512)
models.CONFIGS |= {
    "llama-512": dict(model_type="llama", **_wide),
    "llama-512-tied": dict(model_type="llama", **_wide | dict(tie_word_embeddings=True)),
    "llama-512-odd": dict(model_type="llama", **_wide | dict(vocab_size=2003)),
    "qwen2-512": dict(model_type="qwen2", **_wide),
    "gpt2-512": dict(model_type="gpt2", n_embd=512, n_head=8, n_layer=4, n_positions=512, vocab_size=2000,
                     attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0),
}
USED = ("llama-512", "llama-512-tied", "llama-512-odd", "qwen2-512", "gpt2-512")


def wrap_like_accelerate(model, mesh, case):
    """accelerate 1.15, utils/fsdp_utils.py, fsdp2_prepare_model: layers, embedding, then norm and head together."""
    base, layers, norm = models.base_of(model)
    reduce = models.TYPES.get(case.get("reduce"))
    param = torch.bfloat16 if case["precision"] == "mixed" else None
    if param is None and reduce == models.TYPES[case["precision"]]:
        reduce = None
    offload = CPUOffloadPolicy(pin_memory=False) if case.get("offload") else OffloadPolicy()
    options = dict(mesh=mesh, mp_policy=MixedPrecisionPolicy(param, reduce), offload_policy=offload)
    sharded = options | dict(reshard_after_forward=case["reshard"])
    for layer in layers:
        fully_shard(layer, **sharded)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = embedding.weight is head.weight
    if not tied:
        fully_shard(embedding, **sharded)
    fully_shard([norm, embedding, head] if tied else [norm, head], **options, reshard_after_forward=False)
    fully_shard(model, **options)
    return model


def wrap(model, mesh, case):
    return wrap_like_accelerate(model, mesh, case) if case["strategy"] == "fsdp2" else model


def run(case):
    dist.init_process_group("fake", store=FakeStore(), rank=case.get("rank", 0), world_size=case["world"])
    try:
        mesh = init_device_mesh("cpu", (case["world"],))
        ledger = Ledger()
        gc.collect()
        gc.disable()
        with FakeTensorMode(allow_non_fake_inputs=True), ledger:
            return _steps(case, mesh, ledger)
    finally:
        gc.enable()
        dist.destroy_process_group()


def _steps(case, mesh, ledger):
    model = models.build(case["model"], "bf16" if case["precision"] == "bf16" else "fp32", case["attention"], "cpu")
    if case["checkpointing"] == "full":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model = wrap(model, mesh, case)
    kind = {"fused": dict(fused=True), "foreach": dict(foreach=True), "for-loop": dict(foreach=False)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **kind[case["optimizer"]])
    record = {}
    for step in range(2):
        gc.collect()
        record["between"] = ledger.live
        for micro in range(case.get("accumulation", 1)):
            ledger.enter("forward")
            ids = torch.zeros(case["batch"], case["seq"], dtype=torch.long)
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=case["precision"] == "amp-bf16")
            with autocast:
                loss = model(input_ids=ids, labels=ids.clone()).loss
            ledger.enter("backward")
            loss.backward()
            del loss, ids
        ledger.enter("optimizer")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step == 0:
            ledger.peaks.clear()
    return {"between": record["between"], **ledger.peaks}


def fsdp2(model="llama-512", world=8, **changes):
    case = {"strategy": "fsdp2", "model": model, "world": world, "precision": "mixed", "reduce": "fp32",
            "attention": "sdpa", "batch": 1, "seq": 256, "reshard": True, "checkpointing": "none", "optimizer": "fused"}
    return case | changes


def cases():
    for world in (1, 2, 8, 64):
        for checkpointing in ("none", "full"):
            for reshard in (True, False):
                yield fsdp2(world=world, checkpointing=checkpointing, reshard=reshard)
            yield fsdp2(world=world, checkpointing=checkpointing, precision="bf16", reduce="bf16")
            yield fsdp2(world=world, checkpointing=checkpointing, precision="fp32", reduce="fp32")
    for model in USED[1:]:
        yield fsdp2(model)
        yield fsdp2(model, checkpointing="full")
    for optimizer in ("foreach", "for-loop"):
        yield fsdp2(optimizer=optimizer)
        yield fsdp2(world=2, precision="bf16", reduce="bf16", optimizer=optimizer)
    yield fsdp2(reduce="bf16")
    yield fsdp2(attention="eager")
    yield fsdp2(attention="eager", checkpointing="full")
    yield fsdp2(batch=2, seq=192)
    yield fsdp2(accumulation=2)
    yield fsdp2("llama-512-odd", rank=7)
    yield fsdp2("gpt2-512", world=3, accumulation=2, reshard=False)
    single = dict(strategy="single", world=1, reshard=False)
    for precision in ("fp32", "bf16", "amp-bf16"):
        for checkpointing in ("none", "full"):
            yield fsdp2(**single, precision=precision, checkpointing=checkpointing, reduce=None)


def main():
    behave_like_a_gpu()
    rows = []
    for case in cases():
        rows.append(case | {"bytes": run(case)})
        print(rows[-1], flush=True)
    models.write("training.json", models.stamp("transformers") | {"models": {n: models.CONFIGS[n] for n in USED}}, rows)


if __name__ == "__main__":
    main()
