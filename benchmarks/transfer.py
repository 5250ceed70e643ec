"""What a fusion tuned on one collection reaches on another, and the pooled fusion.

python benchmarks/transfer.py cacm.idx=PATH/cacm:test scifact.idx=PATH/scifact:train
python benchmarks/transfer.py stdlib.idx=stdlib:train+test scientific.idx=scientific:train+test
"""

from __future__ import annotations

import argparse

from collections_given import add_arguments, branch_names, opened

from hybrid.report.evaluation import transfer_table
from hybrid.report.tables import render
from hybrid.tune import Domain, TuneOptions, tune_domains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--trials", type=int, default=0)
    arguments = parser.parse_args()
    domains = []
    for text in arguments.collections:
        collection = opened(text)
        judged = collection.judged(branch_names(arguments.branches))
        domains.append(Domain(collection.name, judged.pool, judged.qrels))
    options = TuneOptions(
        measure=arguments.measure,
        trials=arguments.trials,
        repeats=1,
        curve=False,
        seed=arguments.seed,
    )
    found = tune_domains(domains, options)
    print(render(transfer_table(found, arguments.measure), "markdown"))
    for name, result in found.results.items():
        print(f"{name}: tuned {result.tuned}", *result.lines(), sep="\n    ")
    print(f"unknown domains: {found.pooled}")


if __name__ == "__main__":
    main()
