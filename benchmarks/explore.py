"""Exploration: one Optuna study over all judged queries, to see which choices matter.

It is in-sample: for a fusion to use, and what it is worth on other queries, there is ``tune``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluate.bench import Bench
from hybrid.tune.optuna_search import StudyOptions, StudyOutcome
from hybrid.tune.search import Search
from hybrid.tune.space import Space


def explore(
    bench: Bench,
    *,
    space: Space | None = None,
    trials: int = 200,
    seed: int = 0,
    options: StudyOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> StudyOutcome:
    """Return what ``trials`` trials over all queries found, the baselines among them.

    Args:
        bench: measures fusions.
        space: what to choose from.
        trials: in all, those of earlier runs in a storage included.
        seed: of the sampler.
        options: sampler, storage, pruning and time.
        progress: called with the number of newly finished trials.

    Raises:
        UsageError: fewer than one trial, or one branch.
    """
    space = space or Space.of(bench.judged.pool)
    if trials < 1 or not space.sets():
        raise UsageError(f"{trials} trials over {len(space.branches)} branches; give 1 and 2")
    search = Search(bench, space, trials=trials, seed=seed, study=options, progress=progress)
    everything = np.arange(len(bench.judged))
    return search.by_optuna(everything, list(space.baselines().values()), seed)
