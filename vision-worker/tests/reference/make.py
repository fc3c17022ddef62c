#!/usr/bin/env python3
"""Computes what the worker's results are compared with: the same published weights, run by onnxruntime.

Shares no code with the worker: it dequantises the ONNX files itself, leaves their graphs as published (nothing is
folded), decodes with libjpeg, and does detection, alignment and normalisation in numpy. Needs numpy, onnx,
onnxruntime and pillow. Run it again only when the models, the photographs or the preprocessing change:

    make.py ONNX_FOLDER PHOTOGRAPHS_FOLDER > reference.json
"""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
EMBEDDER = "face_recognition_sface_2021dec_int8bq.onnx"
PHOTOGRAPHS = ["biden", "obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2"]
TEMPLATE = numpy.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
SIDE = 112


def plain(path):
    """The graph with every DequantizeLinear and the Reshape behind it replaced by plain weights, for any batch."""
    model = onnx.load(path)
    graph = model.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values = dict(stored)
    keep = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            block = next(a.i for a in node.attribute if a.name == "block_size")
            quantised, scale, zero = (values[name] for name in node.input)
            length = quantised.shape[-1]
            spread = lambda array: numpy.repeat(array.astype(numpy.float32), block, axis=-1)[..., :length]
            values[node.output[0]] = (quantised.astype(numpy.float32) - spread(zero)) * spread(scale)
        elif node.op_type == "Reshape" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].reshape(values[node.input[1]])
        else:
            keep.append(node)
    used = {name for node in keep for name in node.input}
    del graph.node[:]
    graph.node.extend(keep)
    del graph.initializer[:]
    graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in sorted(used & values.keys()))
    inputs = [value for value in graph.input if value.name in used and value.name not in values]
    del graph.input[:]
    graph.input.extend(inputs)
    for value in [*graph.input, *graph.output]:
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1 or value.name not in ("input", "data"):
                dimension.Clear()
                dimension.dim_param = f"{value.name}_{axis}"
    return model.SerializeToString()


def load(path):
    return onnxruntime.InferenceSession(plain(path), providers=["CPUExecutionProvider"])


def shrink(picture, width, height):
    """Each pixel the mean of the area that it covers."""

    def matrix(source, target):
        edges = numpy.arange(target + 1) * (source / target)
        pixels = numpy.arange(source)
        covered = numpy.minimum(edges[1:, None], pixels + 1) - numpy.maximum(edges[:-1, None], pixels)
        return numpy.clip(covered, 0, None) * (target / source)

    rows, columns = matrix(picture.shape[0], height), matrix(picture.shape[1], width)
    return numpy.floor(numpy.einsum("yh,hwc,xw->yxc", rows, picture, columns, optimize=True) + 0.5)


