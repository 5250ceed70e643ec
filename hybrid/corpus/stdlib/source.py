"""The bundled collection ``stdlib``: Python's own documentation, searched in plain words.

The documents are the docstrings of the standard library of the running interpreter; the queries
and their graded judgments were written for this library and lie in ``stdlib_data``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from hybrid.corpus.qrels import Qrels, read_qrels
from hybrid.errors import CorpusError
from hybrid.machine.files import open_text

DATA = Path(__file__).parent / "stdlib_data"
GATHER = Path(__file__).parent / "docstrings.py"
SPLITS = ("train", "test")


def documents() -> Iterator[tuple[str, str, str]]:
    """Yield ``(id, title, text)`` in id order: qualified name, name with parameters, docstring.

    About 5,000 documents, the same in every process of one Python version. They are gathered in
    a process of their own (about two seconds), which leaves nothing behind in the caller's.

    Raises:
        CorpusError: the interpreter cannot be started, or the gathering fails.

    >>> next(documents())[0]
    'abc'
    """
    command = [sys.executable, "-I", "-S", str(GATHER)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise CorpusError(
            f"stdlib: the interpreter {sys.executable!r} cannot be started ({error}); the "
            "collection is gathered from it, so run from a normal Python installation"
        ) from error
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise CorpusError(
            f"stdlib: gathering the docstrings of {sys.executable} failed with exit status "
            f"{done.returncode}: {last}; run {GATHER} with it to see the whole error"
        )
    for line in done.stdout.splitlines():
        doc_id, title, text = json.loads(line)
        yield doc_id, title, text


def queries() -> list[tuple[str, str]]:
    """Return ``(query_id, text)`` of every query, in the order of the file."""
    records = (json.loads(line) for _, line in open_text(DATA / "queries.jsonl"))
    return [(record["_id"], record["text"]) for record in records]


def lexical_overlap() -> dict[str, bool]:
    """Return for each query_id whether the query shares a content word with an answer to it.

    An answer is a document of grade 2, title included. Half of the queries share none, so that
    they cannot be answered by matching words.
    """
    records = (json.loads(line) for _, line in open_text(DATA / "queries.jsonl"))
    return {record["_id"]: record["metadata"]["lexical_overlap"] for record in records}


def qrels(split: str) -> Qrels:
    """Return the judgments of ``split``: 2 answers the query, 1 is related, 0 is neither.

    Raises:
        CorpusError: there is no such split.
    """
    if split not in SPLITS:
        raise CorpusError(f"stdlib has no split {split!r}; it has {', '.join(SPLITS)}")
    return read_qrels(DATA / "qrels" / f"{split}.tsv")


def splits() -> tuple[str, ...]:
    """Return the names of the splits."""
    return SPLITS
