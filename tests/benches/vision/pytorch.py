"""Runs the same published weights with PyTorch: each network built from its graph, traced and frozen, channels last. Of
the forms that need no compiler that was the fastest on a CPU. Reads one line a task and answers one line:

    network NAME THREADS BATCH TIMES    milliseconds of wall time and of processor time on the CPU
    cuda MODE NAME BATCH TIMES          the same on a GPU, eager32, eager16 or compiled16, with the batch in its memory

    pytorch.py DETECTOR.onnx EMBEDDER.onnx
"""

import sys
import time
import warnings

import numpy
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

onnxruntime.set_default_logger_severity(3)
# Tracing is called old, and warns of every shape that it takes as it is.
warnings.filterwarnings("ignore")


class Network(torch.nn.Module):
    """One ONNX graph, node by node."""

    def __init__(self, path):
        super().__init__()
        graph = onnx.load(path).graph
        number = lambda tensor: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        self.weights = {tensor.name: number(tensor) for tensor in graph.initializer}
        # In words that PyTorch's compiler understands.
        self.nodes = []
        for node in graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                self.weights[node.output[0]] = number(attributes["value"])
            else:
                self.nodes.append((node.op_type, attributes, list(node.input), node.output[0]))
        self.shapes = {name: value.tolist() for name, value in self.weights.items() if not value.is_floating_point()}
        self.entry, self.exits = graph.input[0].name, [output.name for output in graph.output]

    def forward(self, pixels):
        values = {**self.weights, **self.shapes, self.entry: pixels}
        for kind, attributes, inputs, output in self.nodes:
            arguments = [values[name] if name else None for name in inputs]
            values[output] = getattr(self, kind)(attributes, *arguments)
        return tuple(values[name] for name in self.exits)

    def Conv(self, attributes, x, weight, bias=None):
        top, left, bottom, right = attributes["pads"]
        assert (top, left) == (bottom, right)
        return functional.conv2d(x, weight, bias, attributes["strides"], (top, left), 1, attributes["group"])

    def BatchNormalization(self, attributes, x, scale, shift, mean, variance):
        return functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, attributes["epsilon"])

    def PRelu(self, _, x, slope):
        return functional.prelu(x, slope.flatten())

    def MaxPool(self, attributes, x):
        return functional.max_pool2d(x, attributes["kernel_shape"], attributes["strides"])

    def Resize(self, _, x, *__):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")

    def Reshape(self, _, x, shape):
        return x.reshape([x.shape[0], *shape[1:]])

    def Gemm(self, _, x, weight, bias):
        return functional.linear(x, weight, bias)

    def Transpose(self, attributes, x):
        return x.permute(attributes["perm"])

    def Relu(self, _, x):
        return x.relu()

    def Sigmoid(self, _, x):
        return x.sigmoid()

    def Flatten(self, _, x):
        return x.flatten(1)

    def Dropout(self, _, x, *__):
        return x

    def Add(self, _, x, y):
        return x + y

    def Sub(self, _, x, y):
        return x - y

    def Mul(self, _, x, y):
        return x * y


FILES = {"detector": sys.argv[1], "embedder": sys.argv[2]}
SHAPES = {"detector": (3, 736, 1280), "embedder": (3, 112, 112)}
LOADED = {}


def load(name, batch):
    """The network for batches of one size, and a batch, after a look that it says what onnxruntime says."""
    if (name, batch) not in LOADED:
        pixels = numpy.random.default_rng(7).uniform(0, 255, (batch, *SHAPES[name])).astype(numpy.float32)
        batch_of = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
        network = torch.jit.freeze(torch.jit.trace(Network(FILES[name]).eval(), batch_of))
        reference = onnxruntime.InferenceSession(FILES[name], providers=["CPUExecutionProvider"])
        wanted = reference.run(None, {reference.get_inputs()[0].name: pixels})
        for ours, theirs in zip(network(batch_of), wanted, strict=True):
            # The published detector gives a batch as one long picture.
            assert numpy.allclose(ours.numpy().ravel(), theirs.ravel(), rtol=1e-3, atol=1e-3), "PyTorch says otherwise"
        LOADED[name, batch] = network, batch_of
    return LOADED[name, batch]


def load_cuda(mode, name, batch):
    """The network on a GPU for batches of one size, and a batch there, after the same look."""
    if (mode, name, batch) not in LOADED:
        pixels = numpy.random.default_rng(7).uniform(0, 255, (batch, *SHAPES[name])).astype(numpy.float32)
        number = torch.float32 if mode.endswith("32") else torch.float16
        there = {"device": "cuda", "memory_format": torch.channels_last}
        network = Network(FILES[name]).eval()
        for key, weight in network.weights.items():
            if weight.is_floating_point():
                network.weights[key] = weight.to(number).to(**there) if weight.dim() == 4 else weight.to(number).cuda()
        batch_of = torch.from_numpy(pixels).to(number).to(**there)
        # With CUDA graphs, so that no time goes into launching.
        run = torch.compile(network, mode="reduce-overhead", dynamic=False, fullgraph=True) if "compiled" in mode else network
        for _ in range(3):
            outputs = [output.float().cpu().numpy().ravel() for output in run(batch_of)]
        reference = onnxruntime.InferenceSession(FILES[name], providers=["CPUExecutionProvider"])
        wanted = reference.run(None, {reference.get_inputs()[0].name: pixels[:1]})
        for ours, theirs in zip(outputs, wanted, strict=True):
            ours, theirs = ours[: theirs.size], theirs.ravel()
            cosine = ours @ theirs / numpy.sqrt((ours @ ours) * (theirs @ theirs))
            assert cosine > 0.99, f"PyTorch says otherwise: {mode} {name} {cosine}"
        LOADED[mode, name, batch] = run, batch_of
    return LOADED[mode, name, batch]


def measured(task, *arguments):
    times = int(arguments[-1])
    if task == "cuda":
        mode, name, batch, _ = arguments
        network, pixels = load_cuda(mode, name, int(batch))
        finish = torch.cuda.synchronize
    else:
        name, threads, batch, _ = arguments
        torch.set_num_threads(int(threads))
        network, pixels = load(name, int(batch))
        finish = lambda: None
    network(pixels)
    finish()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(times):
        network(pixels)
    finish()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    pieces = times * int(batch)
    return f"{wall * 1e3 / pieces} {processor * 1e3 / pieces}"


print(f"PyTorch {torch.__version__}", flush=True)
with torch.inference_mode():
    for line in sys.stdin:
        print(measured(*line.split()), flush=True)
