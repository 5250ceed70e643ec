"""Optuna over the space: seeded, the known fusions enqueued, resumable where a storage is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hybrid.errors import UsageError
from hybrid.fusion import Fusion
from hybrid.tune.space import Space

SAMPLERS = ("tpe", "gp")


def optimise(
    space: Space,
    objective: Callable[[Fusion], float],
    *,
    enqueue: Sequence[Fusion],
    trials: int,
    seed: int,
    sampler: str = "tpe",
) -> Fusion:
    """Return the best of ``trials`` fusions that Optuna proposed, the enqueued ones first.

    Raises:
        UsageError: an unknown sampler.
    """
    study = quiet_study(sampler=make_sampler(sampler, seed))
    for fusion in enqueue:
        study.enqueue_trial(space.parameters(fusion))
    best, top = enqueue[0], float("-inf")
    for _ in range(max(trials, len(enqueue))):
        trial = study.ask()
        fusion = space.suggest(trial)
        value = objective(fusion)
        study.tell(trial, value)
        if value > top:
            best, top = fusion, value
    return best


def quiet_study(**options: Any) -> Any:
    """Return a new study that maximises, created without a line in the log."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction="maximize", **options)
    finally:
        optuna.logging.set_verbosity(before)


def make_sampler(name: str, seed: int) -> Any:
    """Return a seeded Optuna sampler.

    Raises:
        UsageError: an unknown name.
    """
    import optuna

    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    raise UsageError(f"sampler {name!r} is unknown; give one of {', '.join(SAMPLERS)}")
