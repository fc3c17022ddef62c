#!/usr/bin/env python3
"""Computes what the worker's iResNet is compared with: PyTorch on weights that both sides make out of their names.

Shares no code with the worker and folds nothing. Needs torch and what make.py needs:

    iresnet.py > iresnet.json
"""

import json
import sys

import numpy
import torch
from torch.nn import functional

import make

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
CHANNELS = (64, 128, 256, 512)
EPSILON = 1e-5


def noise(name, shape):
    """Numbers from -1 to 1 without a pattern: a hash of the name (FNV-1a) and of the place (MurmurHash3's last step)."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    x = numpy.arange(1, numpy.prod(shape) + 1, dtype=numpy.uint32) * numpy.uint32(0x9E3779B1) ^ numpy.uint32(seed)
    x = (x ^ x >> 16) * numpy.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * numpy.uint32(0xC2B2AE35)
    x ^= x >> 16
    return torch.from_numpy((x >> 8).astype(numpy.float32) / 2**23 - 1).reshape(shape)


def convolve(x, name, outputs, side, stride=1):
    weight = noise(f"{name}.weight", (outputs, x.shape[1], side, side))
    return functional.conv2d(x, weight / (x.shape[1] * side * side) ** 0.5, stride=stride, padding=side // 2)


def norm(x, name):
    part = lambda kind, middle: noise(f"{name}.{kind}", (x.shape[1],)) / 8 + middle
    mean, variance = part("running_mean", 0), part("running_var", 1)
    return functional.batch_norm(x, mean, variance, part("weight", 1), part("bias", 0), eps=EPSILON)


def prelu(x, name):
    return functional.prelu(x, noise(f"{name}.weight", (x.shape[1],)) / 8 + 0.25)


def iresnet(x, blocks):
    x = prelu(norm(convolve(x, "conv1", 64, 3), "bn1"), "prelu")
    for stage, (count, channels) in enumerate(zip(blocks, CHANNELS)):
        for block in range(count):
            name, stride = f"layer{stage + 1}.{block}", 2 if block == 0 else 1
            y = convolve(norm(x, f"{name}.bn1"), f"{name}.conv1", channels, 3)
            y = convolve(prelu(norm(y, f"{name}.bn2"), f"{name}.prelu"), f"{name}.conv2", channels, 3, stride)
            if block == 0:
                x = norm(convolve(x, f"{name}.downsample.0", channels, 1, stride), f"{name}.downsample.1")
            x = norm(y, f"{name}.bn3") + x
    x = norm(x, "bn2").flatten(1)
    weight = noise("fc.weight", (512, x.shape[1])) / x.shape[1] ** 0.5
    return norm(functional.linear(x, weight, noise("fc.bias", (512,)) / 8), "features")


def main():
    crop = torch.from_numpy(make.pattern(1).transpose(2, 0, 1)[None].astype(numpy.float32))
    result = {}
    with torch.no_grad():
        for layers, blocks in BLOCKS.items():
            embedding = functional.normalize(iresnet(crop / 127.5 - 1, blocks))
            result[str(layers)] = make.numbers(embedding.numpy(), 6)
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
