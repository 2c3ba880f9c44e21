"""DeepSpeed's ZeRO on the CPU over gloo, one or two processes: data/zero.json.

Real engines train a small model for three steps. Of the third: bytes that stay between steps, the peaks of forward,
backward and optimizer step, and the collectives of forward and backward in their order, [name, elements, how often in a
row]. Everything is in host memory here, so that what is offloaded counts too, and so does the batch; what the
collectives allocate for themselves does not. Optimizer: torch.optim.AdamW, whose kernels need no compiler.
"""
import gc
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ["DS_ACCELERATOR"] = "cpu"
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

import models
from ledger import Ledger

MODEL = dict(model_type="llama", hidden_size=256, intermediate_size=688, num_attention_heads=4, num_key_value_heads=4,
             num_hidden_layers=4, vocab_size=1000, max_position_embeddings=256, tie_word_embeddings=False)
STEPS = 3
COLLECTIVES = ("all_reduce", "all_gather_into_tensor", "reduce_scatter_tensor", "reduce", "broadcast", "all_gather",
               "reduce_scatter", "all_to_all_single")


class Collectives:
    """Wraps torch.distributed's functions before DeepSpeed takes hold of them."""

    def __init__(self):
        self.calls = []
        self.on = False
        self.ledger = None
        for name in COLLECTIVES:
            setattr(dist, name, self._wrapped(name, getattr(dist, name)))

    def _wrapped(self, name, function):
        def call(*args, **kwargs):
            tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor)]
            if self.on and tensors:
                elements = max(t.numel() for t in tensors)
                if self.calls and self.calls[-1][:2] == [name, elements]:
                    self.calls[-1][2] += 1
                else:
                    self.calls.append([name, elements, 1])
            return self._unseen(function, *args, **kwargs)

        return call

    def _unseen(self, function, *args, **kwargs):
        """Gloo's reduce-scatter works on a clone of its input, NCCL's does not; and gloo's threads let go of what they
        sent a moment after the call."""
        if self.ledger is None:
            return function(*args, **kwargs)
        self.ledger.blind = True
        try:
            result = function(*args, **kwargs)
        finally:
            self.ledger.blind = False
        time.sleep(0.005)
        return result


collectives = Collectives()
import deepspeed  # noqa: E402  (it takes hold of torch.distributed's functions)


def engine_of(case):
    deepspeed.utils.logging.logger.setLevel("ERROR")
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # would compile
    deepspeed.init_distributed("gloo")
    models.CONFIGS["tiny"] = MODEL
    torch.manual_seed(0)
    model = models.build("tiny", case["precision"], "sdpa", "cpu")
    zero = {"stage": case["stage"]} | case.get("zero", {})
    if case.get("offload"):
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": False}
    if case.get("offload") == "both":
        zero["offload_param"] = {"device": "cpu", "pin_memory": False}
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    config = {"train_micro_batch_size_per_gpu": case["batch"], "gradient_accumulation_steps": case["accumulation"],
              "zero_optimization": zero, "bf16": {"enabled": case["precision"] == "bf16"},
              "zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False}
    return deepspeed.initialize(model=model, optimizer=torch.optim.AdamW(groups, lr=1e-4, fused=True), config=config)[0]


def train(rank, case, port, target):
    os.environ |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank),
                       WORLD_SIZE=str(case["world"]), LOCAL_SIZE=str(case["world"]))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=case["world"])
    gc.disable()
    with Ledger() as ledger:
        collectives.ledger = ledger
        engine = engine_of(case)
        ids = torch.zeros(case["batch"], case["seq"], dtype=torch.long)
        for step in range(STEPS):
            gc.collect()
            between = ledger.live
            ledger.peaks.clear()
            for _ in range(case["accumulation"]):
                ledger.enter("forward")
                collectives.on = step == STEPS - 1
                loss = engine(input_ids=ids, labels=ids).loss
                ledger.enter("backward")
                engine.backward(loss)
                del loss
                collectives.on = False
                ledger.enter("optimizer")
                engine.step()
        if rank == 0:
            pathlib.Path(target).write_text(json.dumps({"between": between, "peaks": ledger.peaks,
                                                        "collectives": collectives.calls}))
    dist.destroy_process_group()


def run(case, port):
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "result.json")
        multiprocessing.start_processes(train, (case, port, target), nprocs=case["world"], start_method="fork")
        return json.loads(pathlib.Path(target).read_text())


def zero(stage, world=2, **changes):
    small = {"reduce_bucket_size": 1000000, "allgather_bucket_size": 1000000}
    return {"stage": stage, "world": world, "precision": "bf16", "batch": 1, "seq": 64, "accumulation": 1,
            "zero": small} | changes


def cases():
    tight = {"reduce_bucket_size": 200000, "stage3_prefetch_bucket_size": 100000,
             "stage3_param_persistence_threshold": 300, "stage3_max_live_parameters": 600000,
             "stage3_max_reuse_distance": 600000, "sub_group_size": 500000}
    for world in (1, 2):
        for stage in (1, 2, 3):
            yield zero(stage, world)
            yield zero(stage, world, accumulation=2)
            yield zero(stage, world, offload="optimizer")
        yield zero(3, world, offload="both")
    for stage in (1, 2, 3):
        yield zero(stage, zero={"reduce_bucket_size": 1000000, "overlap_comm": stage != 3})
        yield zero(stage, zero={"reduce_bucket_size": 200000})
        yield zero(stage, precision="fp32")
    yield zero(3, zero=tight)
    yield zero(3, offload="both", accumulation=2, zero={"reduce_bucket_size": 1000000})


def main():
    rows = []
    for i, case in enumerate(cases()):
        rows.append(case | run(case, 29600 + i))
        print({k: rows[-1][k] for k in ("stage", "world", "between", "peaks")}, flush=True)
    models.write("zero.json", models.stamp("transformers", "deepspeed") | {"model": MODEL}, rows)


if __name__ == "__main__":
    main()
