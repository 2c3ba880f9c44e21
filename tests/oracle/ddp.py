"""DistributedDataParallel's buckets in the first and the second iteration: data/ddp.json (gloo, one process)."""
import torch
import torch.distributed as dist

import models
from torch.nn.parallel import DistributedDataParallel

_config = dict(model_type="llama", hidden_size=1024, intermediate_size=2752, num_hidden_layers=4, num_attention_heads=4,
               num_key_value_heads=2, tie_word_embeddings=False, vocab_size=9000)
models.CONFIGS |= {
    "llama-1024": _config,
    "llama-1024-tied": _config | dict(tie_word_embeddings=True),
    "qwen2-1024": _config | dict(model_type="qwen2"),
    "gpt2-1024": dict(model_type="gpt2", n_embd=1024, n_head=4, n_layer=4, n_positions=256, vocab_size=9000,
                      attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0),
}
USED = ("llama-1024", "llama-1024-tied", "qwen2-1024", "gpt2-1024")


def buckets(name, precision):
    model = DistributedDataParallel(models.build(name, precision, "sdpa", "cpu"))
    iterations = []

    def hook(_, bucket):
        buffer = bucket.buffer()
        iterations[-1].append(buffer.numel() * buffer.element_size())
        done = torch.futures.Future()
        done.set_result(buffer)
        return done

    model.register_comm_hook(None, hook)
    ids = torch.zeros(1, 8, dtype=torch.long)
    for _ in range(2):
        iterations.append([])
        model(input_ids=ids, labels=ids).loss.backward()
    return {"model": name, "precision": precision, "first": iterations[0], "rebuilt": iterations[1]}


def main():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    rows = [buckets(name, precision) for name in USED for precision in ("fp32", "bf16")]
    models.write("ddp.json", models.stamp("transformers") | {"models": {n: models.CONFIGS[n] for n in USED}}, rows)


if __name__ == "__main__":
    main()
