"""What bitsandbytes keeps of a quantized weight: data/quantized.json. On the CPU; the code table of 16 values, which all
weights of one type share, is left out, and scalars too."""
import bitsandbytes.functional as bnb
import torch

import models

SHAPES = [(64, 64), (65, 33), (256, 688), (1000, 300), (4096, 11008), (1024, 4096), (7, 130)]


def nbytes(*tensors):
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def four_bits(shape, kind, double):
    weight = torch.randn(shape, dtype=torch.bfloat16)
    packed, state = bnb.quantize_4bit(weight, quant_type=kind, compress_statistics=double)
    statistics = nbytes(state.absmax)
    if state.nested:
        statistics += nbytes(state.offset, state.state2.absmax)
    return nbytes(packed), statistics


def eight_bits(shape):
    codes, scales, _ = bnb.int8_vectorwise_quant(torch.randn(shape, dtype=torch.float16))
    return nbytes(codes), nbytes(scales)


def main():
    rows = []
    for shape in SHAPES:
        for name, recorded in (("nf4", four_bits(shape, "nf4", False)), ("nf4-dq", four_bits(shape, "nf4", True)),
                               ("fp4", four_bits(shape, "fp4", False)), ("int8", eight_bits(shape))):
            rows.append({"quantization": name, "shape": shape, "data": recorded[0], "statistics": recorded[1]})
    models.write("quantized.json", models.stamp("bitsandbytes"), rows)


if __name__ == "__main__":
    main()
