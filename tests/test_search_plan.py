"""What a search says of itself: how many documents, fusion and depth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hybrid
from hybrid.errors import UsageError


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


def test_an_index_that_recorded_a_measured_recall_still_opens(tiny_copy: Path) -> None:
    """The table of earlier versions is left where it is and not read."""
    with hybrid.open(tiny_copy) as index:
        expected = index.search("parse json", 5)
    (description,) = tiny_copy.glob("**/sparse/sparse.json")
    described = json.loads(description.read_text())
    described["approximations"] = [{"shrink": 0.9, "recall": 0.9, "depth": 10, "queries": 128}]
    description.chmod(0o644)
    description.write_text(json.dumps(described))
    with hybrid.open(tiny_copy) as index:
        assert index.search("parse json", 5) == expected
