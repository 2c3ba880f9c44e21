"""Tensors without memory take the kernels that they would take on a GPU.

Meta and fake tensors have no device whose kernels PyTorch could choose from, so that the choices are made here as on
CUDA: SDPA's (aten/src/ATen/native/transformers/cuda/sdp_utils.cpp) and dropout's (aten/src/ATen/native/Dropout.cpp).
flash_attention_2 is transformers' own code above PyTorch's copy of the kernel.
"""
import torch
import torch.nn.functional as F
import transformers
import transformers.masking_utils as masking_utils
import transformers.modeling_flash_attention_utils as flash_utils
from torch._subclasses.fake_tensor import FakeTensor

_sdpa, _dropout = F.scaled_dot_product_attention, F.dropout


def _without_memory(tensor):
    return isinstance(tensor, FakeTensor) or tensor.device.type == "meta"


def _gpu_sdpa(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if not _without_memory(query):
        return _sdpa(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    if torch.is_autocast_enabled("cpu"):  # it lowers what SDPA is given; called by name, kernels would get it as it is
        query, key, value = (t.to(torch.get_autocast_dtype("cpu")) for t in (query, key, value))
    grouped = query.shape[1] != key.shape[1]
    if attn_mask is None and query.dtype != torch.float32 and (enable_gqa or not grouped):
        return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False,
                                                                  scale=scale)[0]
    if grouped:  # the efficient kernel knows no grouped queries, and what is left is made of operators
        return torch.ops.aten._scaled_dot_product_attention_math(query, key, value, attn_mask, dropout_p, is_causal,
                                                                 None, scale=scale, enable_gqa=enable_gqa)[0]
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(attn_mask.logical_not(), float("-inf"))
    if attn_mask is not None:
        attn_mask = attn_mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    return torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, attn_mask, True, dropout_p,
                                                                  is_causal, scale=scale)[0]


def _gpu_dropout(input, p=0.5, training=True, inplace=False):
    if not _without_memory(input) or not training or p == 0:
        return _dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]  # one kernel, which keeps a mask of bools


def _flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0,
                     deterministic=False):
    return torch.ops.aten._flash_attention_forward(q, k, v, None, None, q.shape[1], k.shape[1], dropout_p, causal,
                                                   False, scale=softmax_scale)[0]


class _FlashAttn:
    flash_attn_func = staticmethod(_flash_attn_func)
    flash_attn_varlen_func = staticmethod(_flash_attn_func)


def behave_like_a_gpu():
    F.scaled_dot_product_attention, F.dropout = _gpu_sdpa, _gpu_dropout
    real = flash_utils.lazy_import_flash_attention
    flash_utils.lazy_import_flash_attention = lambda implementation, force_import=False: real(_FlashAttn, force_import)
    # Both would read the positions, to see whether several texts share a sequence.
    masking_utils.find_packed_sequence_indices = lambda position_ids: None
    flash_utils._is_packed_sequence = lambda position_ids, batch_size: False
    transformers.PreTrainedModel._flash_attn_2_can_dispatch = lambda self, is_init_check: True
