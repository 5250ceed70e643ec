"""TuneOptions: which judged queries the tuner learns from, and how much work it does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hybrid.errors import UsageError
from hybrid.evaluate.options import MEASURES, PoolOptions
from hybrid.machine.options import option
from hybrid.search.options import RERANK, RERANKED, Score

SAMPLERS = ("tpe", "gp")
SUFFIXES = {".db": "sqlite", ".sqlite": "sqlite", ".journal": "journal", ".log": "journal"}


@dataclass(frozen=True)
class TuneOptions(PoolOptions):
    """How the tuner works. Of these, ``tune``, which is given a pool, reads none of the pool.

    Attributes:
        seed: of folds, sampler, bootstrap and randomisation; the same seed gives the same result.
        storage: an SQLite file (.db, .sqlite) or a journal (.journal, .log).
        prune: a whole trial takes about a millisecond, so this costs more time than it saves.
        timeout: an equal share for each search; the exact lines are always searched. What is found
            then depends on the machine.
        jobs: their number changes nothing but the time.
        rerank, rerank_depth: those of ``Index.search``: after the fusion the weight of the reranker
            is tuned on the documents that the fusion puts first.
        curve: whether to draw the learning curve.

    Raises:
        UsageError: a number out of range, an unknown sampler, or a storage of another kind.
    """

    split: str = option("train", "which judged queries to tune on")
    measure: str = option("nDCG@10", "what to maximise", flags=MEASURES[::-1])
    trials: int = option(
        200,
        "fusions that Optuna tries; 0: lines of two branches",
    )
    sampler: Literal["tpe", "gp"] = option("tpe", "how Optuna proposes")
    folds: int = option(5, "parts of the cross-validation")
    repeats: int = option(2, "how often it is repeated")
    storage: Path | None = option(
        None,
        "keep trials in this .journal or .db, to go on after a stop",
    )
    timeout: float | None = option(None, "seconds for all trials together")
    jobs: int = option(1, "processes that the folds run in")
    prune: bool = option(False, "stop hopeless trials by Wilcoxon's test")
    rerank: str | Score | None = option(None, RERANK, read=str)
    rerank_depth: int | None = option(None, RERANKED)
    seed: int = option(0, "seed of folds and sampler")
    curve: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trials < 0 or self.folds < 2 or self.repeats < 1 or self.jobs < 1:
            raise UsageError(
                f"trials {self.trials}, folds {self.folds}, repeats {self.repeats} and jobs "
                f"{self.jobs} were given; give 0, 2, 1 and 1 or more"
            )
        if self.sampler not in SAMPLERS:
            raise UsageError(
                f"sampler {self.sampler!r} is unknown; give one of {', '.join(SAMPLERS)}"
            )
        if self.storage is not None and self.storage.suffix not in SUFFIXES:
            raise UsageError(
                f"storage {str(self.storage)!r} has no known suffix; give {', '.join(SUFFIXES)}"
            )
        if self.storage is not None and not self.storage.resolve().parent.is_dir():
            raise UsageError(
                f"storage {str(self.storage)!r} lies in a folder that does not exist; make it first"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"timeout is {self.timeout} seconds; give more than 0")

    @property
    def searches(self) -> int:
        """How many searches run: one for the choice, one for each fold."""
        return 1 + self.folds * self.repeats

    @property
    def steps(self) -> int:
        """How many steps ``progress`` is told of."""
        return self.searches * max(1, self.trials)

    @property
    def seconds(self) -> float | None:
        """How long one search may start further trials."""
        return None if self.timeout is None else self.timeout / self.searches

    @property
    def lines_alone(self) -> TuneOptions:
        """The same without trials: the search of the exact lines, which is quick."""
        return replace(self, trials=0)
