"""Builds the files of an inverted index from a stream of matrices, in bounded memory.

Four passes over temporary files, each sequential: spool the rows (and learn each term's largest
weight), quantise and deal them out to ranges of 65,536 places, sort each range by term, merge the
ranges term by term. What stays in memory is some 50 bytes a document, whatever its length, and
one range a thread.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.index.sparse.merge import in_order, merge
from hybrid.index.sparse.spool import PIECE, Spool, clustered_order, pieces, spooled
from hybrid.kernels.postings import assembly
from hybrid.kernels.sparse.tiles import RANGE, TILE

FORMAT = 2
HEAD_FILL = 0.75  # the share of tiles that a head has postings in
HEAD_POSTINGS = 8  # a term with fewer is never a head
SMALL = RANGE  # documents up to which block maxima seldom pay
SMALL_HEAD = 4  # postings a tile that a head of a small index has; with fewer it takes more room
Weights = Literal["uint8", "float32"]


def _deal(
    spool: Spool,
    place: NDArray[np.int32],
    scales: NDArray[np.float32],
    weights: Weights,
    loss: NDArray[np.float64],
) -> None:
    """Write each row, quantised, to the file of the range that it belongs to."""
    lengths = np.concatenate(spool.lengths)
    ranges = max(1, -(-len(lengths) // RANGE))
    code_type = np.dtype(weights)
    files = [(spool.folder / f"range{part}").open("wb") for part in range(ranges)]
    with (
        (spool.folder / "terms").open("rb") as terms_in,
        (spool.folder / "weights").open("rb") as w,
    ):
        for first, last in pieces(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), PIECE):
            rows = lengths[first:last]
            total = int(rows.sum(dtype=np.int64))
            terms = np.fromfile(terms_in, dtype=spool.term_type, count=total)
            values = np.fromfile(w, dtype=np.float32, count=total)
            codes: NDArray[Any] = values
            if code_type == np.uint8:
                codes = np.empty(total, dtype=np.uint8)
                assembly.quantise(terms, values, scales, codes, loss)
            places = place[first:last]
            owner = places // RANGE
            by_owner = np.argsort(owner, kind="stable")
            bounds = np.searchsorted(owner[by_owner], np.arange(ranges + 1))
            begins = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
            for part in range(ranges):
                chosen = by_owner[bounds[part] : bounds[part + 1]]
                if not len(chosen):
                    continue
                size = int(rows[chosen].sum(dtype=np.int64))
                out_terms = np.empty(size, dtype=terms.dtype)
                out_codes = np.empty(size, dtype=code_type)
                assembly.gather(begins, chosen, terms, codes, out_terms, out_codes)
                header = np.array([len(chosen), size], dtype=np.int64)
                for array in (header, places[chosen], rows[chosen], out_terms, out_codes):
                    files[part].write(array.data)
    for file in files:
        file.close()
    (spool.folder / "terms").unlink()
    (spool.folder / "weights").unlink()


def _sort_range(
    spool: Spool, part: int, weights: Weights
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Write one range sorted by term; return each term's postings and tiles in it."""
    path = spool.folder / f"range{part}"
    code_type = np.dtype(weights)
    with path.open("rb") as file:
        documents, postings = _totals(file, path.stat().st_size, spool.term_type, code_type)
        places, lengths = (np.empty(documents, dtype=np.int32) for _ in range(2))
        terms = np.empty(postings, dtype=spool.term_type)
        codes = np.empty(postings, dtype=code_type)
        row = at = 0
        while row < documents:
            count, total = np.fromfile(file, dtype=np.int64, count=2).tolist()
            for array, begin, size in (
                (places, row, count),
                (lengths, row, count),
                (terms, at, total),
                (codes, at, total),
            ):
                array[begin : begin + size] = np.fromfile(file, dtype=array.dtype, count=size)
            row, at = row + count, at + total
    path.unlink()
    counts = np.zeros(spool.vocabulary_size, dtype=np.int64)
    tiles = np.zeros(spool.vocabulary_size, dtype=np.int64)
    by_place = np.argsort(places)
    begins = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    sorted_terms = np.empty_like(terms)
    sorted_codes = np.empty_like(codes)
    assembly.gather(begins, by_place, terms, codes, sorted_terms, sorted_codes)
    del terms
    out_places = np.empty(len(sorted_terms), dtype=np.uint16)
    total = assembly.by_term(
        lengths[by_place], sorted_terms, sorted_codes, counts, tiles, out_places, codes
    )
    (spool.folder / f"places{part}").write_bytes(out_places[:total].data)
    (spool.folder / f"codes{part}").write_bytes(codes[:total].data)
    return counts.astype(np.uint32), tiles


