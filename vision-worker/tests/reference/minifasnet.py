#!/usr/bin/env python3
"""Computes what the worker's liveness networks are compared with: the networks as published, batch norms and all, run by
onnxruntime, and crops cut and resized by OpenCV.

Shares no code with the worker. Needs numpy, onnx, onnxruntime, opencv and pillow, not torch. Without the published
weights, only what both sides make out of the tensors' names is computed anew:

    minifasnet.py PHOTOGRAPHS_FOLDER [WEIGHTS_FOLDER] > minifasnet.json
    minifasnet.py --old-format > old_format.pth
"""

import collections
import json
import pathlib
import pickle
import struct
import sys

import numpy

SIDE = 80
SCALES = {"minifasnet-v2": 2.7, "minifasnet-v1se": 4.0}
FILES = {"minifasnet-v2": "2.7_80x80_MiniFASNetV2.pth", "minifasnet-v1se": "4_0_0_80x80_MiniFASNetV1SE.pth"}
BLOCKS = (4, 6, 2)
# Channels between the convolutions of each block, the halving block of each stage first.
INNER = {
    "minifasnet-v2": ((103, 13, 13, 13, 13), (231, 231, 52, 26, 77, 26, 26), (308, 26, 26)),
    "minifasnet-v1se": ((103, 13, 26, 13, 52), (231, 154, 52, 26, 52, 26, 26), (308, 26, 26)),
}
OUTER = (64, 128, 128)


class Unpickler(pickle.Unpickler):
    """Reads PyTorch's format of before version 1.6 and runs nothing of it."""

    def find_class(self, module, name):
        return {"OrderedDict": collections.OrderedDict, "_rebuild_tensor_v2": lambda *parts: parts}.get(name, name)

    def persistent_load(self, parts):
        return parts


def old_format(path):
    with open(path, "rb") as file:
        for _ in range(3):
            Unpickler(file).load()
        tensors, names = Unpickler(file).load(), Unpickler(file).load()
        numbers = {}
        for name in names:
            (count,) = struct.unpack("<q", file.read(8))
            kind = next(parts[0][1] for parts in tensors.values() if parts[0][2] == name)
            size = {"FloatStorage": "<f4", "LongStorage": "<i8"}[kind]
            numbers[name] = numpy.frombuffer(file.read(count * numpy.dtype(size).itemsize), size)
    plain = {}
    for name, (storage, offset, shape, *_) in tensors.items():
        run = numbers[storage[2]][offset : offset + int(numpy.prod(shape, dtype=int))]
        plain[name.removeprefix("module.")] = run.reshape(shape)
    return plain


