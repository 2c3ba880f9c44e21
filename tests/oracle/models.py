"""The small models of all recordings: one config a family, and how it is built on a device without memory."""
import contextlib
import datetime
import importlib.metadata
import json
import pathlib

import torch
import transformers

DATA = pathlib.Path(__file__).parent / "data"

_llama = dict(hidden_size=256, intermediate_size=704, num_attention_heads=4, num_key_value_heads=2,
              num_hidden_layers=3, vocab_size=512, tie_word_embeddings=False)
CONFIGS = {
    "llama": dict(model_type="llama", **_llama),
    "llama-mha": dict(model_type="llama", **_llama | dict(num_key_value_heads=4)),
    "llama-tied": dict(model_type="llama", **_llama | dict(tie_word_embeddings=True)),
    "mistral": dict(model_type="mistral", **_llama, sliding_window=None),
    "mistral-window": dict(model_type="mistral", **_llama, sliding_window=64),
    "qwen2": dict(model_type="qwen2", **_llama),
    "qwen3": dict(model_type="qwen3", **_llama, head_dim=64),
    "gemma2": dict(model_type="gemma2", **_llama | dict(tie_word_embeddings=True), head_dim=64, sliding_window=64,
                   query_pre_attn_scalar=64),
    "gpt2": dict(model_type="gpt2", n_embd=256, n_head=4, n_layer=3, n_positions=512, vocab_size=512, attn_pdrop=0.0,
                 embd_pdrop=0.0, resid_pdrop=0.0),
    "gpt2-dropout": dict(model_type="gpt2", n_embd=256, n_head=4, n_layer=3, n_positions=512, vocab_size=512),
    "gpt_neox": dict(model_type="gpt_neox", hidden_size=256, intermediate_size=1024, num_attention_heads=4,
                     num_hidden_layers=3, vocab_size=512, use_parallel_residual=True, tie_word_embeddings=False),
    "phi3": dict(model_type="phi3", **_llama, pad_token_id=0, sliding_window=None),
    "falcon": dict(model_type="falcon", hidden_size=256, num_attention_heads=4, num_hidden_layers=3, vocab_size=512,
                   multi_query=True, parallel_attn=True, bias=False, alibi=False, new_decoder_architecture=False),
    "falcon-new": dict(model_type="falcon", hidden_size=256, num_attention_heads=4, num_hidden_layers=3, vocab_size=512,
                       num_kv_heads=2, bias=False, alibi=False, new_decoder_architecture=True),
    "opt": dict(model_type="opt", hidden_size=256, ffn_dim=1024, num_attention_heads=4, num_hidden_layers=3,
                vocab_size=512, word_embed_proj_dim=256, max_position_embeddings=512, dropout=0.0),
}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def _autocast_without_meta(autocast):
    # Modules switch autocast off around what must stay in fp32. Autocast does not know the meta device.
    def of(device_type, *args, **kwargs):
        return contextlib.nullcontext() if device_type == "meta" else autocast(device_type, *args, **kwargs)

    return of


torch.autocast = _autocast_without_meta(torch.autocast)


def config_of(name):
    config = dict(CONFIGS[name])
    return transformers.AutoConfig.for_model(config.pop("model_type"), **config)


def build(name, precision, attention, device):
    """The model in training mode; on "meta" it has shapes and types only."""
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config_of(name), attn_implementation=attention,
                                                              dtype=TYPES[precision])
    model.config.use_cache = False
    return model.train()


def base_of(model):
    """The module below the head, and in it the decoder layers and the final norm."""
    base = getattr(model.base_model, "decoder", model.base_model)
    layers = next(getattr(base, n) for n in ("layers", "h") if hasattr(base, n))
    norm = next(getattr(base, n) for n in ("norm", "ln_f", "final_layer_norm") if hasattr(base, n))
    return base, layers, norm


def stamp(*packages):
    """What was recorded with, and when."""
    versions = {p: importlib.metadata.version(p).split("+")[0] for p in ("torch", *packages)}
    return {"versions": versions, "date": datetime.date.today().isoformat()}


def write(name, header, cases):
    """One case a line, so that a new recording shows what changed."""
    DATA.mkdir(exist_ok=True)
    lines = ",\n".join("  " + json.dumps(c) for c in cases)
    head = json.dumps(header)[1:-1]
    (DATA / name).write_text("{" + head + ',\n "cases": [\n' + lines + "\n ]}\n")
    print(f"{name}: {len(cases)} cases")
