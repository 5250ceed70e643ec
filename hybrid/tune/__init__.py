"""Tuning of the fusion on judged queries, with a verdict on whether it holds on others."""

from hybrid.tune.domains import Domain, DomainsResult, tune_domains
from hybrid.tune.options import TuneOptions
from hybrid.tune.prior import Prior, learn_prior
from hybrid.tune.space import Space
from hybrid.tune.tuner import tune
from hybrid.tune.verdict import TuneResult

__all__ = [
    "Domain",
    "DomainsResult",
    "Prior",
    "Space",
    "TuneOptions",
    "TuneResult",
    "learn_prior",
    "tune",
    "tune_domains",
]