def noise(name, shape):
    """Numbers from -1 to 1 without a pattern, as in iresnet.py."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    x = numpy.arange(1, numpy.prod(shape) + 1, dtype=numpy.uint32) * numpy.uint32(0x9E3779B1) ^ numpy.uint32(seed)
    x = (x ^ x >> 16) * numpy.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * numpy.uint32(0xC2B2AE35)
    x ^= x >> 16
    return ((x >> 8).astype(numpy.float32) / 2**23 - 1).reshape(shape)


class MadeUp:
    """Weights out of their names."""

    def __call__(self, name, shape):
        values = noise(name, shape)
        if len(shape) > 1:
            return values * numpy.float32(1.5) / numpy.sqrt(numpy.float32(numpy.prod(shape[1:])))
        if name.endswith("prelu.weight"):
            return values / 8 + numpy.float32(0.25)
        return values / 8 + numpy.float32(1 if name.endswith(("running_var", "weight")) else 0)


class Published:
    """Weights out of a published file."""

    def __init__(self, path):
        self.tensors = old_format(path)

    def __call__(self, name, shape):
        assert self.tensors[name].shape == tuple(shape), (name, self.tensors[name].shape, shape)
        return self.tensors[name]


class Network:
    """Builds the graph of one form, node by node."""

    def __init__(self, form, weights):
        import onnx
        import onnxruntime

        self.weights, self.nodes, self.constants = weights, [], []
        self.onnx = onnx
        output = self.build(form)
        value = lambda name, shape: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        inputs, outputs = [value("crop", [1, 3, SIDE, SIDE])], [value(output, [1, 3])]
        graph = onnx.helper.make_graph(self.nodes, form, inputs, outputs, self.constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options)

    def run(self, crop):
        return self.session.run(None, {"crop": crop[None].astype(numpy.float32)})[0][0]

    def node(self, kind, *inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, name, shape, stored=None):
        values = self.weights(name, shape)
        values = values.reshape(stored) if stored else values
        self.constants.append(self.onnx.numpy_helper.from_array(numpy.ascontiguousarray(values), name))
        return name

    def norm(self, x, name, channels):
        parts = [self.constant(f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", x, *parts, epsilon=1e-5)

    def convolve(self, x, name, shape, stride=1, groups=1, pad=None):
        pad = shape[2] // 2 if pad is None else pad
        weight = self.constant(f"{name}.weight", shape)
        return self.node("Conv", x, weight, strides=[stride] * 2, pads=[pad] * 4, group=groups)

    def unit(self, x, name, shape, stride=1, groups=1, bends=True, pad=None):
        x = self.norm(self.convolve(x, f"{name}.conv", shape, stride, groups, pad), f"{name}.bn", shape[0])
        if not bends:
            return x
        return self.node("PRelu", x, self.constant(f"{name}.prelu.weight", (shape[0],), (shape[0], 1, 1)))

    def block(self, x, name, inputs, inner, outputs, stride, excited):
        y = self.unit(x, f"{name}.conv", (inner, inputs, 1, 1))
        y = self.unit(y, f"{name}.conv_dw", (inner, 1, 3, 3), stride, inner)
        y = self.unit(y, f"{name}.project", (outputs, inner, 1, 1), bends=False)
        if excited:
            z = self.node("GlobalAveragePool", y)
            z = self.convolve(z, f"{name}.se_module.fc1", (outputs // 4, outputs, 1, 1))
            z = self.node("Relu", self.norm(z, f"{name}.se_module.bn1", outputs // 4))
            z = self.convolve(z, f"{name}.se_module.fc2", (outputs, outputs // 4, 1, 1))
            y = self.node("Mul", y, self.node("Sigmoid", self.norm(z, f"{name}.se_module.bn2", outputs)))
        return y if stride == 2 else self.node("Add", x, y)

    def build(self, form):
        x = self.unit("crop", "conv1", (32, 3, 3, 3), 2)
        x = self.unit(x, "conv2_dw", (32, 1, 3, 3), groups=32)
        inputs = 32
        for stage, (count, outputs) in enumerate(zip(BLOCKS, OUTER)):
            for block in range(count + 1):
                name = f"conv_{stage + 3}.model.{block - 1}" if block else f"conv_{stage + 2}{stage + 3}"
                excited = form.endswith("se") and block == count
                x = self.block(x, name, inputs, INNER[form][stage][block], outputs, 1 if block else 2, excited)
                inputs = outputs
        x = self.unit(x, "conv_6_sep", (512, 128, 1, 1))
        x = self.unit(x, "conv_6_dw", (512, 1, 5, 5), groups=512, bends=False, pad=0)
        x = self.node("Flatten", x)
        x = self.node("Gemm", x, self.constant("linear.weight", (128, 512)), transB=1)
        x = self.norm(x, "bn", 128)
        x = self.node("Gemm", x, self.constant("prob.weight", (3, 128)), transB=1)
        return self.node("Softmax", x, axis=1)


def pattern(seed):
    """A crop that both sides can make without a picture: waves of several lengths in each channel."""
    channel, y, x = numpy.meshgrid(numpy.arange(3), numpy.arange(SIDE), numpy.arange(SIDE), indexing="ij")
    waves = numpy.sin(x / (3.0 + seed)) + numpy.sin(y / (5.0 + channel)) + numpy.sin((x + y) / 17.0)
    return 127.5 + 40.0 * waves


def cut(picture, box, scale):
    """The crop of a face: `scale` times its box, no larger than the picture and inside of it; blue, green, red."""
    import cv2

    height, width = picture.shape[:2]
    x, y, w, h = box
    scale = min(scale, (height - 1) / h, (width - 1) / w)
    left, top = x + w / 2 - w * scale / 2, y + h / 2 - h * scale / 2
    right, bottom = left + w * scale, top + h * scale
    if left < 0:
        left, right = 0, right - left
    if top < 0:
        top, bottom = 0, bottom - top
    if right > width - 1:
        left, right = left - (right - width + 1), width - 1
    if bottom > height - 1:
        top, bottom = top - (bottom - height + 1), height - 1
    part = picture[int(top) : int(bottom) + 1, int(left) : int(right) + 1, ::-1]
    return cv2.resize(numpy.ascontiguousarray(part), (SIDE, SIDE)).transpose(2, 0, 1)


def numbers(array, digits):
    return [round(float(value), digits) for value in numpy.ravel(array)]


def main(photographs, weights):
    from PIL import Image

    old = json.loads((pathlib.Path(__file__).parent / "minifasnet.json").read_text()) if weights is None else {}
    result = {"made_up": {}, "photographs": old.get("photographs", [])}
    for form in SCALES:
        network = Network(form, MadeUp())
        result["made_up"][form] = [numbers(network.run(pattern(seed)), 6) for seed in range(3)]
    if weights is not None:
        networks = {form: Network(form, Published(weights / FILES[form])) for form in SCALES}
        reference = json.loads((pathlib.Path(__file__).parent / "reference.json").read_text())
        for photograph in reference["photographs"]:
            picture = numpy.asarray(Image.open(photographs / f"{photograph['name']}.jpg").convert("RGB"))
            for face in photograph["faces"]:
                one = {"name": photograph["name"], "box": face["box"]}
                for form, scale in SCALES.items():
                    crop = cut(picture, face["box"], scale)
                    # Every 97th number of the crop tells that it was cut and resized the same way.
                    one[form] = {"crop": numbers(crop.ravel()[::97], 0), "classes": numbers(networks[form].run(crop), 5)}
                result["photographs"].append(one)
    json.dump(result, sys.stdout)
    print()



def small_old_format():
    """A file of two tensors in the old format that share their numbers, and one of whole numbers."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value.parts if isinstance(value, Parts) else None

    class Parts:
        def __init__(self, *parts):
            self.parts = parts

    class Global:
        def __init__(self, module, name):
            self.module, self.name = module, name

    def save_global(pickler, value):
        pickler.write(b"c" + value.module.encode() + b"\n" + value.name.encode() + b"\n")

    Pickler.dispatch = {**pickle._Pickler.dispatch, Global: save_global}

    class Tensor:
        def __init__(self, *parts):
            self.parts = parts

        def __reduce__(self):
            return Rebuild(), self.parts

    class Rebuild:
        def __call__(self):
            pass

    Pickler.dispatch[Rebuild] = lambda pickler, _: save_global(pickler, Global("torch._utils", "_rebuild_tensor_v2"))
    floats = Parts("storage", Global("torch", "FloatStorage"), "7", "cpu", 6, None)
    whole = Parts("storage", Global("torch", "LongStorage"), "8", "cpu", 1, None)
    hooks = collections.OrderedDict()
    tensors = collections.OrderedDict()
    tensors["module.first"] = Tensor(floats, 0, (2, 2), (2, 1), False, hooks)
    tensors["module.second"] = Tensor(floats, 4, (2,), (1,), False, hooks)
    tensors["module.count"] = Tensor(whole, 0, (), (), False, hooks)
    out = sys.stdout.buffer
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, tensors, ["7", "8"]):
        Pickler(out, 2).dump(value)
    out.write(struct.pack("<q6f", 6, 1, 2, 3, 4, 5, 6) + struct.pack("<qq", 1, 9))


if __name__ == "__main__":
    if sys.argv[1:] == ["--old-format"]:
        small_old_format()
    else:
        main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) if sys.argv[2:] else None)
