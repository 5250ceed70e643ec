"""Supervision: hard negatives from an index, and the scores of teachers, both kept on disk."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import xxhash

from hybrid.errors import UsageError
from hybrid.machine.files import make_folders, refusals, sync
from hybrid.search.index import Index, open_index
from hybrid.training.examples import Example, read_examples
from hybrid.training.mining import mine_negatives
from hybrid.training.options import TrainOptions
from hybrid.training.recipes import DENSE, HYBRID, TeacherSpec, parse_teacher
from hybrid.training.teachers import (
    CrossEncoderTeacher,
    DenseTeacher,
    EnsembleTeacher,
    HybridTeacher,
    StoredTeacher,
    Teacher,
    score_examples,
)


def load_teacher(specs: Sequence[str], index: Index | None) -> Teacher:
    """Return one teacher of all ``specs``; ``index`` is for the hybrid one."""
    parsed = [parse_teacher(text) for text in specs]
    teachers = [_teacher(spec, index) for spec in parsed]
    if len(teachers) == 1 and parsed[0].weight == 1:
        return teachers[0]
    return EnsembleTeacher(teachers, [spec.weight for spec in parsed])


def supervised(examples: Sequence[Example], options: TrainOptions, cache: Path) -> list[Example]:
    """Return the examples with mined negatives and the teachers' scores, as far as asked for.

    Negatives and scores of the same examples and index are read from the folder ``cache`` where
    they are there, and kept there else.

    Raises:
        StorageError: the cache cannot be made; nothing was mined or scored.
    """
    if options.mine is None and not options.teachers:
        return list(examples)
    with refusals(cache):
        make_folders(cache)
    if options.mine is None:
        return _scored(examples, options, cache, None)
    with open_index(options.mine) as index:
        path = _stored_path(examples, options, cache, index)
        if path.is_file():
            return read_examples(path)
        found = mine_negatives(
            index,
            examples,
            count=options.mine_count,
            skip=options.mine_skip,
            fusion=options.mine_fusion,
        )
        found = _scored(found, options, cache, index)
    _store(path, found)
    return found


def _scored(
    examples: Sequence[Example], options: TrainOptions, cache: Path, index: Index | None
) -> list[Example]:
    if not options.teachers:
        return list(examples)
    return score_examples(examples, StoredTeacher(load_teacher(options.teachers, index), cache))


def _teacher(spec: TeacherSpec, index: Index | None) -> Teacher:
    if spec.kind == DENSE:
        return DenseTeacher(spec.name or "builtin:minilm")
    if spec.kind == HYBRID:
        if index is None:
            raise UsageError("the hybrid teacher scores with an index; give one to mine from")
        return HybridTeacher(index, spec.branch_weights())
    return CrossEncoderTeacher(spec.name)


def _stored_path(
    examples: Sequence[Example], options: TrainOptions, cache: Path, index: Index
) -> Path:
    """Return the file of these examples, named by everything that decides them."""
    asked = {
        "index": str(options.mine),
        "fusion": options.mine_fusion,
        "count": options.mine_count,
        "skip": options.mine_skip,
        "teachers": options.teachers,
    }
    digest = xxhash.xxh3_128()
    generation = index.contents.generation.directory.name
    digest.update(json.dumps([asked, generation]).encode())
    for row in examples:
        digest.update(json.dumps(asdict(row)).encode())
    return cache / f"examples-{digest.hexdigest()}.jsonl.gz"


def _store(path: Path, examples: Sequence[Example]) -> None:
    temporary = path.with_name(f".{path.name}")
    with gzip.open(temporary, "wt", encoding="utf-8") as file:
        for row in examples:
            file.write(json.dumps(asdict(row)) + "\n")
    sync(temporary)
    temporary.replace(path)
