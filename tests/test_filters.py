from __future__ import annotations

import datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import UsageError
from hybrid.index.documents.filter_columns import matches
from hybrid.index.documents.filters import (
    Combination,
    Comparison,
    Filter,
    Membership,
    Missing,
    Negation,
    parse_filter,
)

YEARS = [2019, 2020, None, 2021]
LANGS = ["en", "de", "en", None]
COLUMNS = {
    "year": pa.array(YEARS, pa.int64()),
    "lang": pa.array(LANGS, pa.large_string()),
    "score": pa.array([0.5, None, 1.5, 2.0], pa.float64()),
    "open": pa.array([True, False, None, True]),
    "day": pa.array([datetime.date(2020, 1, each) for each in (1, 2, 3, 4)], pa.date32()),
    "and": pa.array([1, 2, 3, 4], pa.int64()),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year >= 2020", [False, True, None, True]),
        ("year>=2020 and lang=='en'", [False, False, None, None]),
        ("year == 2019 or lang == 'en'", [True, False, True, None]),
        ("not year == 2020", [True, False, None, True]),
        ("year != 2020", [True, False, None, True]),
        ("year < 2020.5", [True, True, None, False]),
        ("score > 1", [False, None, True, True]),
        ("year is null", [False, False, True, False]),
        ("year is not null and open == true", [True, False, False, True]),
        ('lang in ["de", "fr"]', [False, True, False, None]),
        ("not lang in ['de']", [True, False, True, None]),
        ("day <= '2020-01-02'", [True, True, False, False]),
        ("`and` == 3", [False, False, True, False]),
        ("year == 2019 or year == 2020 and lang == 'en'", [True, False, None, False]),
        ("(year == 2019 or year == 2020) and lang == 'de'", [False, True, False, False]),
        ("score == -1e3", [False, None, False, False]),
        ("lang == ''", [False, False, False, None]),
    ],
)
def test_a_filter_selects_as_sql_would(text: str, expected: list[bool | None]) -> None:
    assert matches(parse_filter(text), COLUMNS).to_pylist() == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "its end at character 1, where a field name"),
        ("year", "its end at character 5, where one of =="),
        ("year = 2020", "'= 2020' at character 6"),
        ("year == ", "its end at character 9, where a number"),
        ("year == x", "'x' at character 9, where a number"),
        ("year == 1 lang == 'en'", "'lang' at character 11, where 'and', 'or' or the end"),
        ("(year == 1", r"its end at character 11, where '\)'"),
        ("lang in []", r"'\]' at character 10"),
        ("lang in ['a' 'b']", "at character 14, where"),
        ("and == 1", "'and' at character 1, where a field name"),
        ("__import__('os').system('x')", "which no filter holds"),
        ("year == 1; year == 2", "';"),
        ("lang == 'en", "needs quotes"),
        ("lang = 'de'", r"has \"= 'de'\" at character 6, but equality is written =="),
        ("lang == 'de' && year > 1", "at character 14, but it is written and"),
        ("year == 1 || year == 2", "at character 11, but it is written or"),
        ("!year", r"at character 1, but it is written not \(or !=\)"),
        ("year == 1e999", "a number of at most 100"),
        ("year == " + "9" * 5000, "a number of at most 100"),
        ("(" * 60 + "year == 1" + ")" * 60, "nests deeper than 50"),
        ("not " * 60 + "year == 1", "nests deeper than 50"),
        ("year == 1 or " * 2000, "20000 is the limit"),
        ("year is", "its end"),
        ("== 1", "'==' at character 1"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("colour == 1", "no field 'colour'; their fields: and, day, lang, open, score, year"),
        ("year == '2020'", "'year' cannot be compared with '2020': it holds whole numbers"),
        ("lang == 1", "'lang' cannot be compared with 1: it holds text"),
        ("open == 1", "'open' cannot be compared with 1: it holds true or false"),
        ("year == true", "'year' cannot be compared with True"),
        ("day == 'soon'", "'day' cannot be compared with 'soon'"),
        ("year == 99999999999999999999999", "'year' cannot be compared"),
    ],
)
def test_a_value_that_its_field_cannot_hold_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        matches(parse_filter(text), COLUMNS)


FIELDS = st.sampled_from(["year", "lang", "and", "not", "a b", "_x1", "é"])
VALUES = st.one_of(
    st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)  # fmt: skip
LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Comparison, FIELDS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), VALUES),
    st.builds(Membership, FIELDS, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.builds(Missing, FIELDS),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Negation, inner),
        st.builds(
            Combination,
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=2, max_size=3).map(tuple),
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(FILTERS)
def test_a_filter_prints_and_parses_back(value: Filter) -> None:
    again = parse_filter(str(value))
    assert again == value
    assert repr(again) == repr(value)  # 1 == True == 1.0 would pass above


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="yearlng =!<>()[],'\"`\\andornotisu0123.-e9\n", max_size=40))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        parsed = parse_filter(text)
        matches(parsed, COLUMNS)
    except UsageError:
        return
    assert parse_filter(str(parsed)) == parsed
