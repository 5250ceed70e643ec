"""Tuning of the fusion on judged queries, with a verdict on whether it holds on others."""

from typing import TYPE_CHECKING

from hybrid.machine.doors import door

_MODULES = {
    "domains": "Domain DomainsResult tune_domains",
    "options": "TuneOptions",
    "prior": "Prior learn_prior",
    "space": "Space",
    "tuner": "tune",
    "verdict": "TuneResult",
}
__all__ = [name for names in _MODULES.values() for name in names.split()]
__getattr__ = door(__name__, _MODULES)

if TYPE_CHECKING:
    from hybrid.tune.domains import Domain as Domain
    from hybrid.tune.domains import DomainsResult as DomainsResult
    from hybrid.tune.domains import tune_domains as tune_domains
    from hybrid.tune.options import TuneOptions as TuneOptions
    from hybrid.tune.prior import Prior as Prior
    from hybrid.tune.prior import learn_prior as learn_prior
    from hybrid.tune.space import Space as Space
    from hybrid.tune.tuner import tune as tune
    from hybrid.tune.verdict import TuneResult as TuneResult
