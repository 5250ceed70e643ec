"""The same seed gives the same bytes in another process, whatever the hashes of its strings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hybrid
from hybrid.build.create import build_index
from hybrid.corpus import open_source
from hybrid.encoders import Bm25Parameters
from tests.conftest import write_beir
from tests.test_living import ENCODERS

SCRIPT = """
import json, sys
from pathlib import Path

from hybrid.corpus import open_source
from hybrid.evaluate.systems import evaluate_systems
from hybrid.tune.on_index import tune_index
from hybrid.report.evaluation import systems_table
from hybrid.report.tables import comparison_table, render
from hybrid.evaluate import EvaluateOptions
from hybrid.search.index import Index
from hybrid.tune import TuneOptions
from tests.made_encoders import HashDense, HashSparse

index = Index(sys.argv[1], encoders={"sparse": HashSparse(), "dense": HashDense()})
source, out = open_source(sys.argv[2]), Path(sys.argv[3])
options = TuneOptions(
    trials=20, folds=2, repeats=1, seed=int(sys.argv[4])
)
result = tune_index(index, source, options)
(out / "tuning.json").write_text(json.dumps(result.to_dict()))
report = evaluate_systems(
    index, source, EvaluateOptions(fusions=(str(result.tuned),), measures="nDCG@10,RR")
)
report.systems[-1].run.write_trec(out / "run.trec")
report.write_per_query(out / "queries.tsv")
tables = [
    systems_table(report),
    *(comparison_table(each) for each in report.comparisons("bm25")),
]
for form in ("markdown", "latex", "csv", "json", "html"):
    (out / f"tables.{form}").write_text("".join(render(table, form) for table in tables))
"""


def written(folder: Path, index: Path, source: Path, *, hash_seed: str, seed: str = "3") -> dict:
    folder.mkdir()
    root = Path(hybrid.__file__).parent.parent
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(index), str(source), str(folder), seed],
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)},
    )
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_tuning_runs_and_tables_are_the_same_bytes(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "beir")
    index = tmp_path / "index"
    build_index(open_source(str(folder)), index, encoders={**ENCODERS, "bm25": Bm25Parameters()})
    first = written(tmp_path / "first", index, folder, hash_seed="1")
    assert written(tmp_path / "again", index, folder, hash_seed="2") == first
    assert len(first) == 8
    assert all(first.values())
