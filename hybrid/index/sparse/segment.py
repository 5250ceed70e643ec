"""The postings of one segment, memory-mapped: the arrays, their types, and that shapes agree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import CorruptIndexError, IndexFormatError
from hybrid.kernels.sparse.layout import BLOCK, RANGE, TILE, Postings
from hybrid.machine.arrays import Ints, open_array

FORMAT = 2
DESCRIPTION = "sparse.json"
TABLES = ("place", "frequencies")
Weights = Literal["uint8", "float32"]


@dataclass(frozen=True, eq=False)
class SparseSegment:
    """The postings of one segment, deleted documents included.

    Attributes:
        postings: the arrays that are searched.
        places: the place of each document in the order of the postings, int32 (n,).
        frequencies: how many documents each term is in, int32 (vocabulary_size,).
        description: the fields of ``sparse.json``.
    """

    postings: Postings
    places: Ints
    frequencies: Ints
    description: Mapping[str, Any]

    @classmethod
    def of(
        cls, arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any]
    ) -> SparseSegment:
        """Return the segment that these arrays make, by their names on disk."""
        # All read-only, also those without entries: kernels are compiled for one type of array.
        views = {name: array.view() for name, array in arrays.items()}
        for view in views.values():
            view.flags.writeable = False
        postings = Postings(*(views[name] for name in Postings._fields))
        return cls(postings, views["place"], views["frequencies"], description)

    @classmethod
    def open(cls, directory: Path) -> SparseSegment:
        """Return the segment whose files are in ``directory``.

        Raises:
            CorruptIndexError: a file is missing, or of another type or shape than the others need.
            IndexFormatError: the files are of another format version.
        """
        for name in (DESCRIPTION, *(f"{name}.npy" for name in (*Postings._fields, *TABLES))):
            if not (directory / name).is_file():
                raise CorruptIndexError(
                    f"The sparse index in {directory} lacks {name}. Build the index again."
                )
        description = _description(directory / DESCRIPTION)
        return cls.of(_arrays(directory, description), description)

    def __len__(self) -> int:
        return len(self.postings.order)

    @property
    def vocabulary_size(self) -> int:
        """Number of terms, used or not."""
        return len(self.postings.scales)

    @property
    def nnz(self) -> int:
        """Number of postings."""
        return int(self.description["nnz"])

    @property
    def weights(self) -> Weights:
        """The type in which weights are stored."""
        return "uint8" if self.postings.tail_codes.dtype == np.uint8 else "float32"

    def vectors(self, numbers: Ints) -> csr_matrix:
        """Return stored vectors, CSR float32 (len(numbers), vocabulary_size).

        They are gathered from the postings: about a millisecond a call, or one pass over all
        postings where many are asked for.

        Args:
            numbers: those of documents inside the segment, int32.
        """
        from hybrid.kernels.postings import rows

        unique, inverse = np.unique(self.places[numbers], return_inverse=True)
        gather, key = rows.seek_rows, unique
        if len(unique) * self.vocabulary_size > self.nnz:
            gather, key = rows.read_rows, np.full(len(self), -1, dtype=np.int32)
            key[unique] = np.arange(len(unique), dtype=np.int32)
        lengths = np.zeros(len(unique), dtype=np.int64)
        none = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        gather(self.postings, key, lengths, lengths, *none)
        ends = np.cumsum(lengths)
        columns = np.empty(ends[-1] if len(ends) else 0, dtype=np.int32)
        data = np.empty(len(columns), dtype=np.float32)
        gather(self.postings, key, lengths, ends - lengths, columns, data)
        indptr = np.concatenate([[0], ends]).astype(np.int64)
        shape = (len(unique), self.vocabulary_size)
        return csr_matrix((data, columns, indptr), shape=shape)[inverse]


def _arrays(directory: Path, description: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    def array(name: str, kind: type[np.generic], *shape: int | None) -> NDArray[Any]:
        return open_array(directory / f"{name}.npy", kind, shape)

    order, scales = array("order", np.int32, None), array("scales", np.float32, None)
    documents, terms = len(order), len(scales)
    tiles = -(-documents // TILE)
    starts = array("head_starts", np.uint16, None, tiles)
    codes: type[np.generic] = np.uint8 if description["weights"] == "uint8" else np.float32
    places = array("tail_places", np.uint16, None)
    if description["format"] == 1:
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
    }


def _description(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(stored, dict) or "format" not in stored:
        raise CorruptIndexError(f"{path} is not the description of a sparse branch")
    if stored["format"] not in (1, FORMAT):
        raise IndexFormatError(
            f"The sparse index in {path.parent} has format {stored['format']!r:.80}; this "
            f"version reads formats 1 to {FORMAT}. Build the index again."
        )
    if type(stored.get("nnz")) is not int or stored.get("weights") not in ("uint8", "float32"):
        raise CorruptIndexError(f"{path} has no usable 'nnz' and 'weights'")
    return stored


def _repacked(maxima: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the block maxima of format 1, a code for each 64 documents, as those of today."""
    from hybrid.kernels.sparse.tiles import pack_maxima

    packed = np.empty((len(maxima), maxima.shape[1] * 64 // BLOCK // 2), dtype=np.uint8)
    for row in range(len(maxima)):
        pack_maxima(np.repeat(maxima[row], 64 // BLOCK), packed[row])
    return packed
