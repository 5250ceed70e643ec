"""``tune``: judged queries in, the fusion to use and the evidence for it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from hybrid.errors import UsageError
from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion, rrf, single
from hybrid.fusion.pool import Pool
from hybrid.tune.budget import LearningPoint, label_budget, learning_curve
from hybrid.tune.folds import held_out_values
from hybrid.tune.optuna_search import StudyOptions
from hybrid.tune.per_query import learn_per_query
from hybrid.tune.prior import Prior, shrunk_choice
from hybrid.tune.search import Search
from hybrid.tune.space import DEFAULT, Space
from hybrid.tune.verdict import Baseline, TuneResult, decide, with_per_query


@dataclass(frozen=True, slots=True)
class Plan:
    """How the tuner works.

    Attributes:
        trials: fusions that Optuna proposes for each search; 0 searches only the exact
            lines between two branches.
        folds, repeats: of the outer cross-validation.
        sampler: "tpe" or "gp".
        curve: whether to draw the learning curve.
        storage: where finished trials are kept, so that the same call goes on after a stop; an
            SQLite file (.db, .sqlite) or a journal (.journal, .log), which is faster.
        prune: whether hopeless trials stop early; see ``tune.study``.
        timeout: seconds for all trials together, an equal share for each search; the exact lines
            are always searched. What is found then depends on the machine.
        jobs: processes that the folds run in; their number changes nothing but the time.
        per_query: whether to learn a weight for each query, too.
    """

    trials: int = 200
    folds: int = 5
    repeats: int = 2
    sampler: str = "tpe"
    curve: bool = True
    storage: Path | None = None
    prune: bool = False
    timeout: float | None = None
    jobs: int = 1
    per_query: bool = False

    def __post_init__(self) -> None:
        if self.trials < 0 or self.folds < 2 or self.repeats < 1 or self.jobs < 1:
            raise UsageError(
                f"trials {self.trials}, folds {self.folds}, repeats {self.repeats} and jobs "
                f"{self.jobs} were given; give 0, 2, 1 and 1 or more"
            )
        self.study()

    @property
    def searches(self) -> int:
        """How many searches run: one for the choice, one for each fold."""
        return 1 + self.folds * self.repeats

    @property
    def steps(self) -> int:
        """How many steps ``progress`` is told of."""
        return self.searches * max(1, self.trials)

    def study(self) -> StudyOptions:
        """Return how each search's study runs."""
        seconds = None if self.timeout is None else self.timeout / self.searches
        return StudyOptions(self.sampler, self.storage, self.prune, seconds)


def tune(
    pool: Pool,
    qrels: Mapping[str, Mapping[str, int]],
    measure: str = "nDCG@10",
    *,
    seed: int = 0,
    trials: int | None = None,
    space: Space | None = None,
    plan: Plan | None = None,
    prior: Prior | None = None,
    progress: Callable[[int], None] | None = None,
) -> TuneResult:
    """Return the fusion to use on queries like these, with the held-out evidence for it.

    The search (baselines, exact lines, Optuna, the simplest within one standard error) runs on all
    queries for the choice, and again inside each fold of a repeated K-fold for the verdict.

    Args:
        pool: candidates of the judged queries, and of others, which are left out.
        qrels: ``{query_id: {doc_id: grade}}``.
        measure: what to maximise: nDCG@k, R@k, RR@k, AP, P@k or Success@k.
        seed: of folds, sampler, bootstrap and randomisation; the same seed gives the same result.
        trials: overrides ``plan.trials``.
        space: what to choose from; everything the pool allows where None.
        plan: how much work to do.
        prior: what other domains say, for few labels; ``learn_prior`` makes it.
        progress: called with the number of newly finished steps, of ``plan.steps``.

    Raises:
        UsageError: fewer than 4 judged queries with candidates, an unknown measure, or a bad plan.
    """
    plan = plan or Plan()
    plan = plan if trials is None else replace(plan, trials=trials)
    judged = judge(pool, qrels)
    if len(judged) < 4:
        raise UsageError(
            f"{len(judged)} judged queries are too few to tune on; give at least 4, better 50"
        )
    bench = Bench(judged, measure)
    space = space or Space.of(pool)
    search = Search(
        bench,
        space,
        trials=plan.trials,
        seed=seed,
        study=plan.study(),
        shrink=None if prior is None else partial(shrunk_choice, prior=prior),
        progress=progress,
    )
    everything = np.arange(len(judged))
    choice = search.choose(everything)
    held_out = held_out_values(
        search, folds=plan.folds, repeats=plan.repeats, seed=seed, jobs=plan.jobs
    )
    baselines = standard_baselines(bench)
    judgment = decide(choice, held_out, baselines, seed=seed)
    reference = baselines[judgment.reference].values
    per_query = None
    if plan.per_query and len(pool.branches) > 1:
        used = held_out if judgment.verdict == "fusion" else reference
        per_query = learn_per_query(search, used, folds=plan.folds, seed=seed)
        if per_query.keep:
            judgment = with_per_query(judgment, per_query)
    curve: tuple[LearningPoint, ...] = ()
    if plan.curve:
        quick = Search(bench, space, trials=0, seed=seed, shrink=search.shrink)
        curve = learning_curve(quick, seed=seed)
    return TuneResult(
        fusion=judgment.fusion,
        verdict=judgment.verdict,
        because=judgment.because,
        tuned=choice.fusion,
        best=choice.best,
        measure=measure,
        queries=len(judged),
        in_sample=search.mean(choice.fusion, everything),
        held_out=judgment.held_out,
        held_out_interval=judgment.interval,
        baselines={name: (b.fusion, b.mean) for name, b in baselines.items()},
        difference=judgment.difference,
        label_budget=label_budget(held_out - reference, comparisons=len(baselines), curve=curve),
        importance=choice.importance,
        per_query=per_query,
        settings={
            "seed": seed,
            "trials": plan.trials,
            "folds": plan.folds,
            "repeats": plan.repeats,
            "sampler": plan.sampler,
            "timeout": plan.timeout,
            "prune": plan.prune,
            "depth": pool.depth,
            "branches": list(pool.branches),
            "depths": list(space.depths),
            "prior": None
            if prior is None
            else {"domains": prior.domains, "strength": prior.strength},
        },
    )


def standard_baselines(bench: Bench) -> dict[str, Baseline]:
    """Return "branch" (the best one alone) and, with two branches or more, "rrf" and "minmax"."""

    def baseline(name: str, fusion: Fusion) -> Baseline:
        return Baseline(name, fusion, bench.values(fusion))

    alone = [baseline("branch", single(name)) for name in bench.branches]
    found = {"branch": max(alone, key=lambda b: b.mean)}
    if len(bench.branches) > 1:
        found["rrf"] = baseline("rrf", rrf(60))
        found["minmax"] = baseline("minmax", DEFAULT)
    return found
