"""The comparison of the built-in models as branches, on tiny ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid.encoders import Bm25Parameters, load_dense, load_sparse
from tests.conftest import QUERIES, load_script, write_beir
from tests.test_encoders_shared import tiny_head  # noqa: F401  a fixture


def test_every_set_of_branches_is_compared_and_has_its_costs(
    tiny_sparse: Path,
    tiny_head: Path,  # noqa: F811
    tiny_dense: Path,
    tiny_cross: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command: Any = load_script("pipelines/compare_builtin")

    def load(dtype: str, dense: Any) -> dict[str, Any]:
        total = load_sparse(f"{tiny_sparse}+{tiny_head}", device="cpu")
        vectors = {name: load_dense(str(tiny_dense), device="cpu") for name in dense}
        sparse = dict(zip(command.SPARSE, (*total.parts, total), strict=True))
        return {"bm25": Bm25Parameters(), **sparse, **vectors}

    monkeypatch.setattr(command, "load", load)
    monkeypatch.setattr(command, "CROSS", str(tiny_cross))
    folder, output = write_beir(tmp_path / "made"), tmp_path / "report.json"
    command.main([folder], output, tmp_path / "work", rerank=2, depth=3)
    report = json.loads(output.read_text())
    (one,) = report["collections"]
    means = one["means"]["report"]
    sets = [" + ".join(each) for each in command.branch_sets(command.DENSE)]
    assert list(means) == sets
    assert list(report["costs"]) == [each for each in sets if each.startswith("bm25 +")]
    assert means["minilm"] == means["bge"]  # one made model in both places
    size = {name: each["bytes_a_document"] for name, each in report["costs"].items()}
    assert size["bm25 + minilm"] < size["bm25 + splade + minilm"] < size["bm25 + sum + minilm"]
    compared = [(row["system"], row["reference"]) for row in report["differences"]]
    assert len(compared) == 2 + len(command.SPARSE) * len(command.DENSE)
    assert {("sum", "tiny"), ("bm25 + sum + bge", "bm25 + bge")} < set(compared)
    for row in report["differences"]:
        assert row["mean"] == pytest.approx(means[row["system"]] - means[row["reference"]])
        assert row["p_holm"] >= row["p"]
    reranked = one["reranked"]["bm25 + minilm"]
    assert reranked["queries"] == min(2, len(QUERIES))
    assert [name for name in reranked if name.startswith("weight")] == ["weight 0.7", "weight 0.5"]
    alone = reranked["cross-encoder alone"]
    assert alone["difference"]["mean"] == pytest.approx(alone["mean"] - reranked["first"])
    assert "| bm25 + sum + minilm |" in capsys.readouterr().out

    again = tmp_path / "again.json"
    monkeypatch.setattr(command, "measured", None)  # the work folder has the figures
    command.main([folder], again, tmp_path / "work", rerank=2, depth=3)
    assert json.loads(again.read_text()) == report
