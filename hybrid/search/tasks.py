"""The pool of many queries, a group of them a task that another process can search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from threading import Lock
from typing import TYPE_CHECKING

from hybrid.encoders.batching import CHUNK
from hybrid.engines.addresses import open_place
from hybrid.errors import ClusterError, HybridError, UsageError
from hybrid.fusion.pool import Pool, join_pools
from hybrid.index.device import SearchDevice
from hybrid.index.place import Place
from hybrid.machine.cache import cache_key
from hybrid.machine.passwords import shown
from hybrid.search.branches import pool_of, search_branches
from hybrid.search.encoders import QueryEncoders, warn_of_cut
from hybrid.search.options import SearchOptions
from hybrid.search.plan import PoolPlan, plan_pool
from hybrid.version import __version__

if TYPE_CHECKING:
    from hybrid.build.tasks import Executor

_ONE_AT_A_TIME = Lock()
"""Threads of a worker open an index, and load its models, one after the other."""


@dataclass(frozen=True)
class Opening:
    """How an index is opened in another process; see `hybrid.open`."""

    address: str | Path = field(repr=False)  # it may hold a password
    device: str
    batch_size: int | None
    backend: str | None


@dataclass(frozen=True)
class PoolTask:
    """A group of queries, and the index that they are searched in.

    Attributes:
        key: see `pool_key`; a worker whose key is another one refuses the task.
        generation: the name of the one that is searched.
        queries: pairs of query id and text.
    """

    key: str
    opening: Opening
    generation: str
    queries: tuple[tuple[str, str], ...]
    branches: tuple[str, ...]
    depth: int
    filter: str | None


def pool_key(
    index: Place, encoders: QueryEncoders, queries: Mapping[str, str], plan: PoolPlan
) -> str | None:
    """Return a key of the pool of some queries, equal in every process; None for none.

    It stays as fusions are stored. Each device and backend has its own, as they change scores a
    little. There is none where an encoder was given by hand, or runs in torch because the recorded
    backend cannot run: it need not encode queries as another of its fingerprint does.
    """
    if not encoders.are_recorded(plan.branches):
        return None
    asked = list(plan.branches), plan.depth, plan.filter
    records = {name: index.record(name) for name in plan.branches}
    described = {
        name: [dict(record.fingerprint), encoders.described(name, record)]
        for name, record in records.items()
    }
    files, texts = index.generation.checksums, list(queries.values())
    return cache_key(__version__, files, described, asked, list(queries), texts)


def spread_pool(
    index: Place,
    encoders: QueryEncoders,
    opening: Opening,
    queries: Mapping[str, str],
    plan: PoolPlan,
    executor: Executor,
) -> Pool:
    """Return the pool of some queries, searched by an executor: every bit is as in one process.

    Raises:
        UsageError: an empty query, or encoders that a worker cannot load.
        ClusterError: a worker finds no index, or another one.
        ModelError: a worker cannot load a model of the index.
    """
    named = list(queries.items())
    # Models encode so many texts at a time: those of a group meet in one process, too.
    groups = [named[start : start + CHUNK] for start in range(0, len(named), CHUNK)]
    tasks = [_task(index, encoders, opening, group, plan) for group in groups]
    loaded = {name: encoders.get(index, name) for name in plan.branches}  # before others search
    found = {task.key: pool for task, pool in executor.run(pool_of_task, tasks)}
    if lacking := sum(task.key not in found for task in tasks):
        raise ClusterError(
            f"the executor returned {len(tasks) - lacking} of {len(tasks)} pools; mend it and "
            "search again"
        )
    for name, encoder in loaded.items():
        warn_of_cut(name, encoder, list(queries.values()))
    return join_pools([found[task.key] for task in tasks], index.doc_ids)


def _task(
    index: Place,
    encoders: QueryEncoders,
    opening: Opening,
    group: Sequence[tuple[str, str]],
    plan: PoolPlan,
) -> PoolTask:
    key = pool_key(index, encoders, dict(group), plan)
    if key is None:
        raise UsageError(
            "the queries have encoders that were given here, or that run in torch in place of the "
            "index's backend, and workers have others; open the index without encoders, models "
            "and --model, or search without an executor"
        )
    name = index.generation.name
    return PoolTask(key, opening, name, tuple(group), plan.branches, plan.depth, plan.filter)


def pool_of_task(task: PoolTask) -> Pool:
    """Return the pool of a task without the ids of documents, searched in this process.

    Raises:
        ClusterError: the index is not here, or is another than that of the task.
        ModelError: a model of the index cannot be loaded here.
    """
    place = f"{shown(task.opening.address)} in {gethostname()}"
    queries, options = dict(task.queries), SearchOptions(depth=task.depth, filter=task.filter)
    with _ONE_AT_A_TIME:  # or each thread of a worker would load the models
        for _ in range(2):
            try:
                index, encoders = _opened(task.opening, task.generation)
            except (HybridError, OSError) as error:
                raise ClusterError(
                    f"a worker cannot open generation {task.generation} of {place}: {error}. Put "
                    "the index where every worker finds it by this path, or push it to a URL and "
                    "search that"
                ) from error
            plan = plan_pool(index, task.branches, options)
            for name in plan.branches:
                encoders.get(index, name)
            if pool_key(index, encoders, queries, plan) == task.key:
                break
            _opened.cache_clear()  # an engine may have given the name to a new push
        else:
            raise ClusterError(
                f"a worker has other files of {place}, another version of this library, which is "
                f"{__version__} there, or runs queries otherwise than the client; make both the "
                "same"
            )
    results = search_branches(index, encoders, queries, plan)
    return replace(pool_of(index, queries, results, plan), doc_ids=())


@lru_cache(maxsize=2)
def _opened(opening: Opening, generation: str) -> tuple[Place, QueryEncoders]:
    """Return a generation of an index and its encoders; a worker opens and loads them once."""
    device = SearchDevice(opening.device)
    encoders = QueryEncoders(
        device=device.encoder_device, batch_size=opening.batch_size, backend=opening.backend
    )
    return open_place(opening.address, device, generation), encoders
