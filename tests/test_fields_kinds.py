"""Fields that are lists, dates and times: read, stored, filtered, and refused."""

from __future__ import annotations

import datetime as dt
import json
import operator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.corpus import Document, SourceOptions, open_source
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.handed import as_source
from hybrid.errors import CorpusError, UsageError
from hybrid.index.documents.fields import format_of
from hybrid.index.documents.filters import parse_filter
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.write import write_documents
from tests.test_living import build

UTC = dt.timezone.utc
SIGNS: dict[str, Any] = {
    "$eq": operator.eq, "$ne": operator.ne, "$lt": operator.lt, "$lte": operator.le,
    "$gt": operator.gt, "$gte": operator.ge,
}  # fmt: skip
TEXT_SIGNS = {"$eq": "==", "$ne": "!=", "$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}


def fields_of(held: Any, *names: str, **options: Any) -> list[Any]:
    source = as_source(held, SourceOptions(fields=names, **options))
    return [dict(each.fields) for each in source.documents()]


def test_lists_and_dates_of_programs_and_files(tmp_path: Path) -> None:
    moment = dt.datetime(2020, 1, 2, 3, 4, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    rows = [
        {"id": "a", "text": "x", "tags": ["red", None], "day": dt.date(2020, 1, 2), "at": moment},
        {"id": "b", "text": "y", "tags": [], "day": None, "at": dt.datetime(2020, 1, 2)},
    ]
    expected = [
        {"tags": ["red"], "day": "2020-01-02", "at": "2020-01-02T02:04:00+00:00"},
        {"at": "2020-01-02T00:00:00+00:00"},
    ]
    assert fields_of(rows, "tags", "day", "at") == expected
    table = pa.Table.from_pylist([{**row, "at": moment} for row in rows])
    assert fields_of(table, "tags", "day", "at")[0] == expected[0]
    import pandas as pd

    frame = pd.DataFrame(
        {"id": ["a"], "text": ["x"], "at": [pd.Timestamp("2020-01-02 03:04:05.123456789")]}
    )
    assert fields_of(frame, "at") == [{"at": "2020-01-02T03:04:05.123456+00:00"}]
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "x", "day": "2020-01-02", "tags": ["red"]}))
    source = open_source(path, options=SourceOptions(fields=("day", "tags")))
    assert source.field_kinds == {"day": "str", "tags": "list[str]"}  # type: ignore[attr-defined]
    source = open_source(path, options=SourceOptions(fields=("day:date", "tags:list")))
    assert source.field_kinds == {"day": "date", "tags": "list[str]"}  # type: ignore[attr-defined]


def test_cells_are_dates_where_all_are(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(
        "id,text,day,at,near,tags\n"
        "a,x,2020-01-02,2020-01-02,2020-01-02,red; blue\n"
        'b,y,,2020-01-02T03:04Z,soon,"[""red""]"\n'
    )
    source = open_source(path, options=SourceOptions(fields=("day", "at", "near", "tags:list")))
    assert source.field_kinds == {  # type: ignore[attr-defined]
        "day": "date", "at": "datetime", "near": "str", "tags": "list[str]",
    }  # fmt: skip
    assert [each.fields for each in source.documents()] == [
        {"day": "2020-01-02", "at": "2020-01-02T00:00:00+00:00", "near": "2020-01-02",
         "tags": ["red", "blue"]},
        {"at": "2020-01-02T03:04:00+00:00", "near": "soon", "tags": ["red"]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ([1, "a"], "", "a list whose values are of one type"),
        ([[1]], "", "a list without lists in it"),
        ([{"a": 1}], "", "a text, a number, true, false, a date, a list of them, or null"),
        ([2**70], "", "at most 64 bits"),
        ([float("inf")], "", "a finite number"),
        ("2020-13-01", "date", "an ISO date such as"),
        ("2020-01-02T03:04", "date", "a date such as 2020-01-31 without a time"),
        ("soon", "datetime", "an ISO date such as"),
        ("0001-01-01T00:00+23:00", "datetime", "an ISO date such as"),
        ([1], "int", "a whole number, not a list"),
        (2**53 + 1, "float", "a whole number that a float holds exactly"),
        ([2, -(2**53) - 1], "list[float]", "a whole number that a float holds exactly"),
        (1.5e16 + 2**64, "int", "a whole number of at most 64 bits"),
        ("[1", "list[int]", "a JSON array"),
        (["a"], "list[int]", "a whole number"),
    ],
)
def test_bad_values_are_named_with_line_and_field(
    tmp_path: Path, value: Any, kind: str, said: str
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"id": "a", "text": "x", "n": value}) + "\n")
    source = open_source(path, options=SourceOptions(fields=(f"n:{kind}" if kind else "n",)))
    with pytest.raises(CorpusError, match=rf"c.jsonl, line 1: unusable field: 'n' of 'a' .*{said}"):
        list(source.documents())


