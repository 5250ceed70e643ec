"""Repeated K-fold: the whole search again without each part of the queries, side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process

import numpy as np
from numpy.typing import NDArray

from hybrid.tune.search import Choice, Queries, Search

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """Queries to choose from, those left out, and the seed of the search."""

    rest: Queries
    part: Queries
    seed: int


def repeated_folds(count: int, *, folds: int, repeats: int, seed: int) -> list[Fold]:
    """Return ``folds`` parts of ``count`` queries, ``repeats`` times over."""
    rng = np.random.default_rng(seed)
    found = []
    for repeat in range(repeats):
        order = rng.permutation(count)
        for fold, part in enumerate(np.array_split(order, min(folds, count))):
            rest = np.sort(np.setdiff1d(order, part))
            found.append(Fold(rest, part, seed + 1 + repeat * folds + fold))
    return found


def held_out_choices(search: Search) -> list[tuple[Fold, Choice]]:
    """Return the folds, each with what the whole search chose without its part.

    The options of the search say how many folds and repeats there are, in how many processes, and
    from which seed.
    """
    options, count = search.options, len(search.bench.judged)
    parts = repeated_folds(count, folds=options.folds, repeats=options.repeats, seed=options.seed)
    return list(zip(parts, _choices(search, parts), strict=True))


def held_out_values(
    search: Search, chosen: Sequence[tuple[Fold, Choice]] | None = None
) -> FloatArray:
    """Return each query's measure under the fusion chosen without it, float64 (queries,).

    The mean is over repeats; ``chosen`` is `held_out_choices` of the search.
    """
    total = np.zeros(len(search.bench.judged))
    for fold, choice in held_out_choices(search) if chosen is None else chosen:
        total[fold.part] += search.bench.values(choice.fusion)[fold.part]
    return total / search.options.repeats


def _choices(search: Search, parts: list[Fold]) -> Iterator[Choice]:
    jobs = search.options.jobs
    if jobs <= 1:
        yield from (search.choose(fold.rest, seed=fold.seed) for fold in parts)
        return
    # New processes, not forks: a fork of a process whose libraries run threads may hang.
    workers = min(jobs, len(parts))
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _receive, (search,)) as pool:
        for choice in pool.map(_choose, parts):
            if search.progress is not None:
                search.progress(max(1, search.options.trials))
            yield choice


_received: list[Search] = []


def _receive(search: Search) -> None:
    _received[:] = [search]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process where its parent is killed: it would write on, beside the next search."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _choose(fold: Fold) -> Choice:
    return _received[0].choose(fold.rest, seed=fold.seed)
