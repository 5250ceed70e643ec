"""Plausible mistakes of new users, each made with the real command in a process of its own.

Each is answered before a model is loaded, with the cure. ``python -m tests.test_mistakes`` prints
the table of mistakes, answers and seconds of processor time that docs/results/mistakes.md shows.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import hybrid
from tests.conftest import write_beir

LIMIT = 120
COMMAND = """
import sys
from hybrid.cli import main

try:
    main()
finally:
    loaded = {"torch", "sentence_transformers", "transformers", "onnxruntime"} & set(sys.modules)
    print(f"loaded: {sorted(loaded)}", file=sys.stderr)
"""


@dataclass(frozen=True)
class Mistake:
    """A mistake: its name, the command line, what the answer must say, the exit status."""

    name: str
    command: str
    said: tuple[str, ...]
    status: int = 1


MISTAKES = (
    Mistake(
        "a path that does not exist",
        "build {tmp}/docs.csv -o {tmp}/new",
        ("docs.csv does not exist", "check the path"),
    ),
    Mistake(
        "a CSV without the column of the text",
        "build {tmp}/bare.csv -o {tmp}/new",
        ("bare.csv", "'text'", "found 'id', 'body_of_mail'", "--text-column"),
    ),
    Mistake(
        "a column that the CSV does not have",
        "build {tmp}/fields.csv -o {tmp}/new --text-column abstract",
        ("'abstract'", "found 'id', 'text', 'year'", "--text-column"),
    ),
    Mistake(
        "a field that the CSV does not have",
        "build {tmp}/fields.csv -o {tmp}/new --fields price",
        ("'price'", "found 'id', 'text', 'year'", "name columns that are there"),
    ),
    Mistake(
        "the same id twice",
        "build {tmp}/twice.jsonl -o {tmp}/new",
        ("'a'", "twice.jsonl", "--skip-bad"),
    ),
    Mistake(
        "an empty corpus",
        "build {tmp}/empty.jsonl -o {tmp}/new",
        ("empty.jsonl", "no documents"),
    ),
    Mistake(
        "an index that is there already",
        "build {beir} -o {index}",
        ("exists", "give"),
    ),
    Mistake(
        "a model that is not there",
        "build {beir} -o {tmp}/new --dense minilm",
        ("'minilm'", "hybrid models list"),
    ),
    Mistake(
        "a built-in model that does not exist",
        "build {beir} -o {tmp}/new --sparse builtin:spalde",
        ("builtin:spalde", "builtin:splade"),
    ),
    Mistake(
        "a value that an option does not take",
        "build {beir} -o {tmp}/new --vectors faiss",
        ("faiss", "flat", "ivf", "hnsw"),
        2,
    ),
    Mistake(
        "a language by its name",
        "build {beir} -o {tmp}/new --language german",
        ("'german'", "de", "fr"),
    ),
    Mistake(
        "a folder that is no index",
        "search {beir} json",
        ("is not an index", "hybrid build"),
    ),
    Mistake("k of 0", "search {index} json -k 0", ("k is 0", "1 or more")),
    Mistake("an empty query", "search {index} {nothing}", ("is empty", "give")),
    Mistake(
        "a fusion that does not exist",
        "search {index} json --fusion magic",
        ("magic", "rrf", "cc"),
    ),
    Mistake(
        "a fusion of a branch that the index lacks",
        "search {index} json --fusion rrf(branches=(bm25,splade))",
        ("'splade'", "branches here: bm25, sparse, dense"),
    ),
    Mistake(
        "a domain that was never tuned",
        "search {index} json --domain law",
        ("law", "hybrid tune"),
    ),
    Mistake(
        "a filter that cannot be read",
        "search {index} json --filter year>=",
        ("year>=", "character 7", "a number"),
    ),
    Mistake(
        "a filter on a field that was not stored",
        "search {index} json --filter year>=2020",
        ("year", "--fields"),
    ),
    Mistake(
        "a reranker that is not there",
        "search {index} json --rerank cross-encoder",
        ("'cross-encoder'", "hybrid models list"),
    ),
    Mistake(
        "a measure that does not exist",
        "evaluate {index} {beir} --measures nGCD@10",
        ("nGCD", "nDCG@10"),
    ),
    Mistake(
        "a split that the collection lacks",
        "evaluate {index} {beir} --split dev",
        ("dev", "test, train"),
    ),
    Mistake(
        "judgments of other documents",
        "evaluate {index} --queries {tmp}/queries.tsv --qrels {tmp}/other.qrels",
        ("none of the 2 documents", "other.qrels", "is in the index", "give the judgments"),
    ),
    Mistake(
        "judgments of other queries",
        "tune {index} --queries {tmp}/queries.tsv --qrels {tmp}/foreign.qrels",
        ("2 of 2 judged queries have no text", "queries and qrels belong together"),
    ),
    Mistake(
        "queries without judgments",
        "tune {index} --queries {tmp}/queries.tsv",
        ("--queries and --qrels",),
    ),
    Mistake(
        "a file of results that exists",
        "evaluate {index} {beir} --run {tmp}/queries.tsv",
        ("queries.tsv exists", "give"),
    ),
    Mistake(
        "an expectation of a measure that is not computed",
        "evaluate {index} {beir} --expect MAP=0.3",
        ("AP was not computed", "nDCG@10", "--measures"),
    ),
    Mistake(
        "an explanation of a document that is not there",
        "explain {index} json json",
        ("no document 'json'", "case-sensitive"),
    ),
    Mistake(
        "the deletion of a document that is not there",
        "delete {index} json.dumps",
        ("json.dumps", "nothing was deleted"),
    ),
    Mistake(
        "a document format that is not read",
        "build {tmp}/book.pdf -o {tmp}/new",
        ("book.pdf", ".jsonl"),
    ),
)


def write_files(folder: Path) -> None:
    """Write the files of the mistakes."""
    texts = {
        "bare.csv": "id,body_of_mail\n1,hello\n",
        "fields.csv": "id,text,year\n1,hello,2020\n",
        "twice.jsonl": '{"_id": "a", "text": "one"}\n{"_id": "a", "text": "two"}\n',
        "empty.jsonl": "",
        "queries.tsv": "q1\tparse json\nq2\trandom number\n",
        "other.qrels": "q1 0 doc-1 1\nq2 0 doc-2 1\n",
        "foreign.qrels": "t1 0 json.load 1\nt2 0 random.seed 1\n",
        "book.pdf": "%PDF-1.7",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def make(mistake: Mistake, places: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Return the finished process of the command."""
    arguments = [word.format(nothing="", **places) for word in mistake.command.split()]
    environment = {**os.environ, "PYTHONPATH": str(Path(hybrid.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env=environment | {"COLUMNS": "200"},
        cwd=str(places["tmp"]),
    )


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_answered_with_the_cure_before_a_model_is_loaded(
    mistake: Mistake, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    write_files(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = make(mistake, {"tmp": tmp_path, "index": tiny_index, "beir": beir_folder})
    assert (done.returncode, done.stdout) == (mistake.status, ""), done.stderr
    assert "Traceback" not in done.stderr
    answer = " ".join(done.stderr.split())
    for text in mistake.said:
        assert text in answer
    assert answer.endswith("loaded: []")
    assert sorted(tmp_path.rglob("*")) == before


def main(index: Path, folder: Path) -> None:
    """Print the mistakes, what is answered, and seconds of processor time, as Markdown."""
    write_files(folder)
    places = {"tmp": folder, "index": index, "beir": write_beir(folder / "beir")}
    write = sys.stdout.write
    write("| mistake | answer | CPU s |\n|---|---|---|\n")
    for mistake in MISTAKES:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = make(mistake, places)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        answer = " ".join(done.stderr.split()).removeprefix("error: ").split(" loaded: [")[0]
        shown = answer.replace(f"{folder}/", "").replace(str(index), "my.idx").replace("|", "\\|")
        write(f"| {mistake.name} | {shown} | {seconds:.2f} |\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
