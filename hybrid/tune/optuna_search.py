"""Optuna over the space: seeded, known fusions first, kept and resumed where a storage is given.

Each trial has a sampler of its own, seeded by the study's seed and the number of finished trials.
So a study that was stopped and goes on proposes what it would have proposed in one go. The study is
held in memory; a storage is given each trial whole when it is finished, so that a process that was
killed leaves nothing half done in it. One search at a time writes to a storage.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.fusion import METHODS, Fusion
from hybrid.index.storage.lock import writer_lock
from hybrid.machine.files import refusals
from hybrid.tune.options import SUFFIXES, TuneOptions
from hybrid.tune.space import Space

BLOCK = 20
PATIENCE = 60
GAIN = 1e-4
"""A search ends where so many proposals in a row have not raised the best mean by this much."""
Values = Callable[[Fusion], NDArray[np.float64]]


def run_study(
    space: Space,
    values: Values,
    options: TuneOptions,
    *,
    known: Sequence[Fusion],
    name: str = "",
    progress: Callable[[int], None] | None = None,
) -> StudyOutcome:
    """Return the outcome of the trials, ``known`` fusions first, kept trials not repeated.

    Args:
        space: what to choose from.
        values: the measure of each query under a fusion; its mean is maximised.
        options: how many trials at most, though every known fusion is tried; sampler and its seed,
            storage, pruning and time. Where further ones cannot matter, there are fewer.
        known: fusions of the space that are tried before anything is proposed.
        name: of the study in the storage.
        progress: called with the number of newly finished trials.
    """
    start = time.monotonic()
    study, kept = _open_study(options, name)
    distributions = _distributions(space)
    trials, seed = options.trials, options.seed
    done = len(_ended(study))
    if progress is not None and done:
        progress(min(done, trials))
    for number in range(done, max(trials, len(known))):
        if _settled(study, len(known)):
            if progress is not None and number < trials:
                progress(trials - number)
            break
        late = options.seconds is not None and time.monotonic() - start > options.seconds
        if late and number >= max(1, len(known)):
            break
        if number < len(known):
            _add_known(study, space, known[number], values)
        else:
            drawn = (seed * 1_000_003 + number) % 2**32
            study.sampler = make_sampler(options.sampler, drawn, distributions)
            _ask(study, space, values, options.prune, seed)
        if kept is not None:
            kept.add_trial(study.get_trials(deepcopy=False)[-1])
        if progress is not None and number < trials:
            progress(1)
    return _outcome(study, space, len(known))


def _distributions(space: Space) -> dict[str, Any]:
    """Return the distribution of every parameter that has more than one value."""
    import optuna

    method = space.methods[0]
    any_fusion = Fusion(method, norm=space.norms[0] if METHODS[method].norm else "")
    fixed = optuna.trial.FixedTrial(space.parameters(any_fusion))
    space.suggest(fixed)
    return {name: each for name, each in sorted(fixed.distributions.items()) if not each.single()}


def _add_known(study: Any, space: Space, fusion: Fusion, values: Values) -> None:
    import optuna

    fixed = optuna.trial.FixedTrial(space.parameters(fusion))
    found = values(space.suggest(fixed))
    trial = optuna.trial.create_trial(
        params=fixed.params,
        distributions=fixed.distributions,
        value=float(found.mean()),
        # The pruner holds later trials against the values that the best one reported.
        intermediate_values=dict(enumerate(found.tolist())) if _prunes(study) else {},
    )
    study.add_trial(trial)


def _ask(study: Any, space: Space, values: Values, prune: bool, seed: int) -> None:
    import optuna

    trial = study.ask()
    found = values(space.suggest(trial))
    if prune and _stopped(trial, found, np.random.default_rng(seed).permutation(len(found))):
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, float(found.mean()))


def _stopped(trial: Any, values: NDArray[np.float64], order: NDArray[np.int64]) -> bool:
    for place, query in enumerate(order):
        trial.report(float(values[query]), int(query))
        if place % BLOCK == BLOCK - 1 and trial.should_prune():
            return True
    return False


def _prunes(study: Any) -> bool:
    import optuna

    return isinstance(study.pruner, optuna.pruners.WilcoxonPruner)


def _ended(study: Any) -> list[Any]:
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.is_finished()]


def _is_complete(trial: Any) -> bool:
    import optuna

    return bool(trial.state == optuna.trial.TrialState.COMPLETE)


def _settled(study: Any, known: int) -> bool:
    """Return whether further proposals cannot matter: the last ones gained next to nothing.

    Only finished trials are looked at, so a study that goes on ends where it would have in one go.
    """
    values = [trial.value if _is_complete(trial) else -np.inf for trial in _ended(study)]
    if len(values) < known + PATIENCE:
        return False
    return bool(max(values[-PATIENCE:]) <= max(values[:-PATIENCE], default=-np.inf) + GAIN)


def _outcome(study: Any, space: Space, known: int) -> StudyOutcome:
    import optuna

    ended = _ended(study)
    complete = [trial for trial in ended if _is_complete(trial)]
    best = max(complete, key=lambda trial: (trial.value, -trial.number))
    pruned = sum(t.state == optuna.trial.TrialState.PRUNED for t in ended)
    fusion = space.suggest(optuna.trial.FixedTrial(best.params))
    importance = partial(_importance, study, known, space.unread(fusion))
    return StudyOutcome(fusion, float(best.value), len(ended) - pruned, pruned, importance)


def _importance(study: Any, known: int, unread: set[str]) -> Mapping[str, float]:
    """Return each parameter's share over the proposed trials, all but the ``unread`` ones.

    Known fusions are left out: what they do not read stands at one value in all of them. What the
    best fusion does not read is left out, too: the sampler draws it near where it was by chance.
    """
    import optuna

    proposed = _new_study()
    proposed.add_trials(_ended(study)[known:])
    with warnings.catch_warnings():
        # Where all trials are as good as each other it warns that all parameters are equal.
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(
                proposed, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        except (ValueError, RuntimeError):
            return {}
    read = {name: float(share) for name, share in found.items() if name not in unread}
    whole = sum(read.values())
    return {name: share / whole for name, share in read.items()} if whole > 0 else {}


def _new_study(**options: Any) -> Any:
    """Return a study that maximises, created without a line in the log."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction="maximize", **options)
    finally:
        optuna.logging.set_verbosity(before)


