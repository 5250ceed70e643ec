from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid.corpus import open_source
from hybrid.errors import HybridError, IndexFormatError
from hybrid.index.storage.generation import open_generation
from hybrid.index.storage.manifest import FORMAT_VERSION
from hybrid.index.transfer import pull_index, push_index, restore_index, snapshot_index
from hybrid.index.verify import repair_index, verify_index
from hybrid.search.index import Index
from tests.golden.make import ENCODERS, HERE, answers, tagged
from tests.test_living import document

VERSIONS = sorted(path.stem for path in HERE.glob("format-*.json"))


def test_the_present_format_has_a_golden_index() -> None:
    assert f"format-{FORMAT_VERSION}" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_an_index_of_each_format_answers_as_it_did(version: str, tmp_path: Path) -> None:
    shutil.copytree(HERE / version, tmp_path / "idx")
    assert verify_index(tmp_path / "idx", deep=True).is_whole
    expected = json.loads((HERE / f"{version}.json").read_text())
    found = answers(tmp_path / "idx")
    for fusion, queries in expected.items():
        for query, hits in queries.items():
            assert [doc_id for doc_id, _ in found[fusion][query]] == [each for each, _ in hits]
            # The test's own encoder adds in an order that its platform chooses.
            scores = [score for _, score in found[fusion][query]]
            assert scores == pytest.approx([score for _, score in hits], rel=1e-5)
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    index.add([document(20)])
    index.compact()
    assert len(index) == 14


def test_format_2_holds_lists_and_dates_and_an_older_reader_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(HERE / "format-2", tmp_path / "idx")
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    live = [number for number in range(14) if number != 5]
    for _ in range(2):
        for text, expected in {
            '"red" in tags': [n for n in live if n % 3 == 0],
            'day >= "2020-01-08"': [n for n in live if n >= 7],
            'at < "2020-01-01T05:00+01:00"': [n for n in live if n < 4],
            "tags is null": [n for n in live if n % 3 == 2],
        }.items():
            found = index.contents.select(text).doc_nums
            assert sorted(index.contents.doc_ids[n] for n in found) == [
                f"d{n:04}" for n in expected
            ]
        assert index.document("d0003").fields == {
            "tags": ["red", "blue"],
            "day": "2020-01-04",
            "at": "2020-01-01T03:30:00+00:00",
        }
        index.compact()
        assert index.contents.generation.manifest.format_version == 2
    monkeypatch.setattr("hybrid.index.storage.manifest.READABLE", (1,))
    with pytest.raises(IndexFormatError, match=r"has index format 2 .*Use the version that wrote"):
        Index(tmp_path / "idx", encoders=ENCODERS)


def test_a_first_date_makes_an_index_of_format_1_one_of_format_2(tmp_path: Path) -> None:
    shutil.copytree(HERE / "format-1", tmp_path / "idx")
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    current = tmp_path / "idx" / "CURRENT"
    index.delete(["d0001"])
    index.compact()
    assert current.read_text().startswith("hybrid-index 1\n")
    index.add([tagged(30)])
    assert current.read_text().startswith("hybrid-index 2\n")
    index.compact()
    index.delete(["d0002"])
    assert current.read_text().startswith("hybrid-index 2\n")
    assert [
        index.contents.doc_ids[n] for n in index.contents.select("day is not null").doc_nums
    ] == ["d0030"]
    assert verify_index(tmp_path / "idx", deep=True).is_whole


