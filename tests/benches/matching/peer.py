"""Searches the same templates with faiss's exact index. Reads one line a task, answers one line."""

import sys
import time

import faiss
import numpy

templates, faces, dimension = sys.argv[1], sys.argv[2], int(sys.argv[3])
index = faiss.IndexFlatIP(dimension)
index.add(numpy.fromfile(templates, dtype="<f4").reshape(-1, dimension))
faces = numpy.fromfile(faces, dtype="<f4").reshape(-1, dimension)
print(f"faiss {faiss.__version__}, {index.ntotal} templates", flush=True)

for line in sys.stdin:
    task, *numbers = line.split()
    if task == "nearest":
        print(*index.search(faces, 1)[1][:, 0], flush=True)
        continue
    threads, batch, times = map(int, numbers)
    faiss.omp_set_num_threads(threads)
    some = numpy.ascontiguousarray(faces[:batch])
    index.search(some, 2)
    start = time.perf_counter()
    for _ in range(times):
        # Two, as ours: the nearest and the next one.
        index.search(some, 2)
    print((time.perf_counter() - start) / times, flush=True)