def test_one_rule_for_the_kind_of_a_field() -> None:
    kinds = FieldKinds({"old": "str", "day": "date"}, index=("old", "day"))
    assert kinds.value("old", dt.date(2020, 1, 2)) == "2020-01-02"
    assert kinds.value("day", "2020-01-02") == "2020-01-02"
    assert kinds.value("day", dt.datetime(2020, 1, 2, 3)) == "2020-01-02T03:00:00+00:00"
    assert kinds.kinds["day"] == "datetime"
    assert kinds.value("n", [1, 2]) == [1, 2]
    assert kinds.value("n", 3) == [3]
    assert kinds.value("n", [0.5]) == [0.5]
    assert kinds.kinds["n"] == "list[float]"
    assert kinds.value("t", np.datetime64("2020-01-02")) == "2020-01-02"
    assert kinds.value("t", np.datetime64("NaT")) is None
    assert kinds.value("words", ["a; b"]) == ["a; b"]
    assert kinds.value("words", "a; b") == ["a; b"]
    assert kinds.value("one", "a") == "a"
    with pytest.raises(
        ValueError, match=r"a text as in the documents before; .*\(one:list\[str\]\)"
    ):
        kinds.value("one", ["a"])
    with pytest.raises(ValueError, match="an ISO date"):
        kinds.value("day", "soon")


TAGS = st.one_of(st.none(), st.lists(st.sampled_from("abc"), max_size=3))
DAYS = st.one_of(st.none(), st.dates(dt.date(2019, 12, 30), dt.date(2020, 1, 3)))
TIMES = st.one_of(st.none(), st.datetimes(dt.datetime(2019, 12, 30), dt.datetime(2020, 1, 3)))
LEAVES = st.one_of(
    st.tuples(st.just("tags"), st.sampled_from([*SIGNS, "$contains"]), st.sampled_from("abc")),
    st.tuples(st.just("tags"), st.just("$in"), st.lists(st.sampled_from("abc"), min_size=1)),
    st.tuples(st.just("day"), st.sampled_from([*SIGNS]), DAYS.filter(bool)),
    st.tuples(st.just("at"), st.sampled_from([*SIGNS]), st.one_of(DAYS, TIMES).filter(bool)),
    st.tuples(st.just("days"), st.sampled_from([*SIGNS, "$contains"]), DAYS.filter(bool)),
)


def holds(value: Any, sign: str, asked: Any) -> bool | None:
    """Return whether a comparison holds in plain Python; None where it is unknown."""
    if value is None or value == []:
        return None
    if sign == "$ne":
        return not holds(value, "$eq", asked)
    values = [moment(each) for each in (value if isinstance(value, list) else [value])]
    if sign == "$in":
        return any(each in asked for each in values)
    compare = SIGNS["$eq" if sign == "$contains" else sign]
    return any(compare(each, moment(asked)) for each in values)


def moment(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=UTC)
    return (
        dt.datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, dt.date)
        else value
    )


def as_text(leaf: tuple[str, str, Any]) -> str:
    name, sign, value = leaf
    shown = json.dumps(value if isinstance(value, str | list) else value.isoformat())
    if sign == "$contains":
        return f"{shown} in {name}"
    return f"{name} {'in' if sign == '$in' else TEXT_SIGNS[sign]} {shown}"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(TAGS, DAYS, TIMES), min_size=1, max_size=6), LEAVES, LEAVES)
def test_both_forms_of_a_filter_select_what_plain_python_does(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], one: Any, other: Any
) -> None:
    records = [
        {"tags": tags, "day": day, "at": at, "days": None if day is None else [day, day]}
        for tags, day, at in rows
    ]
    known = {"tags": "list[str]", "day": "date", "at": "datetime", "days": "list[date]"}
    kinds = FieldKinds(known)
    documents = [
        Document(f"d{9 - at}", "x", fields={name: kinds.value(name, row[name]) for name in row})
        for at, row in enumerate(records)
    ]
    folder = tmp_path_factory.mktemp("fields")
    write_documents(documents, folder, fields=kinds.kinds)
    store = DocumentStore([DocumentSegment(folder)])
    assert list(store) == [
        Document(each.doc_id, "x", fields={k: v for k, v in each.fields.items() if v is not None})
        for each in documents
    ]
    first = [holds(row[one[0]], one[1], one[2]) for row in records]
    second = [holds(row[other[0]], other[1], other[2]) for row in records]
    expected = [at for at, (a, b) in enumerate(zip(first, second, strict=True)) if a and b is False]
    text = f"{as_text(one)} and not ({as_text(other)})"
    form = {"$and": [{one[0]: {one[1]: one[2]}}, {"$not": {other[0]: {other[1]: other[2]}}}]}
    assert store.select(text).doc_nums.tolist() == expected
    assert store.select(form).doc_nums.tolist() == expected
    assert store.select(str(parse_filter(form))).doc_nums.tolist() == expected


