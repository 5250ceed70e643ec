from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.build.options import BuildOptions
from hybrid.build.shards import Shards
from hybrid.build.survey import DOCUMENTS, Survey, branch_alarms, survey, survey_branches
from hybrid.corpus import open_source
from hybrid.encoders import load_dense, load_sparse
from hybrid.encoders.density import Density, density, expected_flops
from hybrid.errors import ModelMismatchError, UsageError
from hybrid.machine.memory import Allowance
from hybrid.search.index import Index, open_index
from tests.conftest import DOCUMENTS as COLLECTION
from tests.conftest import write_beir

TEXTS = [f"{title} {text}" for title, text in COLLECTION.values()]
TITLES = [title for title, _ in COLLECTION.values()]


def test_survey_by_hand(tiny_sparse: Path) -> None:
    encoder = load_sparse(str(tiny_sparse))
    weights = encoder.encode_documents(TEXTS)
    weights.data[weights.data < np.median(weights.data)] = 0
    weights.eliminate_zeros()
    found = survey(encoder, weights, TEXTS, ["", *TITLES[1:]])
    queries = encoder.encode_queries([TEXTS[0], *TITLES[1:]])
    assert found.queries.terms == density(queries).terms
    assert found.documents.terms == density(weights).terms
    assert found.flops == pytest.approx(expected_flops(queries, weights))
    lost = total = 0
    for row, text in enumerate(TEXTS):
        kept = {encoder.vocabulary[i] for i in weights[row].indices}
        words = set(text.split()) & set(encoder.vocabulary)
        lost, total = lost + len(words - kept), total + len(words)
    assert found.documents.literal_lost == pytest.approx(lost / total)
    assert found.sampled == len(TEXTS)


def test_a_large_corpus_is_sampled_evenly(tiny_sparse: Path, tmp_path: Path) -> None:
    documents = open_source(write_beir(tmp_path / "beir")).documents()
    encoders = {"sparse": load_sparse(str(tiny_sparse))}
    shards = encode_corpus(documents, tmp_path / "work", encoders, EncodeOptions(shard_size=3))
    found = survey_branches(shards, encoders)["sparse"]
    assert found.sampled == len(COLLECTION) < DOCUMENTS


def test_a_sample_that_is_read_in_pieces_is_surveyed_whole(
    tiny_sparse: Path, tmp_path: Path
) -> None:
    documents = open_source(write_beir(tmp_path / "beir")).documents()
    encoders = {"sparse": load_sparse(str(tiny_sparse))}
    shards = encode_corpus(documents, tmp_path / "work", encoders, EncodeOptions(shard_size=3))
    expected = survey_branches(shards, encoders)["sparse"]
    found = survey_branches(Shards(shards.directory, Allowance(piece=1)), encoders)["sparse"]
    assert found.documents.literal_lost == expected.documents.literal_lost > 0
    assert (found.figures(), found.sampled) == (expected.figures(), len(COLLECTION))


def test_a_build_reports_its_figures_and_alarms(tiny_sparse: Path, tmp_path: Path) -> None:
    source = open_source(write_beir(tmp_path / "beir"))
    sparse = BuildOptions(sparse=str(tiny_sparse), dense=None, min_weight=100.0)
    report = build_index(source, tmp_path / "empty", sparse)
    assert report.alarms[0].startswith("collapse: 100% of the documents have no term at all")
    figures = report.branches["sparse"].report
    assert figures["empty_documents"] == figures["literal_terms_lost"] == "100.0%"
    assert figures["expected_flops"] == 0
    assert "expected_flops" not in report.branches["bm25"].report
    with open_index(tmp_path / "empty") as index:
        rows = list(source.documents())
        (alarm,) = index.update(rows[:3]).alarms
        assert alarm.startswith("collapse: 100% of the documents")
        assert index.update(rows[:1]).alarms == index.update(rows[:2]).alarms == ()


@pytest.mark.parametrize(
    ("sampled", "empty", "kinds"),
    [
        (1, 1.0, []), (2, 1.0, []), (3, 1.0, ["collapse"]), (19, 1.0, ["collapse"]),
        (19, 0.9, []), (19, 0.0, []), (20, 0.9, ["collapse", "terms lost", "too sparse"]),
        (20, 0.0, ["too sparse", "terms lost", "too sparse"]),
    ],
)  # fmt: skip
def test_a_few_texts_raise_no_alarm(sampled: int, empty: float, kinds: list[str]) -> None:
    found = Survey(Density(4.0, empty, 1.0, 0.9), Density(2.0, 0.0, 1.0), 1.0, sampled)
    assert [alarm.split(":")[0] for alarm in found.alarms] == kinds


def test_pruned_terms_are_recorded_with_the_index(tiny_sparse: Path, tmp_path: Path) -> None:
    source = open_source(write_beir(tmp_path / "beir"))
    options = BuildOptions(sparse=str(tiny_sparse), dense=None, document_terms=5, query_terms=2)
    build_index(source, tmp_path / "index", options)
    with open_index(tmp_path / "index") as index:
        branch = index.contents.sparse("sparse")
        assert branch.nnz == 5 * len(TEXTS)
        whole = load_sparse(str(tiny_sparse)).encode_queries(["parse json"])
        kept = index.sparse_encoder("sparse").encode_queries(["parse json"])
        assert sorted(kept.data) == pytest.approx(sorted(whole.data)[-2:])
        given = {"sparse": load_sparse(str(tiny_sparse))}
    other = Index(tmp_path / "index", encoders=given)
    with pytest.raises(ModelMismatchError, match="kept_query_terms: 2 in the index, None now"):
        other.encoder("sparse")


def test_weights_up_to_the_least_are_dropped(tiny_sparse: Path) -> None:
    whole = load_sparse(str(tiny_sparse)).encode_documents(TEXTS)
    least = float(np.median(whole.data))
    kept = load_sparse(str(tiny_sparse), min_weight=least).encode_documents(TEXTS)
    expected = whole.toarray()
    expected[expected <= least] = 0
    np.testing.assert_array_equal(kept.toarray(), expected)


def test_what_cannot_be_pruned(tiny_dense: Path) -> None:
    with pytest.raises(UsageError, match="sparse models alone"):
        load_dense(str(tiny_dense), document_terms=3)
    with pytest.raises(UsageError, match="1 or more"):
        BuildOptions(query_terms=0)
    with pytest.raises(UsageError, match="no learned sparse branch"):
        BuildOptions(sparse=None, document_terms=3)
    with pytest.raises(UsageError, match="min_weight"):
        load_dense(str(tiny_dense), min_weight=-1.0)


def test_words_without_a_weight_are_told_only_where_no_bm25_is_beside() -> None:
    found = {"sparse": Survey(Density(40.0, 0.0, 0.0, 0.9), Density(9.0, 0.0, 0.0), 1.0, 20)}
    (alarm,) = branch_alarms(found, {}, bm25=False)
    assert alarm.startswith("terms lost: 90% of the words")
    assert branch_alarms(found, {}, bm25=True) == ()
