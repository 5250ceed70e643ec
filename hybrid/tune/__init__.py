"""Tuning of the fusion on judged queries, with a verdict on whether it holds on others."""

from hybrid.tune.result import TuneResult
from hybrid.tune.space import Space
from hybrid.tune.tuner import Plan, tune

__all__ = ["Plan", "Space", "TuneResult", "tune"]
