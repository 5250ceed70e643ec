"""A push to Milvus: collections filled shard by shard, then one switch of the generation."""

from __future__ import annotations

import base64
import json
from typing import Any

from hybrid.engines.addresses import generation_name
from hybrid.engines.content import (
    check_branches,
    described,
    field_table,
    files_of,
    rows_of,
    shard_count,
    stored_vectors,
)
from hybrid.engines.milvus.client import FIELDS, PART, READY, Milvus
from hybrid.index.hybrid import HybridIndex
from hybrid.machine.progress import StartProgress

_NO_VECTOR = [0.0, 0.0]
"""Milvus wants a vector in every collection."""
_WITHOUT = {"none": ("FLOAT_VECTOR", 2)}


def push(index: HybridIndex, address: str, progress: StartProgress) -> None:
    """Copy an index to Milvus, as the generation that whoever opens it from now on reads.

    A push that was cut goes on where it was: rows that are there already are written once more.
    One process pushes at a time. Those who read go on with their generation, which the next push
    but one removes.

    Raises:
        TransferError: the server does not answer, or refuses.
        UsageError: the name of the index is none, or a branch has that of a collection.
    """
    check_branches(index)
    milvus = Milvus(address)
    try:
        generation = _begun(milvus, index)
        _fill(milvus, generation, index, progress("pushing", index.document_count))
        earlier = [each for each in milvus.generations() if each["number"] < generation["number"]]
        for each in earlier[1:]:
            milvus.remove(each["number"])
    finally:
        milvus.client.close()


def _begun(milvus: Milvus, index: HybridIndex) -> dict[str, Any]:
    """Return the generation that this push fills, a new one unless it was begun, or is there."""
    known = milvus.generations()
    for each in list(known):
        if each["pushed"] == index.generation.name:
            return each
        if each["state"] == READY:
            break
        milvus.remove(each["number"])
    number = max((each["number"] for each in known), default=0) + 1
    files = files_of(index) | {FIELDS: field_table(index)}
    content = described(index, files)
    name = generation_name(milvus.name, number)
    _make(milvus, name, content)
    parts = [
        {"key": f"{file}:{part}", "name": file, "part": part, "data": data, "none": _NO_VECTOR}
        for file, held in files.items()
        for part, data in enumerate(_parts(base64.b64encode(held).decode()))
    ]
    milvus.put(f"{name}_files", parts)
    begun = {"number": number, "pushed": index.generation.name, "content": json.dumps(content)}
    begun |= {"state": 0, "none": _NO_VECTOR}
    milvus.put(milvus.generations_name, [begun])
    return begun | {"cut": False}


def _make(milvus: Milvus, prefix: str, content: dict[str, Any]) -> None:
    """Make the collections of a generation, and that of the generations if it is not there."""
    text, whole = ("VARCHAR",), ("INT64",)
    number = {"number": whole, "pushed": text, "content": text, "state": whole}
    files = {"key": text, "name": text, "part": whole, "data": text}
    documents = {"key": text, "doc_num": whole, "doc_id": text, "part": whole, "data": text}
    made = {f"{prefix}_files": files | _WITHOUT, f"{prefix}_documents": documents | _WITHOUT}
    if not milvus.client.has_collection(milvus.generations_name):
        made[milvus.generations_name] = number | _WITHOUT
    for branch, record in content["branches"].items():
        kind = "SPARSE_FLOAT_VECTOR" if record["kind"] == "sparse" else "FLOAT_VECTOR"
        vector = (kind, content["vectors"][branch]["width"])
        made[f"{prefix}_{branch}"] = {"row": whole, "v": vector}
    for collection, columns in made.items():
        if milvus.client.has_collection(collection):  # of a push that was cut before it was known
            milvus.client.drop_collection(collection)
        milvus.make(collection, columns)


def _fill(milvus: Milvus, generation: dict[str, Any], index: HybridIndex, advance: Any) -> None:
    """Write the shards that are not there yet, and say after each that it is."""
    prefix = generation_name(milvus.name, generation["number"])
    done = generation["state"]
    total = shard_count(index)
    for shard in range(total):
        numbers, rows = rows_of(index, shard)
        if done != READY and shard >= done:
            again = generation.get("cut", True) and shard == done
            milvus.put(f"{prefix}_documents", _documents(index, numbers.tolist()), again=again)
            for branch in index.branches:
                milvus.put(f"{prefix}_{branch}", _vectors(index, branch, rows), again=again)
            _note(milvus, generation, shard + 1)
        advance(len(numbers))
    if done != READY:
        with milvus.reached():
            for part in ("files", "documents", *index.branches):
                milvus.client.flush(f"{prefix}_{part}")
        _note(milvus, generation, READY)


def _note(milvus: Milvus, generation: dict[str, Any], state: int) -> None:
    row = {name: each for name, each in generation.items() if name != "cut"} | {"state": state}
    milvus.put(milvus.generations_name, [row], again=True)


def _documents(index: HybridIndex, numbers: list[int]) -> list[dict[str, Any]]:
    rows = []
    for number, each in zip(numbers, index.documents.take(numbers), strict=True):
        held = {"title": each.title, "text": each.text, "fields": dict(each.fields)}
        common = {"doc_num": number, "doc_id": each.doc_id, "none": _NO_VECTOR}
        for part, data in enumerate(_parts(json.dumps(held, ensure_ascii=False))):
            rows.append({"key": f"{number}:{part}", "part": part, "data": data, **common})
    return rows


def _vectors(index: HybridIndex, branch: str, rows: Any) -> list[dict[str, Any]]:
    """Return rows with their vectors; Milvus takes no sparse one without a weight."""
    vectors = stored_vectors(index, branch, rows)
    if index.record(branch).kind == "dense":
        pairs = zip(rows.tolist(), vectors.tolist(), strict=True)
        return [{"row": row, "v": vector} for row, vector in pairs]
    found = []
    for row, first, last in zip(rows.tolist(), vectors.indptr, vectors.indptr[1:], strict=False):
        held = slice(first, last)
        weights = zip(vectors.indices[held].tolist(), vectors.data[held].tolist(), strict=True)
        if last > first:
            found.append({"row": row, "v": dict(weights)})
    return found


def _parts(text: str) -> list[str]:
    return [text[start : start + PART] for start in range(0, len(text) or 1, PART)]
