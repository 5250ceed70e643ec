"""How far queries that a program made from the corpus lead to what real judgments say.

    python benchmarks/pseudo_agreement.py cacm.idx=PATH/cacm:test scifact.idx=PATH/scifact:test

For each collection and kind of made query: Kendall's tau of the untuned fusions' means under weak
and real labels, the weight that each would choose on the min-max line, and what the real measure
loses or gains by the weak choice against the untuned default and the best weight in hindsight.
"""

from __future__ import annotations

import argparse

import numpy as np
from collections_given import Collection, add_arguments, branch_names, opened

from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.significance import compare_paired
from hybrid.experiment import pseudo_pool
from hybrid.fusion import Fusion, cc
from hybrid.report.fusions import every_fusion
from hybrid.report.tables import Table, render
from hybrid.tune.pseudo import agreement
from hybrid.tune.space import DEFAULT

KINDS = (("sentence", 0.0), ("sentence", 0.5), ("title", 0.0))
MADE = 300


def rows(collection: Collection, branches: tuple[str, ...], measure: str, seed: int) -> list[tuple]:
    """Return one row a kind of made query."""
    real = collection.bench(measure, branches)
    names = real.branches
    line = (
        [cc(round(a, 2), norm="minmax") for a in np.linspace(0, 1, 101)] if len(names) == 2 else []
    )
    best = max(line, key=lambda f: real.values(f).mean()) if line else DEFAULT
    found = []
    for kind, drop in KINDS:
        made = pseudo_pool(
            collection.index, count=MADE, kind=kind, drop=drop, branches=branches or None, seed=seed
        )
        weak = Bench(judge(made.pool, made.qrels), measure)
        same = agreement(weak, real, every_fusion(names))
        chosen: Fusion = max(line, key=lambda f: weak.values(f).mean()) if line else same.chosen
        (gain,) = compare_paired(real.values(chosen), [real.values(DEFAULT)], seed=seed)
        found.append(
            (
                collection.name,
                f"{kind}, {drop:.0%} of words dropped" if drop else kind,
                len(made.texts),
                same.tau,
                "" if chosen.alpha is None else f"{chosen.alpha:.2f}",
                "" if best.alpha is None else f"{best.alpha:.2f}",
                float(real.values(chosen).mean()),
                float(real.values(DEFAULT).mean()),
                float(real.values(best).mean()),
                f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    arguments = parser.parse_args()
    branches = branch_names(arguments.branches)
    found = []
    for text in arguments.collections:
        found += rows(opened(text), branches, arguments.measure, arguments.seed)
    columns = (
        "collection",
        "made of",
        "queries",
        "tau",
        "weak alpha",
        "best alpha",
        f"{arguments.measure} at weak alpha",
        "at the default",
        "at best alpha",
        "weak alpha minus default",
    )
    title = f"Weak labels against real ones, {arguments.measure}, {MADE} made queries or fewer"
    print(render(Table(title, columns, tuple(found)), "markdown"))


if __name__ == "__main__":
    main()
