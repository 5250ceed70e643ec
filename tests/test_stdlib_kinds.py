"""The script by kinds of query, on the tiny collection."""

from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.corpus import open_source
from tests.conftest import load_script

KINDS = {"q1": "names", "q2": "errors", "q3": "names", "q4": "errors", "q5": "names", "q6": "names"}


def test_the_tables_slice_all_queries_by_kind(
    tiny_index: Path, beir_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load_script("benchmarks/stdlib_kinds")
    metadata = {query: {"kind": kind} for query, kind in KINDS.items()}
    source = open_source(beir_folder)
    monkeypatch.setattr(script, "open_source", lambda name: source)
    monkeypatch.setattr(script, "query_metadata", lambda name: metadata)
    with hybrid.open(tiny_index) as index:
        kinds, values = script.measured(index, ("nDCG@10", "Judged@10"))
    asked = [query for split in source.splits() for query in source.qrels(split)]
    assert sorted(kinds) == sorted(KINDS[query] for query in asked)
    slices = script.sliced(kinds, values["nDCG@10"])
    assert list(slices) == ["names", "errors", "all"]
    names = np.array(kinds) == "names"
    np.testing.assert_array_equal(slices["names"]["rrf"], values["nDCG@10"]["rrf"][names])
    means = script.means_table(slices, "nDCG@10", 0)
    assert [row[:2] for row in means.rows] == [
        ("names", int(names.sum())),
        ("errors", int((~names).sum())),
        ("all", len(asked)),
    ]
    pairs = script.paired_table(slices, "nDCG@10", 0)
    assert [row[0] for row in pairs.rows] == ["names"] * 4 + ["errors"] * 4 + ["all"] * 4
    judged = script.judged_table(values["Judged@10"])
    assert [row[0] for row in judged.rows] == [*script.BRANCHES, *script.FUSIONS]