def _totals(
    file: BinaryIO, size: int, term_type: np.dtype[Any], code_type: np.dtype[Any]
) -> tuple[int, int]:
    """Return the documents and postings of a range's file, from the headers in it."""
    documents = postings = 0
    while file.tell() < size:
        count, total = np.fromfile(file, dtype=np.int64, count=2).tolist()
        file.seek(8 * count + (term_type.itemsize + code_type.itemsize) * total, os.SEEK_CUR)
        documents += count
        postings += total
    file.seek(0)
    return documents, postings


def fitting_scales(largest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each term's scale, float32 (vocabulary,): its largest weight becomes the code 255.

    A term without weights gets the largest scale, for documents that bring it later.
    """
    tiny = np.finfo(np.float32).tiny
    scales: NDArray[np.float32] = np.maximum(largest / np.float32(255), tiny).astype(np.float32)
    scales[largest == 0] = scales.max(initial=tiny)
    return scales


def write_index(
    parts: Iterable[csr_matrix],
    directory: Path,
    *,
    vocabulary_size: int,
    weights: Weights,
    cluster: Callable[[int], bool],
    sketch: bool,
    seed: int,
    threads: int,
    head_fill: float,
    progress: Callable[[int], None] | None,
    given_scales: NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Write the index of canonical CSR parts; return the fields of its build report.

    ``cluster`` says, from the number of documents, whether to reorder them; ``sketch`` whether it
    may say yes. ``given_scales`` takes the place of the scales that the weights ask for.
    """
    start = time.perf_counter()
    workers = threads or os.cpu_count() or 1
    loss = np.zeros(4)
    with (
        TemporaryDirectory(dir=directory, prefix="spool-") as name,
        ThreadPoolExecutor(workers) as pool,
    ):
        spool = spooled(parts, Path(name), vocabulary_size, pool if sketch else None, progress)
        doc_count = sum(len(piece) for piece in spool.lengths)
        reordered = cluster(doc_count)
        order_start = time.perf_counter()
        order = np.arange(doc_count, dtype=np.int32)
        if reordered and doc_count:
            order = clustered_order(spool, doc_count, seed, workers)
        order_seconds = time.perf_counter() - order_start
        place = np.empty(doc_count, dtype=np.int32)
        place[order] = np.arange(doc_count, dtype=np.int32)
        scales = np.ones(vocabulary_size, dtype=np.float32)
        if weights == "uint8":
            scales = fitting_scales(spool.largest) if given_scales is None else given_scales
        _deal(spool, place, scales, weights, loss)
        ranges = range(max(1, -(-doc_count // RANGE)))
        jobs = [partial(_sort_range, spool, part, weights) for part in ranges]
        results = list(in_order(pool, jobs, 1))
        counts = np.array([count for count, _ in results], dtype=np.uint32)
        counts = counts.reshape(len(ranges), vocabulary_size)
        tiles = np.zeros(vocabulary_size, dtype=np.int64)
        for _, occupied in results:
            tiles += occupied
        tile_count = -(-doc_count // TILE)
        is_head = (tiles >= max(head_fill * tile_count, 1)) & (weights == "uint8")
        least = SMALL_HEAD * tile_count if doc_count <= SMALL else 0
        is_head &= counts.sum(axis=0, dtype=np.int64) >= max(HEAD_POSTINGS, least)
        heads = np.where(is_head, np.cumsum(is_head) - 1, -1).astype(np.int32)
        merge(spool.folder, directory, counts, is_head, doc_count, np.dtype(weights), pool)
    np.save(directory / "order.npy", order)
    np.save(directory / "place.npy", place)
    np.save(directory / "scales.npy", scales)
    np.save(directory / "heads.npy", heads)
    np.save(directory / "frequencies.npy", counts.sum(axis=0, dtype=np.int32))
    nnz = int(counts.sum(dtype=np.int64))
    described = {
        "format": FORMAT,
        "doc_count": doc_count,
        "vocabulary_size": vocabulary_size,
        "nnz": nnz,
        "weights": weights,
        "order": "cluster" if reordered else "none",
        "seed": seed,
    }
    (directory / "sparse.json").write_text(json.dumps(described, indent=1) + "\n")
    seen = int(sum(int(piece.sum(dtype=np.int64)) for piece in spool.lengths))
    return described | {
        "max_abs_error": float(loss[0]),
        "mean_abs_error": float(loss[1] / seen) if seen else 0.0,
        "mean_relative_error": float(loss[1] / loss[2]) if loss[2] else 0.0,
        "dropped": int(loss[3]),
        "size_bytes": sum(path.stat().st_size for path in directory.iterdir()),
        "order_seconds": order_seconds,
        "seconds": time.perf_counter() - start,
    }
