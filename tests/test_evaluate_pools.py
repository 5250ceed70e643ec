"""Pools are kept in the one cache, and found again by another process."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document
from hybrid.evaluate import pools
from hybrid.evaluate.pools import KIND, kept_pool
from hybrid.fusion.pool import Pool
from hybrid.machine.cache import Cache
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.search.view import View

QUERIES = {"1": "merge sorted lists", "2": "roll dice", "3": "xyzzy"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))


def held() -> int:
    return sum(each.entries for each in Cache().holdings() if each.kind == KIND)


def same(one: Pool, other: Pool) -> bool:
    """Return whether two pools have the same bytes."""
    values = [[getattr(each, f.name) for f in fields(Pool)] for each in (one, other)]
    return all(_same(a, b) for a, b in zip(*values, strict=True))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    return list(one) == list(other) if hasattr(one, "__len__") else bool(one == other)


def unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("searched again")

    monkeypatch.setattr(View, "pool", refuse)


def test_a_pool_is_searched_once_whatever_fusion_is_stored_between(
    tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(tiny_copy) as index:
        plain = index.view().pool(QUERIES, index.view().pool_plan())
        first = kept_pool(index.view(), QUERIES, index.view().pool_plan())
        assert held() == 1
        index.store_domain("default", "rrf(k=9)")
    unsearched(monkeypatch)
    with Index(tiny_copy) as index:
        again = kept_pool(index.view(), QUERIES, index.view().pool_plan())
    assert same(plain, first)
    assert same(first, again)


def test_other_queries_depths_filters_branches_and_documents_are_other_pools(
    tiny_copy: Path,
) -> None:
    with Index(tiny_copy) as index:
        view = index.view()
        plan = view.pool_plan()
        renamed = {"a": QUERIES["1"], "2": QUERIES["2"], "3": QUERIES["3"]}
        plans = [
            (QUERIES, plan),
            (renamed, plan),
            (dict(reversed(QUERIES.items())), plan),
            (QUERIES, view.pool_plan(SearchOptions(depth=2))),
            (QUERIES, view.pool_plan(branches=index.branches[:1])),
        ]
        keys = [view.pool_key(queries, each) for queries, each in plans]
        index.add([{"id": "new", "text": "merge dice"}])
        keys.append(index.view().pool_key(QUERIES, index.view().pool_plan()))
        index.update([{"id": "new", "text": "merge dice again"}])
        keys.append(index.view().pool_key(QUERIES, index.view().pool_plan()))
        index.delete(["heapq.merge"])
        keys.append(index.view().pool_key(QUERIES, index.view().pool_plan()))
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_another_filter_is_another_pool(tmp_path: Path) -> None:
    rows = [Document(str(n), "merge dice", fields={"year": 2000 + n}) for n in range(3)]
    build_index(rows, tmp_path / "years.idx", BuildOptions(sparse=None, dense=None))
    with Index(tmp_path / "years.idx") as index:
        view = index.view()
        filters = [None, "year > 2000", "year > 2001"]
        plans = [view.pool_plan(SearchOptions(filter=each)) for each in filters]
        assert len({view.pool_key(QUERIES, plan) for plan in plans} - {None}) == 3
        sizes = [len(kept_pool(view, QUERIES, plan).doc_nums) for plan in plans * 2]
    assert sizes[:3] == sizes[3:] == [6, 4, 2]


def test_each_backend_and_device_has_its_own_pool(tiny_copy: Path) -> None:
    running: list[dict[str, Any]] = [{}, {"backend": "onnx"}, {"device": "cpu"}]
    keys: dict[str, list[str | None]] = {"all": [], "bm25": []}
    for each in running:
        with Index(tiny_copy, **each) as index:
            view = index.view()
            keys["all"].append(view.pool_key(QUERIES, view.pool_plan()))
            keys["bm25"].append(view.pool_key(QUERIES, view.pool_plan(branches=["bm25"])))
    assert None not in keys["all"]
    assert len(set(keys["all"])) == 3
    assert len(set(keys["bm25"])) == 1  # no model runs


def test_a_pool_of_encoders_given_by_hand_is_not_kept(tiny_copy: Path) -> None:
    with Index(tiny_copy) as index:
        encoders = {name: index.view().encoder(name) for name in index.branches}
    with Index(tiny_copy, encoders=encoders) as index:
        plan = index.view().pool_plan()
        assert index.view().pool_key(QUERIES, plan) is None
        assert len(kept_pool(index.view(), QUERIES, plan)) == 3
    assert held() == 0


def test_a_pool_whose_queries_were_cut_warns_each_time(tiny_copy: Path) -> None:
    long = {"1": "merge " * 600}
    with Index(tiny_copy) as index:
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match="longer than the model"):
                kept_pool(index.view(), long, index.view().pool_plan())
    assert held() == 0


def test_a_large_pool_and_a_cache_that_cannot_be_written_cost_nothing_but_time(
    tiny_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(tiny_copy) as index:
        plan = index.view().pool_plan()
        monkeypatch.setattr(pools, "LARGEST", 0.0)
        assert len(kept_pool(index.view(), QUERIES, plan)) == 3
        assert held() == 0
        monkeypatch.undo()
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.warns(RuntimeWarning, match="the pool is not kept"):
            assert len(kept_pool(index.view(), QUERIES, plan)) == 3


def test_a_damaged_pool_is_made_again(tiny_copy: Path) -> None:
    with Index(tiny_copy) as index:
        plan = index.view().pool_plan()
        pool = kept_pool(index.view(), QUERIES, plan)
        (facts,) = Cache().root.glob(f"{KIND}/*/pool.json")
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"depth": 1}))
        with pytest.warns(RuntimeWarning, match="damaged"):
            assert same(pool, kept_pool(index.view(), QUERIES, plan))
