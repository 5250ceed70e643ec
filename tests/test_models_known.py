"""The table of well-known models: facts in the right form, presets, prompts, licences."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import hybrid
from hybrid.build.options import BuildOptions
from hybrid.build.records import TRUSTED
from hybrid.encoders.models import known
from hybrid.encoders.models.known import (
    KNOWN,
    PRESETS,
    known_model,
    known_prompts,
    licence_warning,
    preset,
)
from hybrid.errors import ModelError, UsageError


def test_the_table_has_ten_models_or_more_of_both_kinds() -> None:
    assert len(KNOWN) >= 10
    assert len({each.model for each in KNOWN}) == len(KNOWN)
    assert {each.kind for each in KNOWN} == {"sparse", "dense"}
    for each in KNOWN:
        assert (each.ndcg is None) == (each.source == "")
        assert each.ndcg is None or 0.3 < each.ndcg < 0.9
        assert each.width > 100
        assert each.licence
        assert each.pooling in {"mean", "cls", "max"}
        assert each.tried <= (not each.unchecked)
        assert all(name in "\n".join(each.lines()) for name in each.unchecked)


def test_every_preset_names_a_sparse_and_a_dense_model_that_may_be_used_commercially() -> None:
    for sparse, dense in PRESETS.values():
        for model, kind in ((sparse, "sparse"), (dense, "dense")):
            if model.startswith("builtin:"):
                continue
            entry = known_model(model)
            assert entry is not None
            assert (entry.kind, entry.commercial) == (kind, True)
    with pytest.raises(UsageError, match="preset 'large' is unknown; give one of offline, small"):
        preset("large")


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        ("intfloat/e5-small-v2", (None, None), ("query: ", "passage: ")),
        ("INTFLOAT/E5-small-v2", ("", None), (None, "passage: ")),
        ("intfloat/e5-small-v2", ("ask: ", "text: "), (None, None)),
        ("sentence-transformers/all-MiniLM-L6-v2", (None, None), (None, None)),
        ("somebody/model", (None, None), (None, None)),
    ],
)
def test_prompts_are_those_of_the_table_unless_given(
    model: str, given: tuple[str | None, str | None], expected: tuple[str | None, str | None]
) -> None:
    found = known_prompts(model, *given)
    assert (found.get("query_prompt"), found.get("document_prompt")) == expected


def test_a_licence_that_forbids_commercial_use_is_said() -> None:
    said = licence_warning("naver/splade-v3")
    assert said == "naver/splade-v3 is under CC BY-NC-SA 4.0, which forbids commercial use"
    assert licence_warning("BAAI/bge-small-en-v1.5") is None
    assert licence_warning("somebody/model") is None


def test_a_preset_is_both_models_and_stands_alone() -> None:
    options = BuildOptions(preset="small")
    assert (options.sparse, options.dense) == preset("small")
    assert replace(options, seed=3).dense == options.dense
    with pytest.raises(UsageError, match="a preset names both models"):
        BuildOptions(preset="small", dense=None)
    with pytest.raises(UsageError, match="preset 'huge' is unknown"):
        BuildOptions(preset="huge")


@pytest.mark.parametrize("given", [None, "", "ask: "])
def test_an_index_gets_the_prompts_of_the_table_and_its_fingerprint_has_them(
    tiny_dense: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
) -> None:
    """A made model stands for one of the table: same prompts, its name in the table."""
    entry = known_model("intfloat/e5-small-v2")
    assert entry is not None
    named = replace(entry, model=str(tiny_dense), commercial=False)
    monkeypatch.setattr(known, "KNOWN", (*KNOWN, named))
    options = BuildOptions(sparse=None, dense=str(tiny_dense), query_prompt=given)
    report = hybrid.build_index(hybrid.open_source(str(beir_folder)), tmp_path / "index", options)
    query = "query: " if given is None else given
    fingerprint = report.branches["dense"].fingerprint
    assert (fingerprint["query_prompt"], fingerprint["document_prompt"]) == (query, "passage: ")
    text = "\n".join(report.lines())
    assert ("query prompt of" in text) == (given is None)
    assert f"document prompt of {tiny_dense}: 'passage: ', from the table of known models" in text
    assert "which forbids commercial use" in text
    with hybrid.open(tmp_path / "index") as index:
        assert index.search("merge sorted lists", k=1, fusion="dense")
        assert index.encoder("dense").fingerprint["query_prompt"] == query


COMMIT = "0123456789abcdef0123456789abcdef01234567"
OWN_CODE = """
from sentence_transformers.sentence_transformer.modules import Normalize


class Twice(Normalize):
    pass
"""


@pytest.fixture
def with_code(tiny_dense: Path, tmp_path: Path) -> Path:
    """A dense model whose last module is code in its own folder."""
    folder = Path(shutil.copytree(tiny_dense, tmp_path / "with_code"))
    (folder / "own.py").write_text(OWN_CODE, encoding="utf-8")
    modules = json.loads((folder / "modules.json").read_text())
    added = {"idx": len(modules), "name": "own", "path": "", "type": "own.Twice"}
    (folder / "modules.json").write_text(json.dumps([*modules, added]))
    return folder


def test_code_of_a_model_runs_only_where_it_is_trusted(
    with_code: Path, beir_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, source = tmp_path / "index", hybrid.open_source(str(beir_folder))
    options = {"sparse": None, "dense": str(with_code), "cache": False}
    with pytest.raises(ModelError, match="trust_remote_code"):
        hybrid.build_index(source, index, BuildOptions(**options))
    trusting = BuildOptions(**options, trust_remote_code=True)
    report = hybrid.build_index(source, index, trusting)
    assert report.branches["dense"].encoder["trust_remote_code"] is True
    hybrid.push_index(index, (tmp_path / "place").as_uri())
    hybrid.pull_index((tmp_path / "place").as_uri(), tmp_path / "pulled")
    for folder in (index, tmp_path / "pulled"):
        with hybrid.open(folder) as opened:
            assert opened.search("merge lists", fusion="bm25")
            with pytest.raises(ModelError, match=f"{TRUSTED}={with_code}"):
                opened.search("merge lists", fusion="dense")
    monkeypatch.setenv(TRUSTED, f"some/model@{COMMIT},{with_code}")
    with hybrid.open(tmp_path / "pulled") as opened:
        assert opened.search("merge lists", fusion="dense")


def test_trust_is_for_a_commit() -> None:
    names = {"sparse": None, "dense": "some/model"}
    for revision in (None, "main", COMMIT[:39]):
        with pytest.raises(UsageError, match="give the commit, 40 hexadecimal digits"):
            BuildOptions(**names, dense_revision=revision, trust_remote_code=True)
    options = BuildOptions(**names, dense_revision=COMMIT, trust_remote_code=True)
    assert options.trusts("some/model") is True
    assert BuildOptions(trust_remote_code=True).trusts("builtin:minilm") is None


def test_the_code_of_a_sum_of_hub_models_is_not_trusted(tmp_path: Path) -> None:
    for revision in (None, COMMIT):
        with pytest.raises(UsageError, match="is a sum of models, which runs no code of a hub"):
            BuildOptions("some/model+an/other", sparse_revision=revision, trust_remote_code=True)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    summed = f"{tmp_path / 'one'}+{tmp_path / 'other'}"
    assert BuildOptions(summed, trust_remote_code=True).trusts(summed) is True
