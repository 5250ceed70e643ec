from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from hybrid.corpus import Document
from hybrid.corpus.handed import handed_documents
from hybrid.errors import UsageError
from tests.test_living import build


def document(fields: object) -> Document:
    return Document("d1", "text", fields=cast("Mapping[str, Any]", fields))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("en"), "en"),
        (True, True),
        (3, 3),
        ("en", "en"),
        (None, None),
    ],
)
def test_numpy_scalars_become_plain_values(value: object, plain: object) -> None:
    (found,) = handed_documents([document({"y": value})])
    assert found == document({"y": plain})
    assert type(found.fields["y"]) is type(plain)


def test_documents_without_fields_pass_as_they_are() -> None:
    plain = document({"year": 2020})
    assert next(handed_documents([plain])) is plain
    assert list(handed_documents([document(None)])) == [document({})]
    assert list(handed_documents([])) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("year", 2020)], r"fields of the document at place 1 are .*\(list\); give a dictionary"),
        (
            {2020: "year"},
            r"name of a field of the document at place 1 is 2020 \(int\); give",
        ),
        (
            {"y": [1, 2]},
            r"place 1: unusable field: 'y' of 'd1' is \[1, 2\], expected a text, a num",
        ),
        ({"y": np.datetime64("2020-01-01T00:00", "ns")}, "expected a text, a number, true"),
        ({"y": np.zeros(1)}, r"array\(\[0.\]\), expected a text"),
        ({"y": 1j}, "1j, expected a text"),
    ],
)
def test_fields_that_filters_could_not_see_are_refused(fields: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(handed_documents([Document("d0", "text"), document(fields)]))


@pytest.mark.parametrize(
    ("doc_id", "said"),
    [
        ("", "place 0: unusable id: id 'doc_id' is empty"),
        ("a b", "place 0: unusable id: id 'a b' holds white space"),
        ("a\n", r"place 0: unusable id: id 'a\\n' holds white space"),
        ("a\0", "the doc_id of the document at place 0 holds a NUL byte at 1"),
        ("\ud800", r"the doc_id of the document at place 0 holds '\\ud800' at 0"),
    ],
)
def test_ids_that_no_source_would_give_are_refused(doc_id: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(handed_documents([Document(doc_id, "text")]))


def test_added_fields_of_numpy_are_filtered_as_any_other(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [Document("a", "merge", fields={"year": 2019})])
    index.add([Document("b", "merge", fields=cast("Any", {"year": np.int64(2021)}))])
    assert [hit.doc_id for hit in index.search("merge", filter="year > 2020")] == ["b"]
    with pytest.raises(UsageError, match="holds white space"):
        index.update([Document("c d", "merge")])
    assert len(index) == 2


def test_a_build_takes_and_refuses_what_an_addition_does(tmp_path: Path) -> None:
    year = cast("Any", {"year": np.int64(2021)})
    index = build(tmp_path / "idx", [Document("b", "merge", fields=year)])
    assert index.document("b").fields == {"year": 2021}
    with pytest.raises(UsageError, match="holds white space"):
        build(tmp_path / "other", [Document("c d", "merge")])
    assert [entry.name for entry in tmp_path.iterdir()] == ["idx"]
