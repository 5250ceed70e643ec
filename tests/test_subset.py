from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import UsageError
from hybrid.index.documents.subset import DENSE, Subset


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_numbers_and_mask_are_the_same_subset(count: int, data: st.DataObject) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    mask = np.zeros(count, dtype=np.bool_)
    mask[chosen] = True
    for given_ in (np.array(chosen, dtype=np.int32), np.array(chosen, dtype=np.int64), mask):
        subset = Subset.of(given_, count)
        assert Subset.of(subset, count) is subset
        assert len(subset) == len(chosen)
        assert subset.doc_nums.dtype == np.int32
        assert subset.doc_nums.tolist() == chosen
        assert subset.mask.tolist() == mask.tolist()
        assert subset.dense == (count <= len(chosen) * DENSE)


@pytest.mark.parametrize("count", [5, 5 * DENSE])
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([3, 1], "ascending"),
        ([1, 1], "ascending"),
        ([[1]], "one-dimensional"),
        ([-1, 2], "run from -1 to 2; the index has"),
        ([2, 10_000], "run from 2 to 10000; the index has"),
    ],
)
def test_what_is_no_subset_is_refused(count: int, bad: list[int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Subset.of(np.array(bad, dtype=np.int32), count)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([2**32 + 3], "run from 4294967299 to 4294967299"),
        ([0.5, 1.7], "whole numbers were expected"),
        (["1"], "whole numbers were expected"),
    ],
)
def test_numbers_that_int32_cannot_hold_are_refused_not_cut(bad: list[object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Subset.of(np.array(bad), 5)


@pytest.mark.parametrize("made", [np.array([0, 2], dtype=np.int32), np.array([True, False, True])])
def test_a_read_only_subset_needs_no_kernel_of_its_own(made: np.ndarray) -> None:
    made.flags.writeable = False
    subset = Subset.of(made, 3)
    assert subset.doc_nums.tolist() == [0, 2]
    assert subset.doc_nums.flags.writeable
    assert subset.mask.flags.writeable


def test_one_of_another_index_is_refused() -> None:
    with pytest.raises(UsageError, match=r"mask has shape \(4,\); the index has 5"):
        Subset.of(np.ones(4, dtype=np.bool_), 5)
    with pytest.raises(UsageError, match="index of 4 documents is given to one of 5"):
        Subset.of(Subset.of(np.ones(4, dtype=np.bool_), 4), 5)


def test_nothing_and_no_documents() -> None:
    none = np.empty(0, dtype=np.int32)
    for count in (0, 1, 1000):
        subset = Subset.of(none, count)
        assert (len(subset), subset.mask.sum(), len(subset.doc_nums)) == (0, 0, 0)
    with pytest.raises(UsageError, match="the index has 0 documents"):
        Subset.of(np.array([0], dtype=np.int32), 0)


@given(st.lists(st.integers(0, 6), max_size=40))
@settings(deadline=None)
def test_ascending_is_strictly_so(numbers: list[int]) -> None:
    ascending = sorted(set(numbers))
    assert len(Subset.of(np.array(ascending, dtype=np.int32), 7)) == len(ascending)
    if ascending != numbers:
        with pytest.raises(UsageError, match="must be one-dimensional, ascending"):
            Subset.of(np.array(numbers, dtype=np.int32), 7)