def test_copies_and_repairs_keep_the_format_of_what_they_bring_back(tmp_path: Path) -> None:
    for version in (1, 2):
        home, start = tmp_path / str(version), HERE / f"format-{version}"
        snapshot_index(start, home / "copy")
        restore_index(home / "copy", home / "again")
        push_index(start, (home / "far").as_uri())
        pull_index((home / "far").as_uri(), home / "near")
        expected = (open_generation(start).manifest, answers(start))
        for name in ("copy", "again", "far", "near"):
            head = (home / name / "CURRENT").read_text().partition("\n")[0]
            assert head == f"hybrid-index {version}", name
            manifest = open_generation(home / name).manifest
            assert manifest.format_version == version, name
            assert (manifest.files, manifest.content) == (expected[0].files, expected[0].content)
            assert answers(home / name) == expected[1]
    shutil.copytree(HERE / "format-1", tmp_path / "idx")
    before = answers(tmp_path / "idx")
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    index.add([tagged(30)])
    current = tmp_path / "idx" / "CURRENT"
    assert current.read_text().startswith("hybrid-index 2\n")
    (index.contents.generation.directory / "manifest.json").write_text("{}")
    name = index.contents.generation.name
    index.close()
    report = repair_index(tmp_path / "idx")
    assert (report.before, report.dropped) == (name, (name,))
    assert current.read_text().startswith("hybrid-index 1\n")
    assert answers(tmp_path / "idx") == before


def test_compact_upgrades_an_index_of_format_1_by_reading_its_fields_as_other_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = tmp_path / "idx" / "CURRENT"
    fields = {"day": "2020-01-31", "tags": "red; blue", "year": 2020}
    shutil.copytree(HERE / "format-1", tmp_path / "idx")
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    index.update([replace(document(n), fields=fields) for n in range(3)])
    index.compact()
    assert current.read_text().startswith("hybrid-index 1\n")
    before = answers(tmp_path / "idx")
    report = index.compact(fields="day:date,tags:list,year:str")
    assert (report.merged, report.segments) == (1, 1)
    assert current.read_text().startswith("hybrid-index 2\n")
    kinds = {"day": "date", "tags": "list[str]", "year": "str"}
    assert index.contents.documents.field_kinds.items() >= kinds.items()
    found = {"day": "2020-01-31", "tags": ["red", "blue"], "year": "2020"}
    assert index.document("d0001").fields == found
    assert len(index.contents.select('"red" in tags and day < "2020-01-31T00:01Z"').doc_nums) == 3
    assert answers(tmp_path / "idx") == before
    assert verify_index(tmp_path / "idx", deep=True).is_whole
    index.compact(fields=("tags:list[str]", "day:datetime"))
    assert index.document("d0001").fields["day"] == "2020-01-31T00:00:00+00:00"
    index.update([replace(document(9), fields={"year": "2021"})])
    index.compact(fields="day:str,tags:list,year:int")
    kinds |= {"day": "str", "year": "int"}
    assert index.contents.documents.field_kinds.items() >= kinds.items()
    assert index.document("d0009").fields == {"year": 2021}
    assert current.read_text().startswith("hybrid-index 2\n")
    name = index.contents.generation.name
    for asked, said in {
        "day:int": "'day' of 'd0002' is '2020-.*expected a whole number .*; nothing was changed",
        "tags:str": "'tags' of .*expected a text, not a list; nothing was changed",
        "day": "field 'day' is to be read as another type, and none is named; give day:date",
        "month:int": "the documents have no field 'month'; their fields: .*day, ",
    }.items():
        with pytest.raises(HybridError, match=said):
            index.compact(fields=asked)
        assert Index(tmp_path / "idx", encoders=ENCODERS).contents.generation.name == name
    monkeypatch.setattr("hybrid.index.storage.manifest.READABLE", (1,))
    with pytest.raises(IndexFormatError, match="has index format 2"):
        Index(tmp_path / "idx", encoders=ENCODERS)


def test_the_documented_migration_reads_the_documents_without_this_package(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "index-format.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], scope)
    shutil.copytree(HERE / "format-1", tmp_path / "idx")
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    index.compact()
    (name,) = index.contents.segments
    folder = index.contents.generation.directory / "segments" / name / "documents"
    scope["to_jsonl"](folder, tmp_path / "documents.jsonl")
    source = open_source(tmp_path / "documents.jsonl")
    plain = [replace(document, fields={}) for document in index.contents.documents]
    assert list(source.documents()) == plain
    assert len(plain) == 13
