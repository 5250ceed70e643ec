from __future__ import annotations

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.index.documents.subset import checked_doc_nums


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint64])
def test_numbers_of_any_width_become_int32(kind: type) -> None:
    given = np.array([[3, 0], [4, 1]], dtype=kind)[:, ::-1]
    given.flags.writeable = False
    made = checked_doc_nums(given, 0, 5)
    assert made.dtype == np.int32
    assert made.flags.c_contiguous
    assert made.flags.writeable
    assert made.tolist() == [[0, 3], [1, 4]]


def test_an_array_that_fits_is_not_copied() -> None:
    given = np.array([2, -1], dtype=np.int32)
    assert checked_doc_nums(given, -1, 3) is given
    assert checked_doc_nums([], 0, 0).tolist() == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([2**32 + 3], "run from 4294967299 to 4294967299; the index has 5 documents"),
        ([0, 5], "run from 0 to 5"),
        ([-2], "run from -2 to -2"),
        ([0.5], "of type float64; whole numbers were expected"),
        ([True], "of type bool"),
        (["1"], "of type <U1"),
    ],
)
def test_what_is_no_document_is_refused(bad: list[object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked_doc_nums(np.array(bad), -1, 5)
