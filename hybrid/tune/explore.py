"""Exploration: one Optuna study over all judged queries, kept on disk, resumed, and looked into.

It shows which choices matter. It is in-sample: for a fusion to use, and what it is worth on other
queries, there is ``tune``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.fusion import Fusion
from hybrid.tune.bench import Bench
from hybrid.tune.optuna_search import make_sampler, quiet_study
from hybrid.tune.space import Space

SUFFIXES = {".db": "sqlite", ".sqlite": "sqlite", ".journal": "journal", ".log": "journal"}
BLOCK = 20


@dataclass(frozen=True)
class Exploration:
    """What a study found.

    Attributes:
        best: the fusion of greatest mean in sample.
        value: that mean.
        finished, pruned: trials of each kind, those of earlier runs included.
        importance: parameter to its share of the variance of the objective, greatest first;
            empty where fewer than two trials finished or nothing varied.
    """

    best: Fusion
    value: float
    finished: int
    pruned: int
    importance: dict[str, float]


def explore(
    bench: Bench,
    *,
    space: Space | None = None,
    trials: int = 200,
    seed: int = 0,
    sampler: str = "tpe",
    storage: str | Path | None = None,
    prune: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Exploration:
    """Return what ``trials`` trials over all queries found, going on from those in ``storage``.

    Args:
        bench: measures fusions.
        space: what to choose from.
        trials: in all, earlier runs included.
        seed: of the sampler.
        sampler: "tpe" or "gp".
        storage: an SQLite file (.db, .sqlite) or a journal (.journal, .log); memory where None.
        prune: stop a trial early by Optuna's Wilcoxon test on per-query values. Here a whole trial
            takes about a millisecond, so this costs more time than it saves.
        progress: called with 1 after each trial.

    Raises:
        UsageError: fewer than one trial, one branch, or a storage of another kind.
    """
    import optuna

    space = space or Space(bench.branches)
    if trials < 1 or not space.sets():
        raise UsageError(f"{trials} trials over {len(space.branches)} branches; give 1 and 2")
    kept = _storage(storage)
    study = quiet_study(
        sampler=make_sampler(sampler, seed),
        storage=kept,
        study_name=f"hybrid {bench.measure} {' '.join(space.branches)}",
        load_if_exists=True,
        pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.1) if prune else None,
    )
    if not study.trials:
        for fusion in space.baselines().values():
            if fusion.method in space.methods:
                study.enqueue_trial(space.parameters(fusion))
    order = np.random.default_rng(seed).permutation(len(bench.judged))
    while len(_ended(study)) < trials:
        trial = study.ask()
        values = bench.values(space.suggest(trial))
        if prune and _stopped(trial, values, order):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, float(values.mean()))
        if progress is not None:
            progress(1)
    pruned = sum(t.state == optuna.trial.TrialState.PRUNED for t in study.trials)
    best = space.suggest(optuna.trial.FixedTrial(study.best_trial.params))
    ended = len(_ended(study))
    return Exploration(best, float(study.best_value), ended - pruned, pruned, _importance(study))


def _ended(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.is_finished()]


def _stopped(trial: Any, values: Any, order: Any) -> bool:
    for place, query in enumerate(order):
        trial.report(float(values[query]), int(query))
        if place % BLOCK == BLOCK - 1 and trial.should_prune():
            return True
    return False


def _importance(study: Any) -> dict[str, float]:
    import optuna

    # Every trial has the method; other parameters exist in some trials only and cannot be held
    # against each other over all of them.
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    except (ValueError, RuntimeError):
        return {}
    return {name: float(share) for name, share in found.items()}


def _storage(path: str | Path | None) -> Any:
    import optuna

    if path is None:
        return None
    kind = SUFFIXES.get(Path(path).suffix)
    if kind == "sqlite":
        return f"sqlite:///{Path(path).resolve()}"
    if kind == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        return optuna.storages.JournalStorage(backend)
    raise UsageError(f"storage {str(path)!r} has no known suffix; give {', '.join(SUFFIXES)}")
