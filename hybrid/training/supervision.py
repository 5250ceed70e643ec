"""Supervision: hard negatives from an index, and the scores of teachers, both kept on disk."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash

from hybrid.errors import UsageError
from hybrid.machine.files import make_folders, refusals, sync
from hybrid.search.index import Index, open_index
from hybrid.training.examples import Example, read_examples
from hybrid.training.mining import mine_negatives
from hybrid.training.teachers import (
    CrossEncoderTeacher,
    DenseTeacher,
    EnsembleTeacher,
    HybridTeacher,
    StoredTeacher,
    Teacher,
    score_examples,
)

DENSE, HYBRID = "dense", "hybrid"


@dataclass(frozen=True)
class Supervision:
    """Where negatives and scores come from.

    Attributes:
        index: an index over the passages: it is mined, and its branches are the hybrid teacher.
        fusion: that ranks the candidates; None is the index's own.
        count: negatives of a query.
        skip: leading ranks to leave out, where unlabelled positives are likely.
        teachers: see :func:`parse_teacher`; several are an ensemble, their scores summed.
        cache: a folder that keeps negatives and scores; None keeps nothing.
    """

    index: Path | None = None
    fusion: str | None = None
    count: int = 8
    skip: int = 0
    teachers: tuple[str, ...] = ()
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.index is None and any(parse_teacher(text).kind == HYBRID for text in self.teachers):
            raise UsageError("the hybrid teacher scores with an index; give one to mine from")

    def to_dict(self) -> dict[str, Any]:
        """Return the supervision as JSON values."""
        return asdict(self) | {
            name: None if getattr(self, name) is None else str(getattr(self, name))
            for name in ("index", "cache")
        }


@dataclass(frozen=True)
class TeacherSpec:
    """A teacher as it is written: ``weight * kind:name``."""

    weight: float
    kind: str
    name: str

    def branch_weights(self) -> dict[str, float] | None:
        """Return the weights of a hybrid teacher's branches, None for the default."""
        if not self.name:
            return None
        pairs = [part.partition("=") for part in self.name.split(",")]
        try:
            return {branch.strip(): float(weight) for branch, _, weight in pairs}
        except ValueError:
            raise UsageError(
                f"the teacher hybrid:{self.name} does not parse; expected weights by branch, such "
                "as hybrid:bm25=0.25,dense=6.67"
            ) from None


def parse_teacher(text: str) -> TeacherSpec:
    """Return the teacher that ``text`` names.

    ``dense`` or ``dense:MODEL``, ``hybrid`` or ``hybrid:bm25=0.25,dense=6.67``, else a
    cross-encoder's hub id or folder; before it ``W*``, by which its scores are multiplied.

    Raises:
        UsageError: a weight that is no number, or nothing after it.

    >>> parse_teacher("0.5*dense:builtin:minilm")
    TeacherSpec(weight=0.5, kind='dense', name='builtin:minilm')
    >>> parse_teacher("cross-encoder/ms-marco-MiniLM-L6-v2").kind
    'cross-encoder'
    """
    head, star, rest = text.partition("*")
    try:
        weight, spec = (float(head), rest) if star else (1.0, text)
    except ValueError:
        weight, spec = float("nan"), ""
    if not spec.strip():
        raise UsageError(f"the teacher {text!r} does not parse; expected such as 0.5*dense, hybrid")
    kind, _, name = spec.strip().partition(":")
    if kind in (DENSE, HYBRID):
        return TeacherSpec(weight, kind, name)
    return TeacherSpec(weight, "cross-encoder", spec.strip())


def load_teacher(specs: Sequence[str], index: Index | None) -> Teacher:
    """Return one teacher of all ``specs``; ``index`` is for the hybrid one."""
    parsed = [parse_teacher(text) for text in specs]
    teachers = [_teacher(spec, index) for spec in parsed]
    if len(teachers) == 1 and parsed[0].weight == 1:
        return teachers[0]
    return EnsembleTeacher(teachers, [spec.weight for spec in parsed])


def supervised(examples: Sequence[Example], supervision: Supervision) -> list[Example]:
    """Return the examples with mined negatives and the teachers' scores, as far as asked for.

    What was mined and scored before, from the same examples and index, is read from the cache.

    Raises:
        StorageError: the cache cannot be made; nothing was mined or scored.
    """
    if supervision.index is None and not supervision.teachers:
        return list(examples)
    if supervision.cache is not None:
        with refusals(supervision.cache):
            make_folders(supervision.cache)
    if supervision.index is None:
        return _with_negatives(examples, supervision, None)
    with open_index(supervision.index) as index:
        path = _stored_path(examples, supervision, index)
        if path is not None and path.is_file():
            return read_examples(path)
        found = _with_negatives(examples, supervision, index)
    if path is not None:
        _store(path, found)
    return found


def _with_negatives(
    examples: Sequence[Example], supervision: Supervision, index: Index | None
) -> list[Example]:
    found = list(examples)
    if index is not None:
        asked = supervision
        found = mine_negatives(
            index, found, count=asked.count, skip=asked.skip, fusion=asked.fusion
        )
    if supervision.teachers:
        teacher = load_teacher(supervision.teachers, index)
        if supervision.cache is not None:
            teacher = StoredTeacher(teacher, supervision.cache)
        found = score_examples(found, teacher)
    return found


def _teacher(spec: TeacherSpec, index: Index | None) -> Teacher:
    if spec.kind == DENSE:
        return DenseTeacher(spec.name or "builtin:minilm")
    if spec.kind == HYBRID:
        if index is None:
            raise UsageError("the hybrid teacher scores with an index; give one to mine from")
        return HybridTeacher(index, spec.branch_weights())
    return CrossEncoderTeacher(spec.name)


def _stored_path(
    examples: Sequence[Example], supervision: Supervision, index: Index
) -> Path | None:
    """Return where these examples are kept: named by everything that decides them."""
    if supervision.cache is None:
        return None
    asked = {name: value for name, value in supervision.to_dict().items() if name != "cache"}
    digest = xxhash.xxh3_128()
    generation = index.contents.generation.directory.name
    digest.update(json.dumps([asked, generation]).encode())
    for row in examples:
        digest.update(json.dumps(asdict(row)).encode())
    return supervision.cache / f"examples-{digest.hexdigest()}.jsonl.gz"


def _store(path: Path, examples: Sequence[Example]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with gzip.open(temporary, "wt", encoding="utf-8") as file:
        for row in examples:
            file.write(json.dumps(asdict(row)) + "\n")
    sync(temporary)
    temporary.replace(path)