def search(session, picture):
    """One pass of the detector: rows of x, y, width, height, ten landmark coordinates, score."""
    height, width = picture.shape[:2]
    padded = numpy.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), numpy.float32)
    padded[:height, :width] = picture[..., ::-1]
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {"input": padded.transpose(2, 0, 1)[None].copy()})))
    found = []
    for stride in (8, 16, 32):
        cls, obj, box, points = (outputs[f"{name}_{stride}"][0] for name in ("cls", "obj", "bbox", "kps"))
        score = numpy.sqrt(numpy.clip(cls[:, 0], 0, 1) * numpy.clip(obj[:, 0], 0, 1))
        columns = padded.shape[1] // stride
        for cell in numpy.flatnonzero(score >= 0.6):
            origin = numpy.array([cell % columns, cell // columns])
            size = numpy.exp(box[cell, 2:]) * stride
            corner = (origin + box[cell, :2]) * stride - size / 2
            landmarks = (points[cell].reshape(5, 2) + origin) * stride
            found.append(numpy.concatenate([corner, size, landmarks.ravel(), [score[cell]]]))
    return found


def rescale(face, x, y):
    return numpy.concatenate([face[:14] * numpy.tile([x, y], 7), face[14:]])


def overlap(a, b):
    corner = numpy.maximum(a[:2], b[:2])
    shared = numpy.prod(numpy.clip(numpy.minimum(a[:2] + a[2:4], b[:2] + b[2:4]) - corner, 0, None))
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def detect(session, picture):
    height, width = picture.shape[:2]
    long_side = max(height, width)
    searched = picture
    if long_side > 1280:
        searched = shrink(picture, width * 1280 // long_side, height * 1280 // long_side)
    rows, columns = searched.shape[:2]
    found = search(session, searched)
    if min(rows, columns) > 200:
        quarter = shrink(searched, columns // 4, rows // 4)
        close = [rescale(f, columns / (columns // 4), rows / (rows // 4)) for f in search(session, quarter)]
        found = [f for f in found if f[2] <= 300] + [f for f in close if f[2] >= 200]
    kept = []
    for face in sorted(found, key=lambda face: -face[14]):
        if all(overlap(face, better) <= 0.3 for better in kept):
            kept.append(face)
    return [rescale(face, width / columns, height / rows) for face in kept]


def align(picture, landmarks):
    """Umeyama's similarity by singular values, then bilinear samples, several to a pixel for close-ups."""
    source, target = landmarks - landmarks.mean(0), TEMPLATE - TEMPLATE.mean(0)
    u, d, vt = numpy.linalg.svd(target.T @ source / 5)
    sign = numpy.diag([1, numpy.sign(numpy.linalg.det(u) * numpy.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = numpy.trace(numpy.diag(d) @ sign) / source.var(0).sum()
    shift = TEMPLATE.mean(0) - scale * rotation @ landmarks.mean(0)
    samples = int(numpy.clip(numpy.round(1 / scale), 1, 8))
    offsets = (numpy.arange(samples) + 0.5) / samples - 0.5
    grid = (numpy.arange(SIDE)[:, None] + offsets).ravel()
    x, y = numpy.meshgrid(grid, grid)
    at = (numpy.stack([x, y], -1) - shift) @ rotation / scale
    bordered = numpy.pad(picture, ((1, 2), (1, 2), (0, 0)))
    limit = numpy.array([bordered.shape[1] - 2, bordered.shape[0] - 2])
    at = numpy.clip(at + 1, 0, limit)
    low = numpy.floor(at).astype(int)
    share = (at - low)[..., None, :]
    pixel = lambda dx, dy: bordered[low[..., 1] + dy, low[..., 0] + dx]
    top = pixel(0, 0) * (1 - share[..., 0]) + pixel(1, 0) * share[..., 0]
    bottom = pixel(0, 1) * (1 - share[..., 0]) + pixel(1, 1) * share[..., 0]
    warped = top * (1 - share[..., 1]) + bottom * share[..., 1]
    return warped.reshape(SIDE, samples, SIDE, samples, 3).mean((1, 3))


def embed(session, crop):
    (embedding,) = session.run(None, {"data": crop.transpose(2, 0, 1)[None].astype(numpy.float32)})
    return embedding[0] / numpy.linalg.norm(embedding[0])


def pattern(seed):
    """A crop that both sides can make without a picture: waves of several lengths in each channel."""
    y, x, channel = numpy.meshgrid(numpy.arange(SIDE), numpy.arange(SIDE), numpy.arange(3), indexing="ij")
    waves = numpy.sin(x / (3.0 + seed)) + numpy.sin(y / (5.0 + channel)) + numpy.sin((x + y) / 17.0)
    return 127.5 + 40.0 * waves


def numbers(array, digits):
    return [round(float(value), digits) for value in numpy.ravel(array)]


def main(models, photographs):
    from PIL import Image

    onnxruntime.set_default_logger_severity(3)
    detector, embedder = load(models / DETECTOR), load(models / EMBEDDER)
    result = {"patterns": [], "photographs": []}
    for seed in range(3):
        result["patterns"].append({"seed": seed, "embedding": numbers(embed(embedder, pattern(seed)), 6)})
    for name in PHOTOGRAPHS:
        picture = numpy.asarray(Image.open(photographs / f"{name}.jpg").convert("RGB")).astype(numpy.float64)
        faces = []
        for face in detect(detector, picture):
            landmarks = face[4:14].reshape(5, 2)
            faces.append({
                "box": numbers(face[:4], 3),
                "landmarks": numbers(landmarks, 3),
                "score": round(float(face[14]), 5),
                "embedding": numbers(embed(embedder, align(picture, landmarks)), 6),
            })
        result["photographs"].append({"name": name, "faces": faces})
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
