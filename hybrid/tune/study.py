"""What a study is asked and what it answers, apart from Optuna, which runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hybrid.errors import UsageError
from hybrid.fusion import Fusion

SAMPLERS = ("tpe", "gp")
SUFFIXES = {".db": "sqlite", ".sqlite": "sqlite", ".journal": "journal", ".log": "journal"}


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """How Optuna works.

    Attributes:
        sampler: "tpe" or "gp".
        storage: an SQLite file (.db, .sqlite) or a journal (.journal, .log) that keeps every
            finished trial, so that a search which was stopped goes on; memory where None.
        prune: stop a trial early by Optuna's Wilcoxon test on per-query values. A whole trial takes
            about a millisecond here, so this costs more time than it saves.
        seconds: start no further trial after so many.
        name: of the study in the storage.

    Raises:
        UsageError: an unknown sampler, a storage of another kind, or no time at all.
    """

    sampler: str = "tpe"
    storage: Path | None = None
    prune: bool = False
    seconds: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
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
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"the time is {self.seconds} seconds; give more than 0")


@dataclass(frozen=True)
class StudyOutcome:
    """What a study found.

    Attributes:
        best: the fusion of greatest mean in sample; the first of those that are equal.
        value: that mean.
        finished, pruned: trials of each kind, those of earlier runs included.
        importance: parameter to its share of the variance of the objective, greatest first; empty
            where fewer than two trials finished or nothing varied.
    """

    best: Fusion
    value: float
    finished: int
    pruned: int
    importance: Mapping[str, float]
