"""FSDP2 with CPU offload, and FSDP1, on fake tensors on a device of their own: data/two_sides.json.

As training.py, but host and device are two (toy_device.py), so that what is offloaded is seen to come and go: bytes
that the device and the host hold between steps, and the device's peaks of forward, backward and optimizer step.
"""
import gc

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffload, FullyShardedDataParallel, MixedPrecision, ShardingStrategy
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.testing._internal.distributed.fake_pg import FakeStore

import models
import toy_device
import training
from gpu_kernels import behave_like_a_gpu
from ledger import Ledger


def fsdp1(model, case):
    """accelerate's FSDP plugin: decoder layers are units, what is trained is fp32, use_orig_params off."""
    _, layers, _ = models.base_of(model)
    compute = torch.bfloat16 if case["precision"] == "mixed" else None
    mixed = MixedPrecision(param_dtype=compute, reduce_dtype=models.TYPES[case["reduce"]])
    strategy = ShardingStrategy.FULL_SHARD if case["reshard"] else ShardingStrategy.SHARD_GRAD_OP
    return FullyShardedDataParallel(
        model, auto_wrap_policy=ModuleWrapPolicy({type(layers[0])}), mixed_precision=mixed, sharding_strategy=strategy,
        cpu_offload=CPUOffload(case["offload"]), backward_prefetch=None, device_id=torch.device(toy_device.NAME, 0),
        use_orig_params=False)


def run(case):
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=case["world"])
    gc.collect()
    gc.disable()
    device, host = Ledger(toy_device.NAME), Ledger("cpu")
    try:
        mesh = init_device_mesh(toy_device.NAME, (case["world"],))
        with FakeTensorMode(allow_non_fake_inputs=True), host, device:
            return _steps(case, mesh, device, host)
    finally:
        gc.enable()
        dist.destroy_process_group()


def _steps(case, mesh, device, host):
    model = models.build(case["model"], "bf16" if case["precision"] == "bf16" else "fp32", case["attention"],
                         toy_device.NAME)
    if case["checkpointing"] == "full":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model = training.wrap(model, mesh, case) if case["strategy"] == "fsdp2" else fsdp1(model, case)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for _ in range(2):
        gc.collect()
        device.peaks.clear()
        between = {"between": device.live, "host": host.live}
        device.enter("forward")
        ids = torch.zeros(case["batch"], case["seq"], dtype=torch.long, device=toy_device.NAME)
        loss = model(input_ids=ids, labels=ids.clone()).loss
        device.enter("backward")
        loss.backward()
        del loss, ids
        device.enter("optimizer")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return between | device.peaks


def cases():
    for strategy, offload in (("fsdp2", True), ("fsdp1", False)):  # an offloaded FlatParameter changes its device
        for world in (2, 8):
            for checkpointing in ("none", "full"):
                for reshard in (True, False):
                    yield training.fsdp2(strategy=strategy, offload=offload, world=world, checkpointing=checkpointing,
                                         reshard=reshard)
            yield training.fsdp2(strategy=strategy, offload=offload, world=world, reduce="bf16")
        yield training.fsdp2("llama-512-odd", strategy=strategy, offload=offload)


def main():
    toy_device.set_up()
    behave_like_a_gpu()
    rows = []
    for case in cases():
        rows.append(case | {"bytes": run(case)})
        print(rows[-1], flush=True)
    used = ("llama-512", "llama-512-odd")
    models.write("two_sides.json", models.stamp("transformers") | {"models": {n: models.CONFIGS[n] for n in used}}, rows)


if __name__ == "__main__":
    main()
