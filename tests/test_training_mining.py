from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hybrid.encoders.density import Density, alarms, density, expected_flops
from hybrid.errors import UsageError
from hybrid.search.index import open_index
from hybrid.training import Example
from hybrid.training.mining import mine_negatives
from hybrid.training.teachers import (
    DenseTeacher,
    EnsembleTeacher,
    Pair,
    StoredTeacher,
    score_examples,
)
from tests.conftest import DOCUMENTS

TEXTS = {doc_id: f"{title} {text}" for doc_id, (title, text) in DOCUMENTS.items()}


class LengthTeacher:
    """Scores a pair by the characters of its passage, and counts what it was asked."""

    name = "length"

    def __init__(self) -> None:
        self.asked = 0

    def score(self, pairs: Sequence[Pair]) -> np.ndarray:
        self.asked += len(pairs)
        return np.array([len(passage) for _, passage in pairs], dtype=np.float32)


def test_negatives_are_the_ranking_without_any_positive(tiny_index: Path) -> None:
    rows = [
        Example("thread socket", TEXTS["socket.socket"]),
        Example("thread socket", TEXTS["threading.Thread"]),
        Example("parse json", TEXTS["json.load"]),
    ]
    index = open_index(tiny_index)
    mined = mine_negatives(index, rows, count=2, fusion="bm25")
    for row in mined:
        positives = {other.positive for other in rows if other.query == row.query}
        ranked = [
            index.document(h.doc_id).full_text for h in index.search(row.query, 10, fusion="bm25")
        ]
        best = [text for text in ranked if text not in positives][:2]
        assert list(row.negatives[: len(best)]) == best
        assert len(set(row.negatives) - positives) == 2
    assert mined[0].negatives == mined[1].negatives


def test_skip_leaves_out_the_first_ranks(tiny_index: Path) -> None:
    row = Example("json", "nothing that is indexed")
    index = open_index(tiny_index)
    both = mine_negatives(index, [row], count=2, fusion="bm25")[0].negatives
    assert mine_negatives(index, [row], count=1, skip=1, fusion="bm25")[0].negatives == both[1:]
    with pytest.raises(UsageError, match="at least 1"):
        mine_negatives(index, [row], count=0)


def test_random_documents_fill_up_where_few_are_ranked(tiny_index: Path) -> None:
    rows = [Example("thread socket", TEXTS["socket.socket"])]
    with open_index(tiny_index) as index:
        (mined,) = mine_negatives(index, rows, count=7, fusion="bm25", skip=3)
        (again,) = mine_negatives(index, rows, count=7, fusion="bm25", skip=3)
    assert mined == again
    assert len(set(mined.negatives)) == 7
    assert set(mined.negatives) < set(TEXTS.values()) - {TEXTS["socket.socket"]}


def test_scores_stand_in_the_order_of_the_passages() -> None:
    rows = [Example("q", "four", ("two", "sixsix")), Example("p", "a")]
    assert [row.scores for row in score_examples(rows, LengthTeacher())] == [(4, 3, 6), (1,)]
    assert score_examples([], LengthTeacher()) == []


def test_ensemble_is_the_weighted_sum() -> None:
    ensemble = EnsembleTeacher([LengthTeacher(), LengthTeacher()], [1.0, 0.5])
    assert ensemble.score([("q", "four")]).tolist() == [4 * 1.5]
    with pytest.raises(UsageError, match="one each"):
        EnsembleTeacher([LengthTeacher()], [])


def test_stored_scores_are_computed_once(tmp_path: Path) -> None:
    teacher = LengthTeacher()
    pairs = [("q", "four"), ("q", "two"), ("q", "four")]
    first = StoredTeacher(teacher, tmp_path).score(pairs)
    assert teacher.asked == 2
    again = StoredTeacher(teacher, tmp_path)
    np.testing.assert_array_equal(again.score([*pairs, ("q", "sixsix")]), [*first, 6])
    assert teacher.asked == 3


def test_a_line_cut_short_is_computed_again(tmp_path: Path) -> None:
    teacher = LengthTeacher()
    StoredTeacher(teacher, tmp_path).score([("q", "four")])
    file = next(tmp_path.iterdir())
    file.write_text(file.read_text()[:9])
    assert StoredTeacher(teacher, tmp_path).score([("q", "four")]).tolist() == [4]
    assert teacher.asked == 2


def test_dense_teacher_is_the_scaled_cosine(tiny_dense: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_dense), device="cpu")
    texts = ["merge sorted lists", "parse json"]
    vectors = model.encode(texts)
    found = DenseTeacher(str(tiny_dense), scale=2.0).score([(texts[0], texts[1])] * 2)
    np.testing.assert_allclose(found, [2 * vectors[0] @ vectors[1]] * 2, rtol=1e-4)


def test_density_by_hand() -> None:
    rows = csr_matrix([[1.0, 2.0, 0, 3.0], [0, 0, 0, 0], [0, 1.0, 0, 0]])
    assert density(rows, [[0, 2], [3], [1, 1]]) == Density(4 / 3, 1 / 3, 2 / 3, 1 - 2 / 4)
    shares = np.array([1, 2, 0, 1]) / 3
    assert expected_flops(rows, rows) == pytest.approx(shares @ shares)


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        (Density(3.0, 0.5, 0.6), "collapse"),
        (Density(3.0, 0.0, 0.6), "too sparse"),
        (Density(900.0, 0.0, 0.0), "too dense"),
        (Density(50.0, 0.0, 0.0, 0.9), "terms lost"),
    ],
)
def test_every_pitfall_has_its_alarm(measured: Density, word: str) -> None:
    healthy = Density(50.0, 0.0, 0.0, 0.1)
    assert alarms(healthy, healthy) == []
    assert [alarm.kind for alarm in alarms(measured, healthy)] == [word]
    assert {"lower", "raise"} & set(alarms(measured, healthy)[0].advice.split())
