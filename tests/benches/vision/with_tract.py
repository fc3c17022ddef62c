"""Runs the same published weights with tract. Reads one line a task, `network NAME 1 BATCH TIMES`, and answers one line:
milliseconds of wall time and of processor time.

    with_tract.py DETECTOR.onnx EMBEDDER.onnx
"""

import sys
import tempfile
import time

import numpy
import onnx
import onnxruntime
import tract

onnxruntime.set_default_logger_severity(3)

FILES = {"detector": sys.argv[1], "embedder": sys.argv[2]}
SHAPES = {"detector": (3, 736, 1280), "embedder": (3, 112, 112)}
LOADED = {}


def shapeless(path):
    """The graph without the shapes that are written down in it: tract believes them, and they are of one picture."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model.SerializeToString()


def load(name, batch):
    """The network for batches of one size, and a batch, after a look that it says what onnxruntime says."""
    if (name, batch) not in LOADED:
        pixels = numpy.random.default_rng(7).uniform(0, 255, (batch, *SHAPES[name])).astype(numpy.float32)
        with tempfile.NamedTemporaryFile(suffix=".onnx") as graph:
            graph.write(shapeless(FILES[name]))
            graph.flush()
            network = tract.onnx().load(graph.name)
        network.set_input_fact(0, ",".join(map(str, pixels.shape)) + ",f32")
        network.analyse()
        network = network.into_model().into_runnable()
        reference = onnxruntime.InferenceSession(FILES[name], providers=["CPUExecutionProvider"])
        wanted = reference.run(None, {reference.get_inputs()[0].name: pixels})
        for ours, theirs in zip(network.run([pixels]), wanted, strict=True):
            # The published detector gives a batch as one long picture.
            assert numpy.allclose(ours.to_numpy().ravel(), theirs.ravel(), rtol=1e-3, atol=1e-3), "tract says otherwise"
        LOADED[name, batch] = network, pixels
    return LOADED[name, batch]


def measured(task, name, threads, batch, times):
    assert task == "network" and threads == "1"
    (network, pixels), times = load(name, int(batch)), int(times)
    network.run([pixels])
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(times):
        network.run([pixels])
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    pieces = times * int(batch)
    return f"{wall * 1e3 / pieces} {processor * 1e3 / pieces}"


print(f"tract {tract.version()}", flush=True)
for line in sys.stdin:
    print(measured(*line.split()), flush=True)
