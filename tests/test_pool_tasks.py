"""Pools of many queries as tasks: the bits of one process, and no index but the one meant."""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import hybrid
from hybrid.corpus import open_source
from hybrid.engines.addresses import open_place
from hybrid.errors import ClusterError, ModelError, UsageError
from hybrid.evaluate.pools import kept_pool
from hybrid.fusion.pool import Pool, join_pools
from hybrid.index.storage.writer import new_generation
from hybrid.machine.cache import Cache
from hybrid.search import tasks
from hybrid.search.encoders import QueryEncoders
from hybrid.search.tasks import PoolTask, pool_of_task
from hybrid.tune.on_index import DomainTask
from tests.conftest import WORDS
from tests.test_evaluate_pools import held, own_cache, same

__all__ = ["own_cache"]
COUNT = 1060
QUERIES = {
    f"q{number:04d}": " ".join(
        WORDS[(number * step + step) % len(WORDS)] for step in range(1, 2 + number % 17)
    )
    for number in range(COUNT)
}


@pytest.fixture(autouse=True)
def no_open_index() -> Iterator[None]:
    tasks._opened.cache_clear()
    yield
    tasks._opened.cache_clear()


class Elsewhere:
    """An executor that hands over bytes, as to another process, and takes the last task first."""

    def __init__(self, changed: Callable[[PoolTask], PoolTask] = lambda task: task) -> None:
        self.changed = changed
        self.ran: list[PoolTask] = []

    def run(self, function: Callable, tasks: Iterable[PoolTask]) -> Iterator:
        for task in reversed(list(tasks)):
            self.ran.append(task)
            sent = pickle.loads(pickle.dumps(self.changed(task)))  # noqa: S301
            yield task, pickle.loads(pickle.dumps(function(sent)))  # noqa: S301


@pytest.mark.parametrize("asked", [{}, {"depth": 3, "branches": ["dense", "bm25"]}])
def test_a_pool_of_tasks_has_the_bits_of_one_process(
    tiny_index: Path, asked: dict[str, object]
) -> None:
    executor = Elsewhere()
    with hybrid.open(tiny_index, device="cpu") as index:
        one = index.pool(QUERIES, **asked)
        many = index.pool(QUERIES, executor=executor, **asked)
    assert same(one, many)
    assert [len(task.queries) for task in executor.ran] == [COUNT - 1024, 1024]
    assert all(task.opening.address == tiny_index.absolute() for task in executor.ran)