def test_filters_of_lists_and_dates_that_cannot_be(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"tags": ["red"], "lang": "en", "day": dt.date(2020, 1, 2), "n": [1]}
    index = build(tmp_path / "idx", [Document("a", "merge", fields=fields)])
    for text, said in [
        ('"en" in lang', "'lang' holds one value a document, no list; compare it by `lang == "),
        ("1 in tags", "'tags' cannot be compared with 1"),
        ('day == "soon"', "'day' cannot be compared with 'soon': an ISO date such as"),
        ("day > 3", "'day' cannot be compared with 3"),
        ('"red" in ["red"]', "where the name of a field that holds lists was expected"),
        ('tags contains "red"', "it is written `VALUE in FIELD`, of a field that holds lists"),
        ('"red"', "where a field name was expected"),
    ]:
        with pytest.raises(UsageError, match=said):
            index.search("merge", filter=text)
    where: list[Any] = [
        {"tags": "red"}, {"tags": {"$all": ["red"]}}, {"n": {"$gt": 0.5}},
        {"tags": {"$contains": "red"}},
        {"must": [{"key": "tags", "match": {"any": ["red", "x"]}}]},
        {"day": {"$gte": dt.datetime(2020, 1, 1, 23)}}, {"tags": {"$not_contains": "blue"}},
    ]  # fmt: skip
    for each in where:
        assert [hit.doc_id for hit in index.search("merge", filter=each)] == ["a"]
    assert index.contents.generation.manifest.format_version == 2
    assert format_of(index.contents.documents.field_kinds) == 2


def test_an_index_without_lists_and_dates_stays_in_format_1(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [Document("a", "merge", fields={"n": 1, "s": "2020-01-02"})])
    assert index.contents.generation.manifest.format_version == 1


def test_compact_rounds_no_number_and_reads_no_star(tmp_path: Path) -> None:
    fields = {"exact": 2**53, "beyond": 2**53 + 1, "whole": 1e16}
    index = build(tmp_path / "idx", [Document("a", "merge", fields=fields)])
    name = index.contents.generation.name
    with pytest.raises(CorpusError, match=r"'beyond' of 'a' is 90.*93, expected a whole number"):
        index.compact(fields="beyond:float")
    for asked in ("*", "exact:float,*"):
        with pytest.raises(UsageError, match=r"'\*' names no field to read as another type"):
            index.compact(fields=asked)
    assert index.contents.generation.name == name
    index.compact(fields="exact:float,whole:int")
    assert index.document("a").fields == {"exact": 2.0**53, "beyond": 2**53 + 1, "whole": 10**16}
    assert index.contents.documents.field_kinds["whole"] == "int"


@pytest.mark.parametrize("listed", [False, True])
def test_a_day_is_one_value_where_a_later_segment_holds_times(tmp_path: Path, listed: bool) -> None:
    def held(doc_id: str, day: dt.date) -> Document:
        return Document(doc_id, "merge", fields={"day": [day] if listed else day})

    index = build(tmp_path / "idx", [held("a", dt.date(2020, 1, 2)), Document("b", "merge")])
    days = index.contents.documents
    assert days.document("a").fields == {"day": ["2020-01-02"] if listed else "2020-01-02"}
    assert days.facets([0, 1], ["day"]) == {"day": {"2020-01-02": 1}}
    index.add([held("c", dt.datetime(2020, 1, 2)), held("d", dt.datetime(2020, 1, 2, 3))])
    for _ in range(2):
        store, shown = index.contents.documents, "2020-01-02T00:00:00+00:00"
        assert store.facets(range(4), ["day"]) == {
            "day": {shown: 2, "2020-01-02T03:00:00+00:00": 1}
        }
        assert store.document("a").fields == {"day": [shown] if listed else shown}
        assert store.document("b").fields == {}
        index.compact()


@pytest.mark.parametrize(
    "value",
    [
        np.datetime64("10000-01-01"),
        np.datetime64(2**62, "h"),
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=23))),
        dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-2))),
    ],
)
def test_dates_outside_the_years_of_python_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="an ISO date such as"):
        FieldKinds().value("day", value)
