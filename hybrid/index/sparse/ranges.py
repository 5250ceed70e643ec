"""The second and third pass of an index build: rows dealt to ranges, and ranges sorted by term."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hybrid.index.sparse.segment import Weights
from hybrid.index.sparse.spool import PIECE, Spool, pieces
from hybrid.kernels.postings import assembly
from hybrid.kernels.sparse.layout import RANGE


def deal(
    spool: Spool, place: NDArray[np.int32], scales: NDArray[np.float32], weights: Weights
) -> NDArray[np.float64]:
    """Write each row, quantised, to the file of its range; return the loss that `quantise` counts.

    Args:
        spool: its rows are removed.
        place: of each row.
        scales: of each term.
        weights: the type in which weights are stored.
    """
    loss = np.zeros(4)
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
    return loss


def sort_range(
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
