"""A push to PostgreSQL: tables filled a shard a transaction, then one switch of the generation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from hybrid.engines.addresses import generation_name
from hybrid.engines.content import (
    check_branches,
    described,
    files_of,
    rows_of,
    shard_count,
    stored_vectors,
)
from hybrid.engines.postgres.connections import Connections, split_address
from hybrid.engines.postgres.store import READY, PostgresStore
from hybrid.engines.postgres.values import dense_copy, sparse_copy
from hybrid.engines.rows import EngineRows
from hybrid.errors import HybridError, IndexLockedError, UsageError
from hybrid.index.hybrid import HybridIndex
from hybrid.machine.passwords import shown
from hybrid.machine.progress import StartProgress

SPARSE_ROWS = 1_000_000
"""Rows of a sparse branch that are taken: without an inverted index each query reads them all."""
SPARSE_TERMS = 16_000
"""Terms of a row that pgvector takes."""
HNSW_WIDTH = 2_000
"""Dimensions of a vector that its HNSW takes."""
RECALL = "hnsw_recall_at_10"
"""In the report of a branch: of `SAMPLE` stored vectors, each without itself, by exact search."""
SAMPLE = 50
_ROOT = """
create extension if not exists vector;
create schema if not exists "{0}";
create table if not exists "{0}".generations (
  number serial primary key, pushed text not null, content json not null,
  state text not null default 'loading');
"""
_GENERATION = """
create schema "{0}";
create table "{0}".shards (shard int primary key);
create table "{0}".files (name text primary key, data bytea not null);
create table "{0}".documents (
  doc_num int primary key, doc_id text collate "C" not null unique, title text not null,
  text text not null, fields jsonb not null);
