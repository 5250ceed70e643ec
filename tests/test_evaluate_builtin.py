"""The evaluation command of the built-in models, on tiny ones."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from builtin_training.kept import KeptStates
from hybrid.encoders import Bm25Parameters, load_dense, load_sparse
from hybrid.errors import OutputExistsError, UsageError
from hybrid.search.index import Index
from tests.conftest import DOCUMENTS, QUERIES, load_script, write_beir

TEXTS = [" ".join(parts) for parts in DOCUMENTS.values()]


@pytest.fixture(scope="module")
def command() -> ModuleType:
    return load_script("pipelines/evaluate_builtin")


@pytest.fixture
def tiny_models(
    command: ModuleType, tiny_dense: Path, tiny_sparse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(precision: str, states: Path | None) -> Any:
        splade, dense = load_sparse(str(tiny_sparse)), load_dense(str(tiny_dense))
        encoders = {"bm25": Bm25Parameters(), "splade": splade, "dense": dense}
        return command.Models(encoders, command.LookedUp(splade, splade), precision)

    monkeypatch.setattr(command.Models, "load", load)


def test_every_figure_of_a_collection_with_and_without_train(
    command: ModuleType, tiny_models: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_train, without = write_beir(tmp_path / "one"), write_beir(tmp_path / "two")
    (without / "qrels" / "train.tsv").unlink()
    output, work = tmp_path / "report.json", tmp_path / "work"
    command.main([with_train, without], output, work, trials=2)
    one, two = json.loads(output.read_text())["collections"]
    assert one["systems"] == two["systems"]
    assert one["documents"] == len(DOCUMENTS)
    assert one["queries"] == len(QUERIES)
    assert one["systems"]["splade"] == one["systems"]["splade-doc"]
    assert set(one["tuned on train"]) == set(two["cross-validated"])
    tuned = one["tuned on train"]["bm25 + splade + dense"]
    # train and test are the same queries here, and the best fusion is none the worse for more
    assert tuned["test"] == tuned["train"]
    assert tuned["difference"]["mean"] == pytest.approx(
        tuned["test"] - one["tuned on train"]["bm25 + dense"]["test"]
    )
    assert "difference" not in one["tuned on train"]["bm25 + dense"]
    assert "| splade |" in capsys.readouterr().out
    with pytest.raises(OutputExistsError, match=r"report\.json exists"):
        command.main([without], output, work)

    again = tmp_path / "again.json"
    command.main([with_train], again, work, trials=2)
    assert json.loads(again.read_text())["collections"][0] == one


def test_kept_states_give_what_the_backbone_gives(tiny_dense: Path, tmp_path: Path) -> None:
    plain = load_dense(str(tiny_dense)).encode_documents(TEXTS)
    calls: list[int] = []

    def encode(texts: list[str]) -> Any:
        encoder = load_dense(str(tiny_dense))
        module = encoder.model[0]
        compute = module.forward
        module.forward = lambda features, **k: calls.append(1) or compute(features, **k)
        kept = KeptStates(tmp_path / "states", "tiny", 16)
        kept.wrap(module)
        return encoder.encode_documents(texts), len(kept)

    vectors, count = encode(TEXTS[:4])
    assert count == 4
    np.testing.assert_allclose(vectors, plain[:4], atol=1e-6)
    with (tmp_path / "states" / "states.bin").open("ab") as file:
        file.write(b"half of a state")
    encode(TEXTS)
    assert len(calls) == 2
    vectors, count = encode(TEXTS)
    assert count == len(TEXTS)
    assert len(calls) == 2
    np.testing.assert_allclose(vectors, plain, atol=1e-6)
    with pytest.raises(UsageError, match="keeps the states of 'tiny'"):
        KeptStates(tmp_path / "states", "other", 16)


def test_a_narrowed_pool_is_that_of_its_branches_alone(tiny_index: Path) -> None:
    queries = {name: text for name, (text, _) in QUERIES.items()}
    with Index(tiny_index) as index:
        whole = index.pool(queries, depth=2)
        for names in (("bm25",), ("dense", "sparse"), ("bm25", "sparse", "dense")):
            alone, narrowed = index.pool(queries, depth=2, branches=names), whole.narrow(names)
            order = [alone.branch(name) for name in names]
            assert narrowed.branches == tuple(names)
            np.testing.assert_array_equal(narrowed.offsets, alone.offsets)
            np.testing.assert_array_equal(narrowed.doc_nums, alone.doc_nums)
            np.testing.assert_allclose(narrowed.scores, alone.scores[order], rtol=1e-5)
            np.testing.assert_array_equal(narrowed.ranks, alone.ranks[order])
            np.testing.assert_array_equal(narrowed.minimum, alone.minimum[order])
        with pytest.raises(UsageError, match="'other' is not in this pool"):
            whole.narrow(["other"])
