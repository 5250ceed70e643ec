"""The CIFF export, read back by a plain reader of the Protocol Buffers wire format."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csc_matrix, random

from hybrid.errors import OutputExistsError, UsageError
from hybrid.integrations.formats.ciff import _varint, _varints, export_ciff

Message = dict[int, list[object]]


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def message(data: bytes) -> Message:
    fields: Message = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        value: object
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            (value,) = struct.unpack_from("<d", data, at)
            at += 8
        else:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        fields.setdefault(key >> 3, []).append(value)
    return fields


def read(path: Path) -> tuple[Message, list[Message], list[Message]]:
    data, at, messages = path.read_bytes(), 0, []
    while at < len(data):
        length, at = varint(data, at)
        messages.append(message(data[at : at + length]))
        at += length
    terms = int(messages[0][2][0])  # type: ignore[call-overload]
    return messages[0], messages[1 : 1 + terms], messages[1 + terms :]


def test_round_trip_of_a_random_index(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    matrix = random(3000, 12, density=0.3, format="csc", dtype=np.float32, random_state=rng)
    matrix.data *= 4  # impacts of one to two bytes, gaps likewise
    matrix.data[matrix.indptr[4] : matrix.indptr[5]] = 0
    matrix.eliminate_zeros()
    vocabulary = [f"term{n}" for n in range(11)] + ["naïve"]
    doc_ids = [f"doc-{n}" for n in range(3000)]
    path = tmp_path / "index.ciff"
    export_ciff(matrix, path, vocabulary=vocabulary, doc_ids=doc_ids)
    header, lists, documents = read(path)
    expected = np.rint(matrix.toarray().astype(np.float64) * 100).astype(int)

    terms = [one[1][0].decode() for one in lists]  # type: ignore[attr-defined]
    assert terms == sorted(term for term in vocabulary if term != "term4")
    found = np.zeros_like(expected)
    for term, one in zip(terms, lists, strict=True):
        doc_num = 0
        for posting in map(message, one[4]):  # type: ignore[arg-type]
            doc_num += posting[1][0]  # type: ignore[operator]
            found[doc_num, vocabulary.index(term)] = posting[2][0]
        column = expected[:, vocabulary.index(term)]
        assert one[2] == [np.count_nonzero(column)]
        assert one[3] == [column.sum()]
    assert np.array_equal(found, expected)

    assert [record[2][0].decode() for record in documents] == doc_ids  # type: ignore[attr-defined]
    assert [record[1][0] for record in documents] == list(range(3000))
    assert [record[3][0] for record in documents] == expected.sum(axis=1).tolist()
    total = expected.sum()
    numbers = [header[field][0] for field in range(1, 8)]
    assert numbers == [1, 11, 3000, 11, 3000, total, pytest.approx(total / 3000)]
    assert header[8] == [b""]
    assert [file.name for file in tmp_path.iterdir()] == ["index.ciff"]


@given(st.lists(st.integers(0, 2**35 - 1), min_size=1, max_size=20))
def test_vectorised_varints_equal_the_plain_ones(values: list[int]) -> None:
    digits, used = _varints(np.array(values, dtype=np.int64))
    assert digits[used].tobytes() == b"".join(map(_varint, values))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**31 - 1, 2**40])
def test_varint(value: int) -> None:
    assert varint(_varint(value), 0) == (value, len(_varint(value)))


def test_one_document_and_none(tmp_path: Path) -> None:
    one = csc_matrix(np.array([[1.0]], dtype=np.float32))
    export_ciff(one, tmp_path / "one.ciff", vocabulary=["a"], doc_ids=["d"])
    _, lists, documents = read(tmp_path / "one.ciff")
    assert [message(posting) for posting in lists[0][4]] == [{1: [0], 2: [100]}]  # type: ignore[arg-type]
    assert documents == [{1: [0], 2: [b"d"], 3: [100]}]
    none = csc_matrix((0, 1), dtype=np.float32)
    export_ciff(none, tmp_path / "none.ciff", vocabulary=["a"], doc_ids=[])
    header, lists, documents = read(tmp_path / "none.ciff")
    assert (header[7], lists, documents) == ([0.0], [], [])


def test_refusals_leave_nothing(tmp_path: Path) -> None:
    matrix = csc_matrix(np.array([[1.0, 2.0]], dtype=np.float32))
    path = tmp_path / "out.ciff"
    with pytest.raises(UsageError, match="columns 0 and 1"):
        export_ciff(matrix, path, vocabulary=["a", "a"], doc_ids=["d"])
    with pytest.raises(UsageError, match="not negative"):
        export_ciff(-matrix, path, vocabulary=["a", "b"], doc_ids=["d"])
    with pytest.raises(UsageError, match="longer than"):
        export_ciff(matrix * 1e7, path, vocabulary=["a", "b"], doc_ids=["d"])
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        export_ciff(matrix, path, vocabulary=["a", "b"], doc_ids=["d"])
    assert path.read_bytes() == b"mine"
