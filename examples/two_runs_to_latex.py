"""From two TREC runs and judgments to a table for a paper.

    python examples/two_runs_to_latex.py bm25.trec dense.trec qrels.txt > table.tex

The first run is the baseline. The best mean is bold; a dagger marks a difference from the baseline
whose p, corrected by Holm, is under .05.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hybrid
from hybrid.report.tables import paper_table, render


def table(runs: list[Path], qrels: Path, measures: str = "nDCG@10,RR@10,R@100") -> str:
    """Return the LaTeX (booktabs) of the comparison of the runs and of their fusion by RRF."""
    read = {path.stem: hybrid.Run.read_trec(path) for path in runs}
    fused = hybrid.fuse_runs(read, hybrid.rrf(k=60), 1000)
    compared = hybrid.compare_runs({**read, "RRF": fused}, hybrid.read_qrels(qrels), measures)
    return render(paper_table(compared), "latex")


if __name__ == "__main__":
    *given, judgments = map(Path, sys.argv[1:])
    print(table(given, judgments))
