from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybrid.errors import StorageError, UsageError
from hybrid.search.index import open_index
from hybrid.training import Example, TrainOptions
from hybrid.training import supervision as module
from hybrid.training.recipes import TeacherSpec, parse_teacher
from hybrid.training.supervision import supervised
from hybrid.training.teachers import BRANCH_WEIGHTS, HybridTeacher
from tests.conftest import DOCUMENTS

TEXTS = {doc_id: f"{title} {text}" for doc_id, (title, text) in DOCUMENTS.items()}
ROWS = [
    Example("thread socket", TEXTS["socket.socket"]),
    Example("parse json", TEXTS["json.load"]),
]


def test_hybrid_teacher_is_the_weighted_sum_of_the_branches(tiny_index: Path) -> None:
    with open_index(tiny_index) as index:
        weights = {"bm25": 2.0, "dense": 0.5, "sparse": 0.25}
        pairs = [(row.query, text) for row in ROWS for text in (*TEXTS.values(), "json . new")]
        found = HybridTeacher(index, weights).score(pairs[::-1])[::-1]
        expected = np.zeros(len(pairs))
        for name, weight in weights.items():
            encoder = index.encoder(name)
            asked = encoder.encode_queries([query for query, _ in pairs])
            told = encoder.encode_documents([passage for _, passage in pairs])
            product = asked * told if isinstance(told, np.ndarray) else asked.multiply(told)
            expected += weight * np.asarray(product.sum(axis=1)).ravel()
        np.testing.assert_allclose(found, expected, atol=0.02)  # 8-bit weights of the index
        run = index.search(ROWS[1].query, 3, fusion="bm25")
        alone = HybridTeacher(index, {"bm25": 1.0})
        for hit in run:
            text = index.document(hit.doc_id).full_text
            assert alone.score([(ROWS[1].query, text)])[0] == np.float32(hit.score)
        assert len(HybridTeacher(index).score([])) == 0


def test_hybrid_teacher_takes_the_branches_that_there_are(tiny_index: Path) -> None:
    with open_index(tiny_index) as index:
        assert HybridTeacher(index).name == HybridTeacher(index, BRANCH_WEIGHTS).name
        with pytest.raises(UsageError, match=r"no branch colbert.*bm25"):
            HybridTeacher(index, {"colbert": 1.0})


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("dense", TeacherSpec(1.0, "dense", "")),
        ("0.5*dense:some/model", TeacherSpec(0.5, "dense", "some/model")),
        ("hybrid:bm25=1,dense=2", TeacherSpec(1.0, "hybrid", "bm25=1,dense=2")),
        ("2*some/cross-encoder", TeacherSpec(2.0, "cross-encoder", "some/cross-encoder")),
    ],
)
def test_teachers_by_name(text: str, spec: TeacherSpec) -> None:
    assert parse_teacher(text) == spec


@pytest.mark.parametrize("text", ["", "x*dense", "2*", "  "])
def test_teachers_that_do_not_parse(text: str) -> None:
    with pytest.raises(UsageError, match="does not parse"):
        parse_teacher(text)


def test_branch_weights_parse() -> None:
    assert parse_teacher("hybrid").branch_weights() is None
    assert parse_teacher("hybrid:a=1,b=.5").branch_weights() == {"a": 1.0, "b": 0.5}
    with pytest.raises(UsageError, match="hybrid:bm25 does not parse"):
        parse_teacher("hybrid:bm25").branch_weights()


def test_hybrid_teacher_needs_an_index() -> None:
    with pytest.raises(UsageError, match="give one to mine from"):
        TrainOptions(teachers=("hybrid",))


def test_negatives_and_scores_are_kept(
    tiny_index: Path, tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers = ("hybrid", f"0.5*dense:{tiny_dense}")
    asked = TrainOptions(mine=tiny_index, mine_fusion="bm25", mine_count=2, teachers=teachers)
    found = supervised(ROWS, asked, tmp_path / "cache")
    assert all(len(row.negatives) == 2 and len(row.scores) == 3 for row in found)
    assert not any(row.positive in row.negatives for row in found)
    monkeypatch.setattr(module, "mine_negatives", None)
    assert supervised(ROWS, asked, tmp_path / "cache") == found
    with pytest.raises(TypeError):
        supervised(ROWS[:1], asked, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = TrainOptions(teachers=("dense:never-loaded",))
    with pytest.raises(StorageError, match=r"file/cache cannot be written"):
        supervised([Example("query", "positive")], options, tmp_path / "file" / "cache")


def test_nothing_asked_is_nothing_changed(tmp_path: Path) -> None:
    assert supervised(ROWS, TrainOptions(), tmp_path / "cache") == ROWS
    assert [*tmp_path.iterdir()] == []


def test_scores_without_an_index(tiny_dense: Path, tmp_path: Path) -> None:
    rows = [Example("parse json", "json", ("socket",))]
    options = TrainOptions(teachers=(f"dense:{tiny_dense}",))
    (row,) = supervised(rows, options, tmp_path)
    assert row.negatives == ("socket",)
    assert len(row.scores) == 2
