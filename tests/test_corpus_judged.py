"""Queries and judgments alone, in place of a source: evaluate and tune need no documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hybrid
from hybrid.corpus import Query, SourceOptions, open_source
from hybrid.corpus.judged import as_judged
from hybrid.corpus.qrels import write_qrels
from hybrid.errors import CorpusError, UsageError
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.systems import evaluate_systems
from hybrid.serve.judge import Judge
from hybrid.tune import TuneOptions
from hybrid.tune.on_index import tune_index
from tests.conftest import QUERIES
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]

TEXTS = {query_id: text for query_id, (text, _) in QUERIES.items()}
QRELS = {query_id: judged for query_id, (_, judged) in QUERIES.items()}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    queries, qrels = tmp_path / "q.tsv", tmp_path / "q.qrels"
    queries.write_text("".join(f"{query_id}\t{text}\n" for query_id, text in TEXTS.items()))
    lines = [f"{q} 0 {d} {grade}\n" for q, judged in QRELS.items() for d, grade in judged.items()]
    qrels.write_text("".join(lines))
    return queries, qrels


@pytest.mark.parametrize("form", ["mappings", "queries", "paths", "texts"])
def test_queries_and_qrels_do_for_a_source(
    tiny_index: Path, beir_folder: Path, files: tuple[Path, Path], form: str
) -> None:
    pairs: dict[str, tuple[Any, Any]] = {
        "mappings": (TEXTS, QRELS),
        "queries": ([Query(*each) for each in TEXTS.items()], QRELS),
        "paths": files,
        "texts": (str(files[0]), str(files[1])),
    }
    with hybrid.open(tiny_index) as index:
        expected = evaluate_systems(index, open_source(beir_folder))
        found = evaluate_systems(index, pairs[form])
        for one, other in zip(found.systems, expected.systems, strict=True):
            assert one.run == other.run
            assert one.evaluation.aggregates == other.evaluation.aggregates
        options = TuneOptions(trials=0, folds=2, repeats=1)
        tuned = tune_index(index, pairs[form], options)
        assert tuned.fusion == tune_index(index, open_source(beir_folder), options).fusion


def test_evaluate_and_tune_take_the_two_files(
    hybrid_command: Command, tiny_copy: Path, files: tuple[Path, Path]
) -> None:
    given = ("--queries", files[0], "--qrels", files[1], "--json")
    status, out, err = hybrid_command("evaluate", tiny_copy, *given)
    assert status == 0, err
    assert json.loads(out)["queries"] == len(TEXTS)
    tuned = ("--trials", "0", "--folds", "2", "--domain", "mine")
    status, _, err = hybrid_command("tune", tiny_copy, *given, *tuned)
    assert status == 0, err
    with hybrid.open(tiny_copy) as index:
        assert list(index.domains) == ["mine"]
    for command in ("evaluate", "tune"):
        status, _, err = hybrid_command(command, tiny_copy, "--queries", files[0])
        assert status == 1
        assert "name a source, or give --queries and --qrels" in err


def test_a_file_beside_qrels_holds_the_queries(
    hybrid_command: Command, tiny_copy: Path, files: tuple[Path, Path]
) -> None:
    asked = ("--qrels", files[1], "--measures", "nDCG@10", "--json")
    expected = hybrid_command("evaluate", tiny_copy, "--queries", files[0], *asked)[1]
    assert hybrid_command("evaluate", tiny_copy, files[0], *asked)[1] == expected
    tuned = ("--trials", "0", "--folds", "2", "--split", "train")
    status, _, err = hybrid_command("tune", tiny_copy, files[0], "--qrels", files[1], *tuned)
    assert status == 0, err
    status, _, err = hybrid_command("tune", tiny_copy, files[0], *tuned)
    assert status == 1
    assert "give a qrels file with --qrels" in err


def test_the_folder_of_the_page_is_a_source(
    hybrid_command: Command, tiny_copy: Path, tmp_path: Path
) -> None:
    judge = Judge(tmp_path / "judged")
    texts = [*TEXTS.values(), 'an "open quote', '"']
    for text, judged in zip(texts, [*QRELS.values()] * 2, strict=False):
        for doc_id, grade in judged.items():
            judge.add(text, doc_id, grade)
    source = as_judged(judge.folder)
    assert [query.text for query in source.queries("any")] == texts
    assert len(source.qrels("other")) == len(texts)
    status, out, err = hybrid_command("evaluate", tiny_copy, judge.folder, "--json")
    assert status == 0, err
    assert json.loads(out)["queries"] == len(texts)
    status, _, err = hybrid_command(
        "tune", tiny_copy, judge.folder, "--trials", "0", "--folds", "2", "--split", "train"
    )
    assert status == 0, err
    with pytest.raises(UsageError, match="the query is empty"):
        judge.add(" ", "d", 1)


@pytest.mark.parametrize("grade", [0, 1])
def test_judgments_of_another_collection_are_refused(
    tiny_index: Path, files: tuple[Path, Path], tmp_path: Path, grade: int
) -> None:
    with hybrid.open(tiny_index) as index:
        qrels = {"q1": {"elsewhere": grade}}
        said = "none of the 1 documents .*{}, split 'test', is in the index, which was built of"
        with pytest.raises(CorpusError, match=said.format("by the given judgments")):
            evaluate_systems(index, ({"q1": "merge"}, qrels), EvaluateOptions())
        path = tmp_path / "elsewhere.qrels"
        write_qrels(path, qrels)
        for given in (({"q1": "merge"}, path), with_qrels(files[0], path)):
            with pytest.raises(CorpusError, match=said.format(path)):
                evaluate_systems(index, given, EvaluateOptions())


def with_qrels(queries: Path, qrels: Path) -> Any:
    """Return the source of a file of documents that names both files as options."""
    return open_source(queries, options=SourceOptions(queries=queries, qrels=qrels, skip_bad=True))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (5, r"for queries and judgments, 5 \(int\) was given"),
        ((TEXTS,), r"for queries and judgments, .*\(tuple\) was given"),
        ((["a"], QRELS), r"for the queries, 'a' \(str\) was given; give \{query_id: text\}"),
        ((5, QRELS), r"for the queries, 5 \(int\) was given"),
        (({"q1": 5}, QRELS), r"query 'q1' is 5 \(int\); give a text"),
        ((TEXTS, {"q1": {"d"}}), "for the judgments of query 'q1'"),
    ],
)
def test_what_is_no_queries_and_judgments_is_named(held: Any, said: str) -> None:
    def read() -> None:
        source = as_judged(held)
        source.qrels("test")
        list(source.queries("test"))

    with pytest.raises(UsageError, match=said):
        read()


def test_a_judged_query_without_text_is_an_error_and_documents_there_are_none() -> None:
    source = as_judged(({"q1": "merge"}, QRELS))
    with pytest.raises(CorpusError, match="5 of 6 judged queries have no text"):
        list(source.queries("test"))
    with pytest.raises(CorpusError, match="and no documents"):
        source.documents()
