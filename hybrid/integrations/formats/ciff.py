"""Export in the Common Index File Format, which PISA, Lucene, Terrier, JASS and others read.

Lin et al., "Supporting Interoperability Between Open-Source Search Engines with the Common Index
File Format", SIGIR 2020. One file: a header, the postings lists by term, then the documents, each a
Protocol Buffers message with its length in front; few enough kinds of field to be written here
without that package.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from hybrid.errors import UsageError
from hybrid.integrations.formats.impacts import LARGEST_IMPACT, Rounding
from hybrid.machine.outputs import new_output

VERSION = 1
VARINT, FIXED64, BYTES = 0, 1, 2


def export_ciff(
    weights: csc_matrix, path: Path, *, vocabulary: Sequence[str], doc_ids: Sequence[str]
) -> None:
    """Write the weights of an inverted index as one CIFF file.

    Terms come in code-point order, weights as integers in the place of term frequencies, and a
    document's length is the sum of its integers. Terms without a posting are left out.

    Args:
        weights: CSC (documents, vocabulary), >= 0.
        path: must not exist.
        vocabulary: the term of each column.
        doc_ids: the id of each document number.

    Raises:
        OutputExistsError: ``path`` exists.
        StorageError: the disk is full or refuses.
        UsageError: a term that occurs in two columns, a weight that cannot become an integer, or a
            document longer than 2^31 - 1.
    """
    rounded = Rounding().impacts(weights.data)
    impacts = csc_matrix((rounded, weights.indices.copy(), weights.indptr.copy()), weights.shape)
    impacts.eliminate_zeros()
    impacts.sort_indices()
    lengths = np.asarray(impacts.sum(axis=1)).ravel()
    if lengths.max(initial=0) > LARGEST_IMPACT:
        raise UsageError("a document is longer than 2^31 - 1, which a CIFF file cannot hold")
    ends = impacts.indptr
    columns = [each for each in _by_term(vocabulary) if ends[each] < ends[each + 1]]
    with new_output(path) as target, target.open("xb") as file:
        file.write(_delimited(_header(len(columns), lengths)))
        for column in columns:
            span = slice(ends[column], ends[column + 1])
            docs = impacts.indices[span].astype(np.int64)
            file.write(_delimited(_postings_list(vocabulary[column], docs, impacts.data[span])))
        for number, doc_id in enumerate(doc_ids):
            file.write(_delimited(_document(number, doc_id, int(lengths[number]))))


def _by_term(vocabulary: Sequence[str]) -> list[int]:
    order = sorted(range(len(vocabulary)), key=vocabulary.__getitem__)
    for left, right in pairwise(order):
        if vocabulary[left] == vocabulary[right]:
            raise UsageError(
                f"term {vocabulary[left]!r} is the name of columns {left} and {right}; a CIFF file "
                "holds one list a term"
            )
    return order


def _header(terms: int, lengths: NDArray[np.int64]) -> bytes:
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
        + _text(8, "")
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