"""
_HNSW = 'create index if not exists "{1}_hnsw" on "{0}"."{1}" using hnsw (v vector_ip_ops)'
_BRANCH = """
create table "{0}"."{1}" (row int primary key, v {2} not null) with (toast_tuple_target = 8160);
alter table "{0}"."{1}" alter v set storage external;
"""


def push(index: HybridIndex, address: str, progress: StartProgress, *, hnsw: bool = False) -> None:
    """Copy an index to a database, as the generation that whoever opens it from now on reads.

    Of several databases each takes every so many shards. A reader takes the newest generation that
    all of them have, so it is safe that they switch one after the other. The one before is removed
    from none of them before all have switched.

    A push that was cut goes on where it was. Those who read go on with their generation, which the
    next push but one removes.

    With ``hnsw`` dense branches get an HNSW index and are searched by it; its recall is measured,
    and told in the report of the branch.

    Raises:
        IndexLockedError: another process pushes there.
        TransferError: the server does not answer, or refuses.
        UsageError: a sparse branch with more rows than PostgreSQL can search, or more terms in
            one than it takes; a branch with the name of a table; vectors too wide for HNSW.
    """
    if index.row_count > SPARSE_ROWS and any(r.kind == "sparse" for r in index.records.values()):
        raise UsageError(
            f"a sparse branch has {index.row_count:,} rows; PostgreSQL has no inverted index, so "
            f"up to {SPARSE_ROWS:,} are taken. Push it to Milvus, or without the sparse branches"
        )
    check_branches(index, SPARSE_TERMS)
    approximate = [name for name in index.branches if hnsw and index.record(name).kind == "dense"]
    for each in approximate:
        if index.dense(each).dimension > HNSW_WIDTH:
            raise UsageError(
                f"branch {each!r} has {index.dense(each).dimension:,} dimensions; the HNSW of "
                f"pgvector takes up to {HNSW_WIDTH:,}. Push it without HNSW"
            )
    databases, name = split_address(address)
    files = files_of(index)
    content = described(index, files) | {"parts": len(databases), "hnsw": approximate}
    if approximate:
        content["pushed"] += ", hnsw"  # not the same generation as without
    advance = progress("pushing", index.document_count)
    filled = []
    with ExitStack() as stack:
        for part, database in enumerate(databases):
            connections = Connections(database)
            with _reached(connections):
                connection = stack.enter_context(connections.connect())
                connection.execute("set synchronous_commit to off")
                ((held,),) = connection.execute("select pg_try_advisory_lock(hashtext(%s))", [name])
                if not held:
                    raise IndexLockedError(
                        f"another process pushes to {shown(database)}; wait for its end"
                    )
                with connection.transaction():
                    connection.execute(_ROOT.format(name))
                    pushed = f"{content['pushed']}, part {part} of {len(databases)}"
                    number = _begun(connection, name, pushed, content, files)
                shards = range(part, shard_count(index), len(databases))
                _fill(connection, generation_name(name, number), index, shards, advance)
                for each in approximate:
                    connection.execute(_HNSW.format(generation_name(name, number), each))
                filled.append((connections, connection, number))
        if approximate and index.row_count:
            _record_recall(index, content, filled, name)
        for connections, connection, number in filled:
            with _reached(connections):
                _switch(connection, name, number)
        _remove_earlier(filled, name)


@contextmanager
def _reached(connections: Connections) -> Iterator[None]:
    try:
        yield
    except HybridError:
        raise
    except (connections.error, OSError) as error:
        raise connections.refused(error) from error


def _begun(
    connection: Any, name: str, pushed: str, content: dict[str, Any], files: dict[str, bytes]
) -> int:
    """Return the generation that this push fills, a new one unless it was begun, or is there."""
    sql = f'select number, pushed, state from "{name}".generations order by number desc'
    for number, known, state in connection.execute(sql).fetchall():
        if known == pushed:
            return int(number)
        if state == READY:
            break
        _remove(connection, name, number)
    sql = f'insert into "{name}".generations (pushed, content) values (%s, %s) returning number'
    given = [pushed, json.dumps(content)]
    number = connection.execute(sql, given).fetchone()[0]
    schema = generation_name(name, number)
    connection.execute(_GENERATION.format(schema))
    for branch, record in content["branches"].items():
        width = content["vectors"][branch]["width"]
        kind = "sparsevec" if record["kind"] == "sparse" else f"vector({width})"
        connection.execute(_BRANCH.format(schema, branch, kind))
    for each, data in files.items():
        connection.execute(f'insert into "{schema}".files values (%s, %s)', [each, data])
    return int(number)


def _fill(connection: Any, schema: str, index: HybridIndex, shards: range, advance: Any) -> None:
    """Write those of the shards that are not there yet, each in a transaction."""
    done = {shard for (shard,) in connection.execute(f'select shard from "{schema}".shards')}
    for shard in shards:
        documents, rows = rows_of(index, shard)
        if shard not in done:
            with connection.transaction():
                connection.execute(f'insert into "{schema}".shards values (%s)', [shard])
                _copy_documents(connection, schema, index, documents)
                for branch in index.branches:
                    vectors = stored_vectors(index, branch, rows)
                    form = sparse_copy if index.record(branch).kind == "sparse" else dense_copy
                    into = f'copy "{schema}"."{branch}" from stdin (format binary)'
                    with connection.cursor().copy(into) as copy:
                        for part in form(rows, vectors):
                            copy.write(part)
        advance(len(documents))


def _copy_documents(connection: Any, schema: str, index: HybridIndex, documents: Any) -> None:
    with connection.cursor().copy(f'copy "{schema}".documents from stdin') as copy:
        numbers = documents.tolist()
        for number, each in zip(numbers, index.documents.take(numbers), strict=True):
            fields = json.dumps(dict(each.fields), ensure_ascii=False)
            copy.write_row((number, each.doc_id, each.title, each.text, fields))


def _record_recall(
    index: HybridIndex,
    content: dict[str, Any],
    filled: Sequence[tuple[Connections, Any, int]],
    name: str,
) -> None:
    """Measure the recall of each HNSW against exact search, and put it into the description."""
    for connections, connection, number in filled:
        with _reached(connections):
            for branch in content["hnsw"]:
                connection.execute(f'analyze "{generation_name(name, number)}"."{branch}"')
    servers = [(each, generation_name(name, number)) for each, _, number in filled]
    store = PostgresStore(servers, content, name)
    sample = np.unique(np.linspace(0, index.row_count - 1, SAMPLE).astype(np.int32))
    try:
        for branch in content["hnsw"]:
            queries = index.dense(branch).vectors(sample)
            exact = index.dense(branch).search(queries, 11)[0]
            found = EngineRows(store, branch, "dense", index.row_count).search(queries, 11)[0]
            shares = [
                len((wanted := set(near) - {-1, row}) & set(got)) / max(1, len(wanted))
                for row, near, got in zip(
                    sample.tolist(), exact.tolist(), found.tolist(), strict=True
                )
            ]
            content["branches"][branch]["report"][RECALL] = round(float(np.mean(shares)), 4)
    finally:
        store.close()
    for connections, connection, number in filled:
        with _reached(connections):
            sql = f'update "{name}".generations set content = %s where number = %s'
            connection.execute(sql, [json.dumps(content), number])


def _switch(connection: Any, name: str, number: int) -> None:
    """Make a generation the one that is read from now on."""
    for branch in ("documents", *_branches(connection, name, number)):
        connection.execute(f'analyze "{generation_name(name, number)}"."{branch}"')
    connection.execute("set synchronous_commit to on")  # and with it all that went before
    ready = f'update "{name}".generations set state = %s where number = %s'
    connection.execute(ready, [READY, number])


def _remove_earlier(filled: Sequence[tuple[Connections, Any, int]], name: str) -> None:
    """Remove earlier generations but the newest that can be read from all servers."""
    sql = (
        "select number, (content ->> 'pushed') || ' ' || (content ->> 'parts'), state "
        f'from "{name}".generations where number < %s order by number desc'
    )
    found = []
    for connections, connection, number in filled:
        with _reached(connections):
            found.append(connection.execute(sql, [number]).fetchall())
    ready = [[whole for _, whole, state in rows if state == READY] for rows in found]
    before = next((whole for whole in ready[0] if all(whole in each for each in ready)), None)
    for (connections, connection, _), rows in zip(filled, found, strict=True):
        with _reached(connections), connection.transaction():
            for number, whole, _ in rows:
                if whole != before:
                    _remove(connection, name, number)


def _branches(connection: Any, name: str, number: int) -> list[str]:
    sql = f'select content -> %s from "{name}".generations where number = %s'
    return list(connection.execute(sql, ["branches", number]).fetchone()[0])


def _remove(connection: Any, name: str, number: int) -> None:
    connection.execute(f'drop schema if exists "{generation_name(name, number)}" cascade')
    connection.execute(f'delete from "{name}".generations where number = %s', [number])