def _open_study(options: TuneOptions, name: str) -> tuple[Any, Any]:
    """Return the study in memory, with the trials that the storage kept, and that of the storage.

    Raises:
        UsageError: the file is no storage of trials.
    """
    study = _new_study(pruner=_wilcoxon() if options.prune else None)
    if options.storage is None:
        return study, None
    try:
        kept = _new_study(storage=_storage(options.storage), study_name=name, load_if_exists=True)
        study.add_trials(_ended(kept))
    except Exception as error:
        raise UsageError(
            f"{options.storage} cannot be read as a storage of trials ({error}); give a new file, "
            "or one that a search wrote"
        ) from error
    return study, kept


@contextmanager
def hold_storage(path: Path | None) -> Iterator[None]:
    """Let one search write to the storage of trials ``path`` while the block runs.

    Raises:
        IndexLockedError: another search does; tells its process.
        StorageError: its folder cannot be written to.
    """
    if path is None:
        yield
        return
    lock = path.with_name(f".{path.name}.writer")
    with ExitStack() as stack:
        with refusals(path):
            stack.enter_context(writer_lock(lock, str(path)))
        try:
            # What a killed process leaves: Optuna's own lock, and a line that it was writing.
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
            _cut_torn_line(path)
            yield
        finally:
            lock.unlink(missing_ok=True)


def _cut_torn_line(path: Path) -> None:
    """Cut a journal after its last whole line."""
    if SUFFIXES[path.suffix] == "journal" and path.is_file():
        with path.open("rb+") as file:
            whole = file.read()
            if whole.startswith(b'{"op_code"') and not whole.endswith(b"\n"):
                file.truncate(whole.rfind(b"\n") + 1)


def _wilcoxon() -> Any:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner(p_threshold=0.1)


def make_sampler(name: str, seed: int, distributions: Mapping[str, Any]) -> Any:
    """Return a seeded Optuna sampler, "tpe" or "gp", that draws ``distributions`` together."""
    import optuna

    if name == "gp":
        sampler = optuna.samplers.GPSampler(seed=seed)
    else:
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=False)
    # Every trial has the same parameters: no need to look through all trials for them each time.
    sampler.infer_relative_search_space = lambda study, trial: dict(distributions)
    return sampler


def _storage(path: Path) -> Any:
    import optuna

    if SUFFIXES[path.suffix] == "sqlite":
        return f"sqlite:///{path.resolve()}"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.storages.JournalStorage(backend)


@dataclass(frozen=True)
class StudyOutcome:
    """The outcome of a study.

    Attributes:
        best: the fusion of greatest mean in sample; the first of those that are equal.
        value: that mean.
        finished, pruned: trials of each kind, those of earlier runs included.
        weigh: returns the importance.
    """

    best: Fusion
    value: float
    finished: int
    pruned: int
    weigh: Callable[[], Mapping[str, float]] = field(compare=False, repr=False)

    @property
    def importance(self) -> Mapping[str, float]:
        """Parameter to its share of the variance of the objective, greatest first.

        Empty where fewer than two trials finished or nothing varied.
        """
        return self.weigh()
