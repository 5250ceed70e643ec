"""Reranking: the first documents scored again, one more branch of fusion, evaluation and tuning."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hybrid
from hybrid.build.options import BuildOptions
from hybrid.corpus import Passages, open_source
from hybrid.encoders import Bm25Parameters
from hybrid.encoders.cross import TransformerCrossEncoder
from hybrid.errors import ModelError, UsageError
from hybrid.evaluate import evaluate, judge
from hybrid.evaluate.bench import Bench
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.systems import evaluate_systems
from hybrid.fusion import cc, fuse, rank, rrf, single
from hybrid.fusion.pool import Pool
from hybrid.index.change import store_domain
from hybrid.machine.cache import Cache
from hybrid.search.passages import best_texts
from hybrid.search.rerank import PairScores, RerankPlan, cut_pool
from hybrid.tune import TuneOptions, TuneResult, tune
from hybrid.tune.on_index import DomainTask, tune_index, tune_indexes
from hybrid.tune.rerank import Reranking, _weight_curve
from tests.conftest import DOCUMENTS, QUERIES, write_beir
from tests.made_encoders import HashDense, HashSparse
from tests.made_pools import planted, random_pool, random_qrels
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]

QUERY = "merge sorted lists"
QUICK = TuneOptions(trials=0, repeats=1, curve=False)


class Scores:
    """A score of every (query, document), looked up; counts what it is asked for."""

    def __init__(self, pool: Pool, seed: int = 0, levels: int = 5) -> None:
        shape = (len(pool.query_ids), len(pool.doc_ids))
        self.rows = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32) - 2
        self._places = {query_id: place for place, query_id in enumerate(pool.query_ids)}
        self.asked: list[tuple[str, int]] = []

    def __call__(self, query_id: str, doc_nums: Sequence[int]) -> NDArray[np.float32]:
        self.asked += [(query_id, each) for each in doc_nums]
        return self.rows[self._places[query_id], list(doc_nums)]


class Bars:
    """Progress: the label, total and finished items of each bar."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    def __call__(self, label: str, total: int | None) -> Callable[[int], None]:
        bar = [label, total, 0]
        self.seen.append(bar)

        def advance(count: int) -> None:
            bar[2] += count

        return advance


def made(score: Callable[..., Any], depth: int = 9) -> tuple[Reranking, Bars]:
    """Return a reranking by scores that are there, and its progress."""
    bars = Bars()
    return Reranking("made", depth, lambda branches: score, bars), bars


def length(query: str, texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def recorded(read: list[str]) -> Any:
    """Return a reranker that notes each text that it reads."""

    def score(query: str, texts: Sequence[str]) -> list[int]:
        read.extend(texts)
        return length(query, texts)

    return score


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    depth=st.integers(1, 40),
    first=st.sampled_from([cc(norm="minmax"), rrf(), single("dense"), single("sparse")]),
    second=st.sampled_from([cc(norm="minmax"), cc(0.3, norm="zscore"), single("rerank"), rrf()]),
)
def test_the_rest_follows_in_its_order_and_never_passes(
    seed: int, depth: int, first: hybrid.Fusion, second: hybrid.Fusion
) -> None:
    pool = random_pool(seed, levels=4)
    fused = fuse(pool, first)
    before = rank(pool, fused, 1000)
    scores = Scores(pool, seed)
    cut = cut_pool(pool, fused, depth, scores)
    after = rank(pool, cut.spread(fuse(cut.pool, second), len(fused)), 1000)
    assert len(scores.asked) == len(set(scores.asked)) == len(cut.pool.doc_nums)
    for query_id, (start, stop) in zip(pool.query_ids, pairwise(cut.pool.offsets), strict=True):
        were, are = before.doc_ids(query_id), after.doc_ids(query_id)
        assert stop - start == min(depth, len(were))
        assert sorted(are[:depth]) == sorted(were[:depth])
        assert are[depth:] == were[depth:]
        taken = slice(start, stop)
        assert sorted(cut.pool.ranks[0, taken]) == sorted(cut.pool.ranks[1, taken])


