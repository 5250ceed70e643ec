"""What a search says of itself: how many documents, fusion and depth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import hybrid
from hybrid.errors import UsageError
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings


def test_the_plan_says_how_it_searches(tiny_copy: Path) -> None:
    with hybrid.open(tiny_copy) as index:
        plan = index.plan(5, depth=7)
        assert (plan.k, plan.depth, str(plan.fusion)) == (5, 7, "cc(norm=minmax)")
        assert plan.filter is None


def test_what_cannot_be_had_is_refused(tiny_copy: Path) -> None:
    with hybrid.open(tiny_copy) as index:
        for depth in (0, -3):
            with pytest.raises(UsageError, match=f"depth is {depth}; give 1 or more"):
                index.search("merge", depth=depth)
        with pytest.raises(UsageError, match="a search takes no 'recall'"):
            index.search("merge", recall=0.9)  # type: ignore[call-arg]


def test_an_index_that_recorded_a_measured_recall_still_opens(tmp_path: Path) -> None:
    """The table of earlier versions is left where it is and not read."""
    rows = csr_matrix(np.eye(4, dtype=np.float32) + np.float32(0.5))
    write_postings([rows], tmp_path, SparseOptions(vocabulary_size=4))
    expected = InvertedIndex.open(tmp_path).search(rows, 3)
    path = tmp_path / "sparse.json"
    measured = {"shrink": 0.9, "recall": 0.9, "depth": 10, "queries": 128}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"approximations": [measured]}))
    found = InvertedIndex.open(tmp_path).search(rows, 3)
    assert expected[0].tolist() == found[0].tolist()
    assert expected[1].tolist() == found[1].tolist()
