"""Export in the Common Index File Format, which PISA, Lucene, Terrier, JASS and others read.

Lin et al., "Supporting Interoperability Between Open-Source Search Engines with the Common Index
File Format", SIGIR 2020. One file: a header, the postings lists by term, then the documents, each a
Protocol Buffers message with its length in front; few enough kinds of field to be written here
without that package.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.integrations.formats.impacts import LARGEST_IMPACT, Rounding, checked_scale
from hybrid.machine.outputs import new_output

VERSION = 1
VARINT, FIXED64, BYTES = 0, 1, 2

Postings = Callable[[int], tuple[NDArray[np.integer[Any]], NDArray[np.floating[Any]]]]


@dataclass(frozen=True, slots=True)
class CiffExport:
    """The result of an export: file, counts, and the effect of rounding on the weights."""

    path: Path
    documents: int
    terms: int
    rounding: Rounding

    def to_dict(self) -> dict[str, object]:
        """Return the same as plain values, for ``--json``."""
        return {
            "format": "CIFF",
            "file": str(self.path),
            "documents": self.documents,
            "terms": self.terms,
            "weights": dict(self.rounding.to_dict()),
        }


def export_ciff(
    postings: Postings,
    path: str | Path,
    *,
    vocabulary: Sequence[str],
    doc_ids: Sequence[str],
    scale: float = 100.0,
    description: str = "",
    progress: Callable[[int], None] | None = None,
) -> CiffExport:
    """Write an inverted index as one CIFF file and return its counts.

    Terms come in code-point order, weights as integers in the place of term frequencies, and a
    document's length is the sum of its integers. Terms without a posting are left out.

    Args:
        postings: gives for a column its documents (ascending) and their weights (>= 0).
        path: must not exist.
        vocabulary: the term of each column.
        doc_ids: the id of each document number.
        scale: weight 1.0 becomes this integer.
        description: for the people who open the file.
        progress: told the number of newly written terms.

    Raises:
        OutputExistsError: ``path`` exists.
        StorageError: the disk is full or refuses.
        UsageError: a term that occurs in two columns, a weight that cannot become an integer, a
            document longer than 2^31 - 1, or a scale that is not over 0.
    """
    rounding = Rounding(checked_scale(scale))
    target = Path(path)
    order = _by_term(vocabulary)
    lengths = np.zeros(len(doc_ids), dtype=np.int64)
    with new_output(target) as temporary:
        body = temporary.with_name(temporary.name + ".body")
        try:
            with body.open("xb") as file:
                terms = _write_terms(file, postings, vocabulary, order, rounding, lengths, progress)
            if lengths.size and lengths.max() > LARGEST_IMPACT:
                raise UsageError(f"scale {scale} makes a document longer than 2^31 - 1; lower it")
            with temporary.open("xb") as file:
                file.write(_delimited(_header(terms, lengths, description)))
                with body.open("rb") as written:
                    shutil.copyfileobj(written, file)
                for number, doc_id in enumerate(doc_ids):
                    file.write(_delimited(_document(number, doc_id, int(lengths[number]))))
        finally:
            body.unlink(missing_ok=True)
    return CiffExport(target, len(doc_ids), terms, rounding)


def _by_term(vocabulary: Sequence[str]) -> list[int]:
    order = sorted(range(len(vocabulary)), key=vocabulary.__getitem__)
    for left, right in pairwise(order):
        if vocabulary[left] == vocabulary[right]:
            raise UsageError(
                f"term {vocabulary[left]!r} is the name of columns {left} and {right}; a CIFF file "
                "holds one list a term"
            )
    return order


def _write_terms(
    file: BinaryIO,
    postings: Postings,
    vocabulary: Sequence[str],
    order: Sequence[int],
    rounding: Rounding,
    lengths: NDArray[np.int64],
    progress: Callable[[int], None] | None,
) -> int:
    """Write the postings lists in ``order``, add to ``lengths``, return how many were written."""
    written = 0
    for column in order:
        doc_nums, weights = postings(column)
        impacts = rounding.impacts(np.asarray(weights))
        kept = impacts > 0
        if kept.any():
            docs = np.asarray(doc_nums, dtype=np.int64)[kept]
            lengths[docs] += impacts[kept]
            file.write(_delimited(_postings_list(vocabulary[column], docs, impacts[kept])))
            written += 1
        if progress is not None:
            progress(1)
    return written


def _header(terms: int, lengths: NDArray[np.int64], description: str) -> bytes:
    documents = len(lengths)
    total = int(lengths.sum())
    return (
        _number(1, VERSION)
        + _number(2, terms)
        + _number(3, documents)
        + _number(4, terms)
        + _number(5, documents)
        + _number(6, total)
        + _key(7, FIXED64)
        + struct.pack("<d", total / documents if documents else 0.0)
        + _text(8, description)
    )


def _postings_list(term: str, docs: NDArray[np.int64], impacts: NDArray[np.int64]) -> bytes:
    gaps = np.diff(docs, prepend=0)
    return (
        _text(1, term)
        + _number(2, len(docs))
        + _number(3, int(impacts.sum()))
        + _posting_fields(gaps, impacts)
    )


def _posting_fields(gaps: NDArray[np.int64], impacts: NDArray[np.int64]) -> bytes:
    """Return all ``Posting {docid: gap, tf: impact}`` messages of one list, as field 4 of it.

    One row of bytes for each posting, as wide as the widest could be; a mask then takes out the
    bytes that a row does not need.
    """
    gap_bytes, gap_used = _varints(gaps)
    impact_bytes, impact_used = _varints(impacts)
    n = len(gaps)
    columns = [
        np.full((n, 1), _key(4, BYTES)[0], np.uint8),
        (2 + gap_used.sum(axis=1) + impact_used.sum(axis=1))[:, None].astype(np.uint8),
        np.full((n, 1), _key(1, VARINT)[0], np.uint8),
        gap_bytes,
        np.full((n, 1), _key(2, VARINT)[0], np.uint8),
        impact_bytes,
    ]
    always = np.ones((n, 1), dtype=bool)
    used = [always, always, always, gap_used, always, impact_used]
    packed: bytes = np.hstack(columns)[np.hstack(used)].tobytes()
    return packed


def _varints(values: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the base-128 digits of values < 2^35, (n, 5), low first, and which of them count."""
    digits = values[:, None] >> np.arange(0, 35, 7)
    used = digits > 0
    used[:, 0] = True
    continued = np.hstack([used[:, 1:], np.zeros((len(values), 1), dtype=bool)])
    return ((digits & 0x7F) | (continued * 0x80)).astype(np.uint8), used


def _document(number: int, doc_id: str, length: int) -> bytes:
    return _number(1, number) + _text(2, doc_id) + _number(3, length)


def _number(field: int, value: int) -> bytes:
    return _key(field, VARINT) + _varint(value)


def _text(field: int, value: str) -> bytes:
    data = value.encode("utf-8")
    return _key(field, BYTES) + _varint(len(data)) + data


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _delimited(message: bytes) -> bytes:
    return _varint(len(message)) + message


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