def test_either_stage_alone_orders_the_cut_by_itself() -> None:
    pool = random_pool(3)
    fused = fuse(pool, rrf())
    scores = Scores(pool)
    cut = cut_pool(pool, fused, 6, scores)
    first = rank(pool, cut.spread(fuse(cut.pool, single("first")), len(fused)), 50)
    assert {q: first.doc_ids(q) for q in first} == {
        q: rank(pool, fused, 50).doc_ids(q) for q in first
    }
    for place, query_id in enumerate(pool.query_ids):
        best = rank(pool, fused, 6).doc_ids(query_id)
        known = {d: float(scores.rows[place, pool.doc_ids.index(d)]) for d in best}
        expected = sorted(best, key=lambda d: (known[d], d), reverse=True)
        again = rank(pool, cut.spread(fuse(cut.pool, single("rerank")), len(fused)), 6)
        assert list(again.doc_ids(query_id)) == expected


def test_great_scores_stay_apart_from_the_rest() -> None:
    pool = random_pool(4, queries=2)
    fused = fuse(pool, rrf())
    for scale in (1e9, -1e9):
        cut = cut_pool(pool, fused, 3, lambda _, d, by=scale: np.full(len(d), by, np.float32))
        run = rank(pool, cut.spread(fuse(cut.pool, single("rerank")), len(fused)), 50)
        for query_id in run:
            assert set(run.doc_ids(query_id)[:3]) == set(rank(pool, fused, 3).doc_ids(query_id))
            assert run.doc_ids(query_id)[3:] == rank(pool, fused, 50).doc_ids(query_id)[3:]


def test_a_query_without_candidates_has_none() -> None:
    pool = random_pool(1, queries=1)
    pool = replace(pool, query_ids=("q0", "none"), offsets=pool.offsets[[0, 1, 1]])
    fused = fuse(pool, rrf())
    cut = cut_pool(pool, fused, 4, Scores(pool))
    assert cut.pool.offsets.tolist() == [0, 4, 4]
    assert np.isfinite(cut.spread(fuse(cut.pool, cc(norm="minmax")), len(fused))).all()


def test_a_search_scores_titles_and_texts_of_the_first_documents(tiny_index: Path) -> None:
    asked: list[tuple[str, str]] = []

    def score(query: str, texts: Sequence[str]) -> list[float]:
        asked.extend((query, text) for text in texts)
        return [float("socket" in text) for text in texts]

    with hybrid.open(tiny_index) as index:
        before = index.search(QUERY, k=10)
        full = {d: index.document(d).full_text for d in DOCUMENTS}
        for depth, k in [(3, 10), (3, 2), (50, 10), (1, 1)]:
            asked.clear()
            hits = index.search(
                QUERY, k=k, rerank=score, rerank_depth=depth, rerank_fusion="rerank"
            )
            cut = [hit.doc_id for hit in before[:depth]]
            assert sorted(asked) == sorted((QUERY, full[d]) for d in cut)
            order = sorted(cut, key=lambda d: ("socket" in full[d], d), reverse=True)
            rest = [hit.doc_id for hit in before[depth:]]
            assert [hit.doc_id for hit in hits] == [*order, *rest][:k]
        run = index.search({"a": QUERY, "b": "thread"}, k=10, rerank=score, rerank_depth=2)
        assert run["a"] == index.search(QUERY, k=10, rerank=score, rerank_depth=2)
        plan = index.plan(rerank=score)
    assert plan.rerank is not None
    assert (plan.rerank.depth, str(plan.rerank.fusion)) == (50, "cc(norm=minmax)")


def test_what_cannot_be_done_is_said(tiny_index: Path, tmp_path: Path) -> None:
    with hybrid.open(tiny_index) as index:
        for scores in ([1.0], [float("nan")] * 10, [[1.0]] * 10):
            with pytest.raises(UsageError, match="give one score for each text"):
                index.search(QUERY, rerank=lambda *_, found=scores: found)
        with pytest.raises(UsageError, match="name of a cross-encoder, or a callable"):
            index.search(QUERY, rerank=3)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="rerank_depth is 0"):
            index.search(QUERY, rerank=length, rerank_depth=0)
        with pytest.raises(UsageError, match="names 'dense'"):
            index.search(QUERY, rerank=length, rerank_fusion="dense")
        with pytest.raises(UsageError, match="rerank_depth says"):
            index.search(QUERY, rerank=length, rerank_fusion="cc(alpha=0.5, depth=3)")
        with pytest.raises(ModelError, match="is not a folder"):
            index.search(QUERY, rerank=str(tmp_path / "none"))
    with pytest.raises(UsageError):
        RerankPlan(length, 5, cc(weights={"a": 1, "b": 2}))


