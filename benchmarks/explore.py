"""Exploration: one Optuna study over all judged queries, to see which choices matter.

It is in-sample: for a fusion to use, and what it is worth on other queries, there is ``tune``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluate.bench import Bench
from hybrid.tune.options import TuneOptions
from hybrid.tune.optuna_search import StudyOutcome
from hybrid.tune.search import Search
from hybrid.tune.space import Space


def explore(
    bench: Bench,
    options: TuneOptions | None = None,
    *,
    space: Space | None = None,
    progress: Callable[[int], None] | None = None,
) -> StudyOutcome:
    """Return what the trials over all queries found, the baselines among them.

    Args:
        bench: measures fusions.
        options: how many trials in all, those of earlier runs in a storage included; sampler and
            its seed, storage, pruning and time.
        space: what to choose from.
        progress: called with the number of newly finished trials.

    Raises:
        UsageError: fewer than one trial, or one branch.
    """
    options = options or TuneOptions()
    space = space or Space.of(bench.judged.pool)
    if options.trials < 1 or not space.sets():
        raise UsageError(
            f"{options.trials} trials over {len(space.branches)} branches; give 1 and 2"
        )
    search = Search(bench, space, options, progress=progress)
    everything = np.arange(len(bench.judged))
    return search.by_optuna(everything, list(space.baselines().values()))
