"""Tuning of the fusion on judged queries, with a verdict on whether it holds on others."""

from hybrid.tune.domains import Domain, DomainsResult, tune_domains
from hybrid.tune.prior import Prior, learn_prior
from hybrid.tune.pseudo import known_item_queries
from hybrid.tune.result import TuneResult
from hybrid.tune.space import Space
from hybrid.tune.study import StudyOptions
from hybrid.tune.tuner import Plan, tune

__all__ = [
    "Domain",
    "DomainsResult",
    "Plan",
    "Prior",
    "Space",
    "StudyOptions",
    "TuneResult",
    "known_item_queries",
    "learn_prior",
    "tune",
    "tune_domains",
]