def test_an_explanation_has_a_share_of_each_stage(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        options = {"rerank": length, "rerank_depth": 3, "rerank_fusion": "cc(alpha=0.3)"}
        options["rerank_fusion"] = "cc(alpha=0.3, norm=minmax)"
        hits = index.search(QUERY, k=10, **options)  # type: ignore[call-overload]
        found = index.explain(QUERY, k=10, **options)  # type: ignore[arg-type]
        plain = {each.doc_id: each for each in index.explain(QUERY, k=10)}
    assert [each.rank for each in found] == [hit.rank for hit in hits]
    for hit, each in zip(hits[:3], found[:3], strict=True):
        assert each.score == pytest.approx(hit.score, abs=1e-6)
        assert [share.branch for share in each.branches] == ["first", "rerank"]
        assert sum(share.share for share in each.branches) == pytest.approx(each.score, abs=1e-9)
        assert each.branches[1].score == len(" ".join(DOCUMENTS[each.doc_id]))
        assert each.first == plain[each.doc_id]
        assert each.branches[0].score == pytest.approx(plain[each.doc_id].score)
        assert any(line.startswith("    bm25") for line in each.lines())
    assert found[3:] == [plain[each.doc_id] for each in found[3:]]
    json.dumps([each.to_dict() for each in found])


def test_the_first_stage_of_a_document_brought_up_says_nothing_of_the_list(
    tiny_index: Path,
) -> None:
    with hybrid.open(tiny_index) as index:
        first = index.search(QUERY, k=3)
        last, texts = first[-1].doc_id, {hit.doc_id: hit.text for hit in first}

        def reverse(_: str, read: Sequence[str]) -> list[int]:
            return [int(texts[last] in text) for text in read]

        (found,) = index.explain(QUERY, k=1, rerank=reverse, rerank_depth=3, rerank_fusion="rerank")
    assert (found.doc_id, found.rank, found.missed) == (last, 1, None)
    assert found.first is not None
    assert (found.first.rank, found.first.missed) == (3, None)


def test_passages_are_those_of_the_branches_that_were_searched(tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": f"merge sort {n} queue heap list file"} for n in range(4)]
    encoders = {"sparse": HashSparse(), "dense": HashDense()}
    options = BuildOptions(passages=Passages(3))
    hybrid.build_index(rows, tmp_path / "index", options, encoders=encoders)
    asked: list[str] = []

    class Counted(HashSparse):
        def encode_queries(self, texts: Sequence[str]) -> Any:
            asked.extend(texts)
            return super().encode_queries(texts)

    with hybrid.open(tmp_path / "index", encoders={"sparse": Counted()}) as index:
        queries = {"a": "merge", "b": "queue heap"}
        run = index.search(queries, fusion="sparse", rerank=length, rerank_fusion="rerank")
        assert asked == list(queries.values())
        for query_id, text in queries.items():
            for hit, best in zip(
                run[query_id],
                index.best_passages(text, run.doc_ids(query_id), ["sparse"]),
                strict=True,
            ):
                assert hit.score == max([len(each.text) for each in best])
    store_domain(tmp_path / "index", "one", "sparse", {})
    grades = {"a": {"d1": 1}, "b": {"d2": 1}}
    with hybrid.open(tmp_path / "index", encoders=encoders) as index:
        asked_of: list[str] = []
        told: Any = {"domain": "one", "rerank": recorded(asked_of)}
        index.search(queries, k=4, **told)
        before = asked_of.copy()
        asked_of.clear()
        evaluate_systems(index, (queries, grades), EvaluateOptions(**told))
    assert asked_of == before


def test_a_reranked_system_is_measured_beside_the_others(tiny_index: Path, tmp_path: Path) -> None:
    source = open_source(write_beir(tmp_path / "beir"))
    with hybrid.open(tiny_index) as index:
        report = evaluate_systems(index, source, EvaluateOptions(rerank=length, rerank_depth=4))
        run = index.search({q: text for q, (text, _) in QUERIES.items()}, k=1000, rerank=length,
                           rerank_depth=4)  # fmt: skip
    assert [system.name for system in report.systems][-1] == "reranked"
    expected = evaluate(run, report.judged.qrels, "nDCG@10,RR@10,R@100")
    assert report.system("reranked").evaluation.aggregates == expected.aggregates
    assert str(report.system("reranked").fusion) == "cc(norm=minmax)"


def test_the_weight_curve_is_the_measure_of_the_ranked_run() -> None:
    pool = random_pool(5, queries=12)
    qrels = random_qrels(pool, 5)
    bench = Bench(judge(pool, qrels), "nDCG@10")
    for fusion in (cc(0.4, norm="minmax"), single("dense"), rrf()):
        scores = Scores(pool, 5, levels=1000)
        curve = _weight_curve(bench, made(scores, 7)[0], fusion)
        fused = fuse(pool, fusion)
        cut = cut_pool(pool, fused, 7, scores)
        for alpha in (0.03, 0.37, 0.81):
            joined = cut.spread(fuse(cut.pool, cc(alpha, norm="minmax")), len(fused))
            found = evaluate(rank(pool, joined, 1000), qrels).per_query("nDCG@10")
            np.testing.assert_allclose(curve.at(alpha), found, atol=1e-9)


def test_a_reranker_that_knows_more_is_used_and_noise_is_not() -> None:
    pool, qrels = planted(1, queries=80)

    def knows(query_id: str, doc_nums: Sequence[int]) -> NDArray[np.float32]:
        return np.array([qrels[query_id].get(pool.doc_ids[d], 0) for d in doc_nums], np.float32)

    found = tune(pool, qrels, QUICK, rerank=Reranking("oracle", 20, lambda _: knows)).rerank
    assert found is not None
    assert found.keep
    assert found.difference.mean > 0.05
    assert found.first < found.held_out
    assert (found.fusion.alpha or 0) > 0.5
    json.dumps(found.to_dict())
    noise = Scores(pool, 9, levels=10_000)
    result = tune(pool, qrels, QUICK, rerank=Reranking("noise", 20, lambda _: noise))
    assert result.rerank is not None
    assert not result.rerank.keep
    assert result.rerank.difference.mean < 0.01
    assert "not shown to be better" in result.lines()[-1]
    stored = TuneResult.stored(json.loads(json.dumps(result.to_dict())))
    assert (stored.rerank, stored.lines()) == (result.rerank, result.lines())
    assert tune(pool, qrels, QUICK).fusion == result.fusion


def test_the_first_stage_held_out_is_that_of_the_verdict() -> None:
    for seed, verdict in [(1, "fusion"), (4, "branch")]:
        pool, qrels = planted(seed, queries=120, copies=verdict == "branch")
        reranking, bars = made(Scores(pool))
        result = tune(pool, qrels, QUICK, rerank=reranking)
        assert result.rerank is not None
        assert result.verdict == verdict
        expected = result.held_out if verdict == "fusion" else result.baselines["branch"][1]
        assert result.rerank.first == pytest.approx(expected)
        ((label, total, done),) = bars.seen
        assert (label, done) == ("reranking", total)
        assert total > 9 * 120 * 0.9  # the first of nearly every query, and others of some folds


def test_a_cross_encoder_by_path_scores_and_its_scores_are_kept(
    tiny_index: Path, tiny_cross: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    asked: list[int] = []
    predict = CrossEncoder.predict

    def counted(self: CrossEncoder, pairs: list[object], **options: object) -> object:
        asked.append(len(pairs))
        return predict(self, pairs, **options)

    monkeypatch.setattr(CrossEncoder, "predict", counted)
    options = {"rerank": str(tiny_cross), "rerank_depth": 4}
    for _ in range(2):
        with hybrid.open(tiny_index) as index:
            result = index.view().search({"1": QUERY}, index.plan(10, **options))  # type: ignore[arg-type]
            texts = [index.document(d).full_text for d in result.run.doc_ids("1")[:4]]
    assert asked == [4]
    assert {each.kind: each.entries for each in Cache().holdings()} == {"scores": 4}
    assert result.cut is not None
    model = CrossEncoder(str(tiny_cross), activation_fn=torch.nn.Identity())
    expected = predict(model, [(QUERY, text) for text in texts])
    assert len(set(expected.tolist())) == 4
    found = {
        result.cut.pool.doc_ids[d]: s
        for d, s in zip(result.cut.pool.doc_nums, result.cut.pool.scores[1], strict=True)
    }
    ours = [found[doc_id] for doc_id in result.run.doc_ids("1")[:4]]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    with hybrid.open(tiny_index) as index:
        index.search("thread socket", **options)  # type: ignore[call-overload]
        assert asked == [4, 4]
        index.search(QUERY, rerank=str(tiny_cross), rerank_depth=6)
        assert asked == [4, 4, 2]


def test_a_cross_encoder_of_many_scores_is_refused(
    tiny_index: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(tiny_bert, num_labels=3)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "m")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "m")
    with (
        hybrid.open(tiny_index) as index,
        pytest.raises(ModelError, match="gives 3 scores a pair"),
    ):
        index.search(QUERY, rerank=str(tmp_path / "m"))


def test_scores_are_asked_for_once(tiny_index: Path) -> None:
    calls: list[list[str]] = []

    def score(query: str, texts: Sequence[str]) -> list[int]:
        calls.append(list(texts))
        return length(query, texts)

    with hybrid.open(tiny_index) as index:
        scores = PairScores(index.contents, {"q": QUERY}, score, lambda _: {})
        assert scores("q", [1, 3]).tolist() == scores("q", [1, 3]).tolist()
        assert len(scores("q", [3, 5, 1])) == 3
        assert scores("q", []).tolist() == []
    assert [len(texts) for texts in calls] == [2, 1]


def test_a_tuned_weight_is_what_a_search_of_the_domain_takes(
    tiny_copy: Path, tiny_cross: Path, tmp_path: Path
) -> None:
    source = open_source(write_beir(tmp_path / "beir"))
    name = str(tiny_cross)
    options = replace(QUICK, folds=2, rerank=name, rerank_depth=4)
    with hybrid.open(tiny_copy) as index:
        result = tune_index(index, source, options)
        assert result.rerank is not None
        index.store_domain("here", result.fusion, report=result.to_dict())
        plan = index.plan(domain="here", rerank=name).rerank
        assert plan is not None
        assert (plan.fusion, plan.depth) == (result.rerank.fusion, 4)
        for plan in (
            index.plan(domain="here", rerank=length).rerank,
            index.plan(fusion="rrf", rerank=name).rerank,
        ):
            assert plan is not None
            assert (str(plan.fusion), plan.depth) == ("cc(norm=minmax)", 50)
        assert index.plan(domain="here").rerank is None


def test_the_commands_take_a_reranker(
    hybrid_command: Command, tiny_copy: Path, tiny_cross: Path, beir_folder: Path
) -> None:
    again = ("--rerank", tiny_cross, "--rerank-depth", "3")
    status, plain, err = hybrid_command("search", tiny_copy, QUERY, "-k", "9")
    assert status == 0, err
    status, out, err = hybrid_command("search", tiny_copy, QUERY, "-k", "9", *again)
    assert status == 0, err
    were, are = (
        re.findall(r"^ +\d+  [\d.-]+  (\S+)$", text, re.MULTILINE) for text in (plain, out)
    )
    assert len(were) == len(are) == 9
    assert were[:3] != are[:3]
    assert sorted(were[:3]) == sorted(are[:3])
    assert were[3:] == are[3:]
    status, out, err = hybrid_command("explain", tiny_copy, QUERY, "heapq.merge", *again)
    assert "rerank   share" in out, err
    status, out, err = hybrid_command("evaluate", tiny_copy, beir_folder, *again, "--json")
    assert list(json.loads(out)["systems"])[-1] == "reranked", err
    status, out, err = hybrid_command(
        "tune", tiny_copy, beir_folder, "--trials", "0", "--folds", "2", *again
    )
    assert "reranking:" in out, err


def test_tuning_reads_the_passages_of_the_branches_of_each_fusion(tmp_path: Path) -> None:
    rows = [{"id": name, "title": title, "text": text} for name, (title, text) in DOCUMENTS.items()]
    options = BuildOptions(bm25=True, passages=Passages(4, 1))
    encoders = {"bm25": Bm25Parameters(), "dense": HashDense()}
    hybrid.build_index(rows, tmp_path / "index", options, encoders=encoders)
    read: list[str] = []
    asked = {f"{name}{at}": text for at in range(3) for name, (text, _) in QUERIES.items()}
    with hybrid.open(tmp_path / "index", encoders={"dense": HashDense()}) as index:
        best = index.search(asked, k=1, fusion="bm25")
        given = {query_id: {best[query_id][0].doc_id: 1} for query_id in asked}
        view, bars = index.view(), Bars()
        result = tune_index(
            index,
            (asked, given),
            replace(QUICK, folds=2, rerank=recorded(read), rerank_depth=3),
            progress=bars,
        )
        assert result.rerank is not None
        assert [label for label, *_ in bars.seen] == ["tuning", "reranking"]
        for _, total, done in bars.seen:
            assert total == done
        every = {
            f"{title} {passage.text}"
            for query in asked.values()
            for doc_id, (title, _) in DOCUMENTS.items()
            for passage in view.best_passages(query, [doc_id], ["bm25"])[0]
        }
        assert str(result.fusion) == "bm25"
        assert read
        assert set(read) <= every


def test_several_domains_tune_the_weight_of_a_reranker_each(
    tiny_copy: Path, beir_folder: Path, tiny_cross: Path
) -> None:
    source = hybrid.open_source(beir_folder)
    name = str(tiny_cross)
    options = replace(QUICK, folds=2, rerank=name, rerank_depth=4)
    with hybrid.open(tiny_copy) as index:
        tasks = [DomainTask(each, source, index) for each in ("here", "there")]
        found = tune_indexes(tasks, options)
        alone = tune_index(index, source, options).rerank
        for each in ("here", "there"):
            own = found.results[each].rerank
            assert own is not None
            plan = index.plan(domain=each, rerank=name).rerank
            assert plan is not None
            assert (plan.fusion, plan.depth) == (own.fusion, 4)
        assert alone is not None


def test_where_texts_are_cut_the_best_passages_are_scored(tmp_path: Path) -> None:
    """The needle stands in a late passage, beyond what a model may read of the whole text."""
    words = "merge sort list heap queue file path read write json".split()  # noqa: SIM905
    texts = {f"d{n}": " ".join(words[n:] + words[:n]) * 3 for n in range(6)}
    texts["d3"] += " needle in a haystack"
    rows = [{"id": name, "title": "T", "text": text} for name, text in texts.items()]
    options = BuildOptions(sparse=None, dense=None, passages=Passages(4, 1))
    hybrid.build_index(rows, tmp_path / "index", options)
    asked: list[str] = []

    def score(query: str, read: Sequence[str]) -> list[float]:
        asked.extend(read)
        return [float("needle" in text) for text in read]

    with hybrid.open(tmp_path / "index") as index:
        queries = {"a": "needle merge", "b": "json", "c": "unknown"}
        run = index.search(queries, k=6, rerank=score, rerank_depth=6, rerank_fusion="rerank")
        assert run["a"][0].doc_id == "d3"
        best = index.best_passages("needle merge", ["d3"])[0][0]
        assert f"T {best.text}" in asked
        assert max(map(len, asked)) < 60
        assert len(run["c"]) == 0
        numbers = [index.contents.documents.doc_num(name) for name in ("d3", "d0")]
        firsts = best_texts(index.contents, {}, numbers)
        assert firsts == [[f"T {' '.join(texts[d].split()[:4])}"] for d in ("d3", "d0")]
        view, plan = index.view(), index.plan(rerank=length).rerank
        assert plan is not None
        found = view.pair_scores({"q": "json"}, plan)("q", numbers)
        best = view.best_passages("json", ["d3", "d0"])
        assert found.tolist() == [max(len(f"T {p.text}") for p in each) for each in best]


def test_a_long_reranking_shows_documents_and_the_time_left_and_keeps_scores_when_stopped(
    hybrid_command: Command,
    tiny_index: Path,
    tiny_cross: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hybrid.cli.output.SECONDS", 0.0)
    score, calls = TransformerCrossEncoder.score, []

    def stopped_at_the_third(self: Any, pairs: Any, progress: Any = None) -> Any:
        calls.append(len(pairs))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(self, pairs, progress)

    monkeypatch.setattr(TransformerCrossEncoder, "score", stopped_at_the_third)
    source = write_beir(tmp_path / "judged")
    command = ("evaluate", tiny_index, source, "--rerank", tiny_cross, "--rerank-depth", "4")
    status, _, err = hybrid_command(*command)
    assert status == 130
    assert "scores of finished queries are in the cache" in err
    assert re.search(r"reranking: 8/24, [\d.,]+/s, \d+:\d\d:\d\d left", err)
    status, _, err = hybrid_command(*command)
    assert status == 0, err
    assert calls == [4] * (3 + len(QUERIES) - 2)
    assert "reranking: 24/24" in err