def test_few_queries_or_none_are_a_pool_too(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        for queries in ({}, {"a": "merge"}, {"a": "xyzzy", "b": "merge"}):
            assert same(index.pool(queries), index.pool(queries, executor=Elsewhere()))


def test_a_search_of_tasks_has_the_run_of_one_process(tiny_index: Path, tiny_cross: Path) -> None:
    few = dict(list(QUERIES.items())[:5])
    with hybrid.open(tiny_index) as index:
        for options in (
            {"fusion": "rrf(k=60)", "distinct": True},
            {"k": 99},
            {"rerank": str(tiny_cross), "rerank_depth": 4},
        ):
            one = index.search(few, **options)
            many = index.search(few, executor=Elsewhere(), **options)
            assert [one.doc_ids(q) for q in one] == [many.doc_ids(q) for q in many]
            assert all(one.scores(q).tobytes() == many.scores(q).tobytes() for q in one)
            assert many["q0001"][0].doc_id == one["q0001"][0].doc_id
        assert index.search("merge", 2, executor=Elsewhere()) == index.search("merge", 2)


def test_evaluate_and_tune_measure_the_same(tiny_copy: Path, beir_folder: Path) -> None:
    source, executor = open_source(beir_folder), Elsewhere()
    options = hybrid.TuneOptions(trials=0, folds=2, repeats=1)
    with hybrid.open(tiny_copy) as index:
        many = hybrid.evaluate_systems(index, source, executor=executor)
        assert len(executor.ran) == 1
        assert hybrid.evaluate_systems(index, source, executor=executor).to_dict() == many.to_dict()
        assert len(executor.ran) == 1  # the pool was kept
        assert held() == 1
        tuned = hybrid.tune_index(index, source, options, executor=executor)
        tuned_here = hybrid.tune_index(index, source, options)
        domains = [DomainTask(name, source, index) for name in ("one", "other")]
        several = hybrid.tune_indexes(domains, options, store=False, executor=executor)
        several_here = hybrid.tune_indexes(domains, options, store=False)
    assert tuned.to_dict() == tuned_here.to_dict()
    assert several.to_dict() == several_here.to_dict()
    assert many.to_dict() == _anew(tiny_copy, beir_folder)


def _anew(index_dir: Path, folder: Path) -> dict[str, object]:
    Cache().clear()
    with hybrid.open(index_dir) as index:
        return hybrid.evaluate_systems(index, open_source(folder)).to_dict()


def test_a_worker_opens_an_index_once_and_another_generation_anew(tiny_copy: Path) -> None:
    executor = Elsewhere()
    with hybrid.open(tiny_copy) as index:
        for text in ("merge", "random", "thread"):
            kept_pool(index.view(), {"a": text}, index.view().pool_plan(), executor)
        assert tasks._opened.cache_info().misses == 1
        index.delete(["re.match"])
        assert same(index.pool(["match"], executor=executor), index.pool(["match"]))
        assert tasks._opened.cache_info().misses == 2
    assert len({task.generation for task in executor.ran}) == 2


def test_threads_of_a_worker_open_an_index_once(
    tiny_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, real = [], tasks.open_place

    def slow(*given: object) -> object:
        opened.append(given)
        time.sleep(0.05)
        return real(*given)

    monkeypatch.setattr(tasks, "open_place", slow)
    executor = Elsewhere()
    with hybrid.open(tiny_index) as index:
        index.pool(["merge"], executor=executor)
    tasks._opened.cache_clear()
    opened.clear()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(pool_of_task, executor.ran * 8))
    assert len(opened) == 1


def test_a_name_that_an_engine_gave_to_another_push_is_opened_again(
    tiny_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_copy, tmp_path / "before")
    with hybrid.open(tiny_copy) as index:
        index.delete(["re.match"])
    old, real, opened = open_place(tmp_path / "before"), tasks.open_place, []

    def stale_first(*given: object) -> object:
        opened.append(given)
        return old if len(opened) == 1 else real(*given)

    monkeypatch.setattr(tasks, "open_place", stale_first)
    with hybrid.open(tiny_copy) as index:
        assert same(index.pool(["merge"], executor=Elsewhere()), index.pool(["merge"]))
    assert len(opened) == 2


def test_a_model_that_the_client_cannot_load_costs_no_search(
    tiny_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Elsewhere()
    with hybrid.open(tiny_index) as index:
        monkeypatch.setattr(QueryEncoders, "get", Mock(side_effect=ModelError("no such weights")))
        with pytest.raises(ModelError, match="no such weights"):
            index.pool(["merge"], executor=executor)
    assert executor.ran == []


def test_an_index_that_is_not_there_or_another_is_refused(tiny_copy: Path, tmp_path: Path) -> None:
    def at(path: Path) -> Elsewhere:
        def moved(task: PoolTask) -> PoolTask:
            return replace(task, opening=replace(task.opening, address=path))

        return Elsewhere(moved)

    with hybrid.open(tiny_copy) as index:
        with pytest.raises(ClusterError, match=r"a worker cannot open generation .* push it to a"):
            index.pool(["merge"], executor=at(tmp_path / "nowhere"))
        for change in ({"key": "0"}, {"depth": 7}):
            with pytest.raises(ClusterError, match="a worker has other files of"):
                index.pool(["merge"], executor=Elsewhere(lambda task, c=change: replace(task, **c)))
        gone = Elsewhere(lambda task: replace(task, generation="gen-000099-00000000"))
        with pytest.raises(ClusterError, match="cannot open generation gen-000099"):
            index.pool(["merge"], executor=gone)


def test_an_index_that_somebody_writes_to_is_searched(tiny_copy: Path) -> None:
    with hybrid.open(tiny_copy) as index, new_generation(tiny_copy, create=False):
        assert same(index.pool(["merge"], executor=Elsewhere()), index.pool(["merge"]))


def test_encoders_that_were_given_are_not_sent(tiny_index: Path, tiny_dense: Path) -> None:
    with (
        hybrid.open(tiny_index, models={"dense": str(tiny_dense)}) as index,
        pytest.raises(UsageError, match="open the index without encoders, models"),
    ):
        index.pool(["merge"], executor=Elsewhere())


def test_an_empty_query_and_a_lost_task_are_refused(tiny_index: Path) -> None:
    class Forgetful(Elsewhere):
        def run(self, function: Callable, tasks: Iterable[PoolTask]) -> Iterator:
            yield from list(super().run(function, tasks))[1:]

    with hybrid.open(tiny_index) as index:
        with pytest.raises(UsageError, match="query 'b' is empty"):
            index.pool({"a": "merge", "b": " "}, executor=Elsewhere())
        with pytest.raises(ClusterError, match="returned 1 of 2 pools"):
            index.pool(QUERIES, branches=["bm25"], executor=Forgetful())


def test_queries_that_are_cut_are_told_here(tiny_index: Path) -> None:
    with (
        hybrid.open(tiny_index) as index,
        pytest.warns(RuntimeWarning, match="1 of 1 queries are longer than the model of branch"),
    ):
        index.pool(["merge sorted lists " * 40], executor=Elsewhere())


def test_joined_pools_are_those_that_were_parted(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        whole = index.pool(dict(list(QUERIES.items())[:9]))
    parts = [whole.select(np.arange(a, b)) for a, b in ((0, 4), (4, 4), (4, 9))]
    assert same(join_pools(parts, whole.doc_ids), whole)
    assert isinstance(parts[1], Pool)
