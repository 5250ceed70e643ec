"""Filters as dictionaries: each says what a text says."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.corpus import Document
from hybrid.errors import UsageError
from hybrid.evaluate.options import PoolOptions
from hybrid.index.documents.filters import parse_filter
from hybrid.search.options import SearchOptions
from tests.test_living import build

SAME: list[tuple[dict[str, Any], str]] = [
    ({"year": 2020}, "year == 2020"),
    ({"year": {"$gte": 2020}}, "year >= 2020"),
    ({"year": {"$gt": 1, "$lte": 2}, "lang": "en"}, 'year > 1 and year <= 2 and lang == "en"'),
    ({"lang": {"$ne": "en"}}, 'lang != "en"'),
    ({"lang": {"$in": ["en", "de"]}}, 'lang in ["en", "de"]'),
    ({"lang": {"$nin": ["en"]}}, 'not lang in ["en"]'),
    ({"lang": {"$in": ["en", None]}}, 'lang in ["en"] or lang is null'),
    ({"year": {"$exists": True}}, "year is not null"),
    ({"year": {"$exists": False}}, "year is null"),
    ({"year": None}, "year is null"),
    ({"year": {"$ne": None}}, "not year is null"),
    ({"year": float("nan")}, "year is null"),
    ({"year": {"$not": {"$lt": 2020}}}, "not year < 2020"),
    ({"$or": [{"n": 1}, {"lang": "en", "n": 2}]}, 'n == 1 or (lang == "en" and n == 2)'),
    ({"$and": [{"year": 1}, {"$and": [{"lang": "en"}]}]}, 'year == 1 and lang == "en"'),
    ({"$nor": [{"year": 1}, {"year": 2}]}, "not (year == 1 or year == 2)"),
    ({"$not": {"year": 1}}, "not year == 1"),
    ({"meta.year": {"$lt": np.int64(3)}}, "meta.year < 3"),
    ({"a b": True}, "`a b` == true"),
    ({"day": {"$gte": datetime.date(2020, 1, 2)}}, 'day >= "2020-01-02"'),
    ({"must": [{"key": "lang", "match": {"value": "en"}}]}, 'lang == "en"'),
    ({"must": {"key": "year", "range": {"gte": 1, "lt": 3, "gt": None}}}, "year >= 1 and year < 3"),
    ({"should": [{"key": "lang", "match": {"any": ["en", "de"]}}, {"is_null": {"key": "year"}}]},
     'lang in ["en", "de"] or year is null'),
    ({"must_not": [{"key": "lang", "match": {"except": ["en"]}},
      {"key": "year", "match": {"value": 1}}]},
     'not (not lang in ["en"] or year == 1)'),
    ({"must": [{"key": "year", "range": {"gt": 1}}], "should": [{"is_empty": {"key": "lang"}}],
      "must_not": [{"must": [{"key": "lang", "match": {"value": "en"}}]}]},
     'year > 1 and lang is null and not lang == "en"'),
]  # fmt: skip


@pytest.mark.parametrize(("given", "text"), SAME)
def test_a_dictionary_says_what_a_text_says(given: dict[str, Any], text: str) -> None:
    assert parse_filter(given) == parse_filter(text)
    assert parse_filter(parse_filter(given)) == parse_filter(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"a part of the filter is \{\} \(dict\); give a dictionary that is"),
        ({"$gte": 3}, r"no '\$gte' around fields; use \$and, \$or"),
        ({"year": {"$like": 3}}, r"no operator '\$like' for 'year'; use \$eq, \$ne"),
        ({"year": {"gte": 3}}, "no operator 'gte' for 'year'"),
        ({"year": {}}, r"the condition on 'year' is \{\}"),
        ({"year": [1, 2]}, r"'year' is compared with \[1, 2\]"),
        ({"year": {"$in": 3}}, r"year: \$in is 3 \(int\); give a list that is not empty"),
        ({"year": {"$in": []}}, r"year: \$in is \[\]"),
        ({"year": {"$in": "ab"}}, r"year: \$in is 'ab'"),
        ({"year": {"$exists": 1}}, r"\$exists of 'year' is 1 \(int\); give True or False"),
        ({"year": {"$gt": None}}, "'year' cannot be compared with null by >"),
        ({"$or": {"a": 1}}, r"\$or is .*\(dict\); give a list"),
        ({3: 1}, r"a key of the filter is 3 \(int\)"),
        ({"must": [{"key": "a"}]}, "the filter has the condition .*give a key with match or range"),
        ({"must": [{"key": "a", "match": {"text": "x"}}]}, "match of 'a' is .*use value, any or"),
        ({"must": [{"key": "a", "range": {}}]}, "range of 'a' is .*use gt, gte, lt, lte"),
        ({"must": [{"key": "a", "range": {"gt": None}}]}, "says nothing"),
        ({"must": [{"has_id": [1]}]}, "the filter has the condition"),
        ({"must": []}, "must is .*give a list that is not empty"),
        ({"a": {"$eq": "\ud800"}}, "not Unicode"),
        ({"a": {"$in": list(range(9999))}}, "20000 is the limit"),
    ],
)
def test_what_is_no_filter_is_named(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_filter(given)


def test_deep_dictionaries_are_refused() -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(60):
        deep = {"$not": deep}
    with pytest.raises(UsageError, match="nests deeper than 50"):
        parse_filter(deep)


def test_every_verb_takes_a_dictionary(tmp_path: Path) -> None:
    documents = [Document(f"d{year}", "merge", fields={"year": year}) for year in (2019, 2021)]
    index = build(tmp_path / "idx", documents)
    where = {"year": {"$gte": 2020}}
    assert [hit.doc_id for hit in index.search("merge", filter=where)] == ["d2021"]
    assert index.pool({"q": "merge"}, filter=where).doc_nums.tolist() == [0]
    assert SearchOptions(filter=where).filter == PoolOptions(filter=where).filter == "year >= 2020"
