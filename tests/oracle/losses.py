"""What the losses of older transformers allocate: data/losses.json.

Hugging Face's Trainer on a CPU, a small Llama with LoRA, the second step's tensors as large as its 16-bit logits, in
the order in which they come (+) and go (-), in elements x bytes. `plain` has Unsloth's cross entropy in transformers'
place as fms-acceleration does: a function that hands its saved logits back as their gradient. Beside setup.sh's
environment this needs the versions that it records, one after the other, each run adding its cases:

    pip install torch==2.4.1 accelerate==1.0.1 peft==0.13.2 transformers==4.45.2; python losses.py
    pip install transformers==4.48.1; python losses.py
"""
import functools
import importlib
import json
import os
import sys
import tempfile
import weakref
from pathlib import Path

import accelerate
import peft
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DATA = Path(__file__).parent / "data" / "losses.json"
SEQ, VOCAB, HIDDEN = 64, 1024, 32
VERSION = ".".join(transformers.__version__.split(".")[:2])


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels):
        ctx.save_for_backward(logits)
        return torch.zeros(logits.shape[0])

    @staticmethod
    def backward(ctx, _):
        return ctx.saved_tensors[0], None


class InPlaceCrossEntropy(torch.nn.CrossEntropyLoss):
    def forward(self, logits, labels):
        return InPlace.apply(logits, labels).sum() / torch.count_nonzero(labels != -100)


def in_place_loss(logits, labels, vocab_size, **_):
    rows = logits.float()[..., :-1, :].contiguous()
    return InPlaceCrossEntropy()(rows.view(-1, vocab_size), labels[..., 1:].contiguous().view(-1))


def model_class(loss):
    """LlamaForCausalLM, patched as fms_acceleration_foak/models/llama.py patches it."""
    from transformers.models.llama import modeling_llama
    if VERSION == "4.45":
        original = torch.nn.CrossEntropyLoss
        torch.nn.CrossEntropyLoss = InPlaceCrossEntropy if loss == "plain" else original
        importlib.reload(modeling_llama)
        torch.nn.CrossEntropyLoss = original
    else:
        from transformers.loss import loss_utils
        ours = in_place_loss if loss == "plain" else loss_utils.ForCausalLMLoss
        loss_utils.LOSS_MAPPING["ForCausalLM"] = ours
    return modeling_llama.LlamaForCausalLM


class Order(TorchDispatchMode):
    """Storages of at least `least` bytes as they appear and die, while `events` is a list."""

    def __init__(self, least):
        super().__init__()
        self.least, self.events, self.live = least, None, {}

    def died(self, key, _):
        _, nbytes = self.live.pop(key)
        if self.events is not None and nbytes >= self.least:
            self.events.append(-nbytes)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if not isinstance(leaf, torch.Tensor):
                continue
            storage = leaf.untyped_storage()
            if storage._cdata in self.live:
                continue
            self.live[storage._cdata] = (weakref.ref(storage, functools.partial(self.died, storage._cdata)),
                                         storage.nbytes())
            if self.events is not None and storage.nbytes() >= self.least:
                self.events.append(storage.nbytes())
        return result


def record(loss, amp, batch):
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)  # which remembers the last precision
    os.environ.pop("ACCELERATE_MIXED_PRECISION", None)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, use_cache=False)
    model = model_class(loss)(config).to(torch.bfloat16)
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj"]))
    model.enable_input_require_grads()
    row = torch.arange(SEQ) % VOCAB
    rows = [{"input_ids": row, "labels": row} for _ in range(2 * batch)]
    order = Order(int(0.9 * 2 * batch * SEQ * VOCAB))

    class Recorded(transformers.Trainer):
        def training_step(self, *args, **kwargs):
            order.events = []  # of the last step
            return super().training_step(*args, **kwargs)

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, per_device_train_batch_size=batch, max_steps=2, bf16=amp, use_cpu=True, report_to=[],
            gradient_checkpointing=True, save_strategy="no", disable_tqdm=True)
        trainer = Recorded(model=model, args=arguments, train_dataset=rows)
        with order:
            trainer.train()
    return {"transformers": VERSION, "loss": loss, "amp": amp, "micro_batch": batch, "seq_len": SEQ, "vocab": VOCAB,
            "events": order.events}


def main():
    cases = json.loads(DATA.read_text())["cases"] if DATA.exists() else []
    cases = [case for case in cases if case["transformers"] != VERSION]
    cases += [record(loss, amp, batch) for loss in ("eager", "plain") for amp in (True, False) for batch in (4, 1)]
    lines = ",\n".join("  " + json.dumps(case) for case in sorted(cases, key=lambda case: case["transformers"]))
    stamp = {"torch": torch.__version__.split("+")[0], "accelerate": accelerate.__version__, "peft": peft.__version__}
    DATA.write_text('{"versions": ' + json.dumps(stamp) + ',\n "cases": [\n' + lines + "\n ]}\n")


if __name__ == "__main__":
    sys.exit(main())
