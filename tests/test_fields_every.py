"""Fields asked for by ``*``: every column but those of id, title and text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid.corpus import SourceOptions, open_source
from hybrid.corpus.handed import as_source
from hybrid.errors import CorpusError, UsageError
from hybrid.search.index import Index
from tests.test_cli import Command, hybrid_command
from tests.test_corpus_handed import HOLDERS, RECORDS
from tests.test_corpus_irds import register, tiny

__all__ = ["hybrid_command", "register"]

CELLS = "id,title,text,year,day,price,,code\na,T,x,2020,2020-01-02,1,1,007\nb,,y,2021,,0.5,2,8\n"
TYPED = {"year": "int", "day": "date", "price": "float", "code": "str"}


def fields_of(held: Any, fields: Any = "*", **options: Any) -> list[dict[str, Any]]:
    source = as_source(held, SourceOptions(fields=fields, **options))
    return [
        {name: value for name, value in each.fields.items() if value is not None}
        for each in source.documents()
    ]


@pytest.mark.parametrize("kind", HOLDERS)
def test_every_holder_gives_all_its_other_columns(kind: str) -> None:
    assert fields_of(HOLDERS[kind](RECORDS)) == [
        {"year": 2019, "meta.lang": "en"},
        {"meta.lang": "de"},
    ]


def test_cells_are_read_as_the_whole_column_allows(tmp_path: Path) -> None:
    for name, text in {"c.csv": CELLS, "c.tsv": CELLS.replace(",", "\t")}.items():
        path = tmp_path / name
        path.write_text(text)
        source = open_source(path, options=SourceOptions(fields="*"))
        assert source.field_kinds == TYPED  # type: ignore[attr-defined]
        assert fields_of(path) == [
            {"year": 2020, "day": "2020-01-02", "price": 1, "code": "007"},
            {"year": 2021, "price": 0.5, "code": "8"},
        ]
        assert fields_of(path, ("*", "year:str"))[0]["year"] == "2020"


def test_files_of_records(tmp_path: Path) -> None:
    rows = [
        {"_id": "a", "text": "x", "id": 7, "meta": {"deep": {"n": 1}, "tags": ["red"]}, "a.b": 2},
        {"_id": "b", "text": "y", "late": True, "meta": {}, "none": None},
    ]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert fields_of(tmp_path / "c.jsonl") == [
        {"id": 7, "meta.deep.n": 1, "meta.tags": ["red"], "a.b": 2},
        {"late": True},
    ]
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "c.parquet")
    assert fields_of(tmp_path / "c.parquet") == fields_of(RECORDS)
    named = {"id_column": "id", "text_column": "meta.lang"}
    assert fields_of(RECORDS, **named)[0] == {"text": "merge lists", "year": 2019}


def test_what_cannot_be_a_field_is_named_and_a_name_that_is_not_there(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "x", "authors": [{"name": "N"}]}]
    with pytest.raises(CorpusError, match=r"'authors' of 'a' is .*expected a text, a number"):
        fields_of(rows)
    with pytest.raises(CorpusError, match="no column 'yaer' to store as a field"):
        fields_of(RECORDS, "*, yaer")


def test_ir_datasets(register: Callable[..., Any]) -> None:
    tiny(register)
    assert fields_of("hybrid-tiny") == [{}, {}]
    named = fields_of("hybrid-tiny", text_column="text")
    assert named == [{}, {}]
    assert fields_of("hybrid-tiny", text_column="title", skip_bad=True) == [
        {"text": "merge inputs"}
    ]


def test_the_bundled_collection_has_no_others() -> None:
    source = open_source("stdlib-small", options=SourceOptions(fields="*"))
    assert next(iter(source.documents())).fields == {}
    source = open_source("stdlib-small", options=SourceOptions(fields="*,year"))
    with pytest.raises(UsageError, match="has no field 'year'"):
        next(iter(source.documents()))


def test_names_in_one_text_have_commas_between() -> None:
    assert SourceOptions(fields="year:int, lang") == SourceOptions(fields=("year:int", "lang"))


def test_build_and_add_take_all_columns(tmp_path: Path, hybrid_command: Command) -> None:
    (tmp_path / "c.csv").write_text(CELLS)
    bm25 = ("--sparse", "none", "--dense", "none", "--fields", "*")
    assert hybrid_command("build", tmp_path / "c.csv", "-o", tmp_path / "idx", *bm25)[0] == 0
    with Index(tmp_path / "idx") as index:
        assert index.contents.documents.field_kinds == TYPED
        (hit,) = index.search("x", filter='day < "2021-01-01" and code == "007"')
        assert hit.doc_id == "a"
    (tmp_path / "n.csv").write_text("id,text,year,code,new\nc,z,2022,9,3\n")
    added = hybrid_command("add", tmp_path / "idx", tmp_path / "n.csv", "--fields", "*")
    assert added[0] == 0
    with Index(tmp_path / "idx") as index:
        assert index.contents.documents.field_kinds == {**TYPED, "new": "int"}
        assert index.document("c").fields == {"year": 2022, "code": "9", "new": 3}
    status, out, _ = hybrid_command("compact", tmp_path / "idx", "--fields", "code:int,new:list")
    assert (status, "2 merged into one" in out) == (0, True)
    with Index(tmp_path / "idx") as index:
        kinds = {**TYPED, "code": "int", "new": "list[str]"}
        assert index.contents.documents.field_kinds == kinds
        assert [index.document(each).fields["code"] for each in "abc"] == [7, 8, 9]
