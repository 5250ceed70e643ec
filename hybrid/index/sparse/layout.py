"""The files of a sparse branch: which arrays there are, of which types, and that shapes agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError, IndexFormatError
from hybrid.index.sparse.write import FORMAT
from hybrid.kernels.sparse.tiles import BLOCK, RANGE, TILE, Postings, pack_maxima
from hybrid.machine.arrays import open_array

DESCRIPTION = "sparse.json"
TABLES = ("place", "frequencies")


def open_sparse(directory: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays of a sparse branch by name, memory-mapped, and its description.

    Raises:
        CorruptIndexError: a file is missing, or of another type or shape than the others ask for.
        IndexFormatError: the files are of another format version.
    """
    for name in (DESCRIPTION, *(f"{name}.npy" for name in (*Postings._fields, *TABLES))):
        if not (directory / name).is_file():
            raise CorruptIndexError(
                f"The sparse index in {directory} lacks {name}. Build the index again."
            )
    described = _described(directory / DESCRIPTION)

    def array(name: str, kind: type[np.generic], *shape: int | None) -> NDArray[Any]:
        return open_array(directory / f"{name}.npy", kind, shape)

    order, scales = array("order", np.int32, None), array("scales", np.float32, None)
    documents, terms = len(order), len(scales)
    tiles = -(-documents // TILE)
    starts = array("head_starts", np.uint16, None, tiles)
    codes: type[np.generic] = np.uint8 if described["weights"] == "uint8" else np.float32
    places = array("tail_places", np.uint16, None)
    if described["format"] == 1:
        maxima = _repacked(array("head_maxima", np.uint8, len(starts), tiles * (TILE // 64)))
    else:
        maxima = array("head_maxima", np.uint8, len(starts), tiles * (TILE // BLOCK // 2))
    return {
        "order": order,
        "scales": scales,
        "heads": array("heads", np.int32, terms),
        "spans": array("spans", np.int64, terms, 2),
        "cuts": array("cuts", np.uint32, terms, max(1, -(-documents // RANGE)) - 1),
        "head_stream": array("head_stream", np.uint16, None),
        "head_starts": starts,
        "head_maxima": maxima,
        "tail_places": places,
        "tail_codes": array("tail_codes", codes, len(places)),
        "place": array("place", np.int32, documents),
        "frequencies": array("frequencies", np.int32, terms),
    }, described


def _described(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(described, dict) or "format" not in described:
        raise CorruptIndexError(f"{path} is not the description of a sparse branch")
    if described["format"] not in (1, FORMAT):
        raise IndexFormatError(
            f"The sparse index in {path.parent} has format {described['format']!r:.80}; this "
            f"version reads formats 1 to {FORMAT}. Build the index again."
        )
    if type(described.get("nnz")) is not int or described.get("weights") not in (
        "uint8",
        "float32",
    ):
        raise CorruptIndexError(f"{path} has no usable 'nnz' and 'weights'")
    return described


def _repacked(maxima: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the block maxima of format 1, a code for each 64 documents, as those of today."""
    packed = np.empty((len(maxima), maxima.shape[1] * 64 // BLOCK // 2), dtype=np.uint8)
    for row in range(len(maxima)):
        pack_maxima(np.repeat(maxima[row], 64 // BLOCK), packed[row])
    return packed
