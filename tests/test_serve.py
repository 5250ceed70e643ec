"""The JSON API, asked in this process: searches, keys, names, limits, changes, judgments."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import SourceOptions, open_source
from hybrid.errors import UsageError
from hybrid.index import change
from hybrid.search.index import Index, open_index
from hybrid.search.options import SearchOptions
from hybrid.serve.app import make_app
from hybrid.serve.guard import Counts, Guard
from hybrid.serve.options import ServeOptions, keys_of
from hybrid.serve.service import Service, both

QUERY = "merge sorted lists"
ODD = [
    "a/b?c=d&e#f",
    "../up",
    "/lead",
    "naïve☃文",
    "100%",
    "<script>alert(1)</script>",
    ".",
]
TEXTS = {
    "old": ("merge sorted lists", {"year": 2019}),
    "new": ("merge sorted lists again", {"year": 2021}),
    **{doc_id: ("odd file path", {"year": 2022}) for doc_id in ODD},
}


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BM25 index of documents with a year and with odd ids."""
    folder = tmp_path_factory.mktemp("dated")
    lines = [json.dumps({"id": key, "text": text, **f}) for key, (text, f) in TEXTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = open_source(folder / "corpus.jsonl", options=SourceOptions(fields=("year",)))
    build_index(source, folder / "index", BuildOptions(sparse=None, dense=None))
    return folder / "index"


@pytest.fixture
def client_of() -> Iterator[Callable[..., TestClient]]:
    """Returns a client of an index served with some options."""
    opened: list[Index] = []

    def made(folder: Path, **options: Any) -> TestClient:
        opened.append(open_index(folder))
        given = {"keys": {}, "timeout": 500, **options}  # kernels may have to compile first
        app = make_app(opened[-1], ServeOptions(**given))
        return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)

    yield made
    for each in opened:
        each.close()


@pytest.fixture
def client(client_of: Callable[..., TestClient], tiny_index: Path) -> TestClient:
    return client_of(tiny_index)


def test_a_search_returns_what_the_library_returns(client: TestClient, tiny_index: Path) -> None:
    with open_index(tiny_index) as index:
        expected = index.search(QUERY, 3)
    found = client.post("/search", json={"query": QUERY, "k": 3}).json()
    assert [(hit["doc_id"], hit["score"]) for hit in found["hits"]] == [
        (hit.doc_id, hit.score) for hit in expected
    ]
    assert found["hits"][0]["text"]
    assert found["milliseconds"] > 0


def test_explanations_are_those_of_the_library(client: TestClient, tiny_index: Path) -> None:
    with open_index(tiny_index) as index:
        (expected,) = index.explain(QUERY, ["os.path"])
    asked = {"query": QUERY, "doc_id": "os.path"}
    found = client.post("/explain", json=asked).json()
    assert found["branches"] == json.loads(json.dumps(expected.to_dict()))["branches"]
    answer = client.post("/explain", json={**asked, "k": 1}).json()["missed"]
    assert (answer["k"], answer["cause"]) == (1, "fusion")
    assert client.post("/explain", json={**asked, "k": 10**6}).status_code == 400
    hits = client.post("/search", json={"query": QUERY, "explain": True}).json()["hits"]
    assert all(hit["explanation"]["rank"] == hit["rank"] for hit in hits)


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_that_is_not_said_to_be_json_names_the_header(
    client: TestClient, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    for path in ("/search", "/explain"):
        answer = client.post(path, content=json.dumps({"query": QUERY}), headers=headers)
        assert answer.status_code == 422
        assert "send the header Content-Type: application/json" in answer.json()["error"]
    answer = client.post("/search", json=["merge"])
    assert answer.status_code == 422
    assert "Content-Type" not in answer.json()["error"]


def test_fusions_of_another_version_are_told_apart(
    client_of: Callable[..., TestClient], tiny_copy: Path
) -> None:
    def store(name: str, fusion: str) -> dict[str, Any]:
        change.store_domain(tiny_copy, name, fusion, {})
        found: dict[str, Any] = client_of(tiny_copy).get("/fusions").json()
        return found

    plain = client_of(tiny_copy).get("/fusions").json()
    assert (plain["domains"], plain["unread"]) == ({}, {})
    found = store("law", "later(k=3)")
    assert found == {**plain, "unread": {"law": "later(k=3)"}}
    found = store("default", "later(k=4)")
    assert (found["default"], found["unread"]["default"]) == (None, "later(k=4)")
    assert store("news", "bm25")["domains"] == {"news": "bm25"}


def test_candidates_rank_again_to_what_a_search_by_that_weight_returns(client: TestClient) -> None:
    asked = {"query": QUERY, "candidates": True, "k": 10}
    found = client.post("/search", json=asked).json()["candidates"]
    dense, bm25 = found["branches"].index("dense"), found["branches"].index("bm25")
    scores = {
        row["doc_id"]: 0.3 * row["parts"][dense] + 0.7 * row["parts"][bm25]
        for row in found["rows"]
        if row["ranks"][dense] or row["ranks"][bm25]
    }
    fusion = "cc(alpha=0.3, norm=minmax, branches=(bm25, dense))"
    hits = client.post("/search", json={"query": QUERY, "fusion": fusion}).json()["hits"]
    assert len(hits) == 10
    for hit in hits:
        assert scores[hit["doc_id"]] == pytest.approx(hit["score"], abs=1e-5)


def test_only_the_reranker_of_the_server_reranks(
    client_of: Callable[..., TestClient], tiny_index: Path, tiny_cross: Path
) -> None:
    asked = {"query": QUERY, "k": 3, "rerank": True}
    refused = client_of(tiny_index).post("/search", json=asked)
    assert (refused.status_code, "--rerank" in refused.text) == (400, True)
    client = client_of(tiny_index, rerank=str(tiny_cross))
    named = client.post("/search", json={**asked, "rerank": str(tiny_cross)})
    assert named.status_code == 422
    assert client.get("/index").json()["rerank"] == str(tiny_cross)
    with open_index(tiny_index) as index:
        expected = index.search(QUERY, 3, rerank=str(tiny_cross))
        first = index.search(QUERY, 3)
        options = SearchOptions(rerank=str(tiny_cross))
        (why,) = index.explain(QUERY, [expected[0].doc_id], 3, options=options)
    found = client.post("/search", json={**asked, "facets": [], "candidates": True}).json()
    assert [(hit["doc_id"], hit["score"]) for hit in found["hits"]] == [
        (hit.doc_id, hit.score) for hit in expected
    ]
    again = found["rerank"]
    assert (again["model"], again["depth"]) == (str(tiny_cross), 50)
    assert [(row["doc_id"], row["rank"]) for row in again["first"]] == [
        (hit.doc_id, hit.rank) for hit in first
    ]
    assert [row["score"] for row in again["first"]] == pytest.approx([hit.score for hit in first])
    explained = client.post("/explain", json={**asked, "doc_id": expected[0].doc_id}).json()
    assert explained == json.loads(json.dumps(why.to_dict()))
    assert "rerank" not in client.post("/search", json={**asked, "rerank": False}).json()


def test_a_search_with_all_that_it_can_tell_encodes_the_query_once(
    tiny_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    with open_index(tiny_index) as index:
        for name in index.branches:
            encoder = index.view().encoder(name)

            def counted(texts: list[str], name: str = name, encode: Any = encoder.encode_queries):
                encoded.append(name)
                return encode(texts)

            monkeypatch.setattr(encoder, "encode_queries", counted)
        options = SearchOptions(distinct=True)
        found = Service(index).search(QUERY, 5, options, explain=True, candidates=True)
    assert len(found["hits"]) == 5
    assert sorted(encoded) == ["bm25", "dense", "sparse"]


def test_sentences_are_those_of_the_library(client: TestClient, tiny_index: Path) -> None:
    asked = {"query": QUERY, "doc_id": "os.path"}
    with open_index(tiny_index) as index:
        (expected,) = index.explain(QUERY, ["os.path"], sentences=True)
    (share,) = [each for each in expected.branches if each.sentences]
    found = client.post("/explain", json={**asked, "sentences": True}).json()
    assert [each["sentences"] for each in found["branches"] if each["branch"] == share.branch] == [
        [asdict(each) for each in share.sentences]
    ]
    plain = client.post("/explain", json=asked).json()
    assert [each["sentences"] for each in plain["branches"]] == [[]] * 3


def test_marks_are_the_words_of_the_text(client: TestClient) -> None:
    asked = {"query": "merging sorted list", "k": 1, "fusion": "bm25"}
    (hit,) = client.post("/search", json=asked).json()["hits"]
    words = {hit["text"][mark["start"] : mark["end"]]: mark for mark in hit["marks"]}
    assert set(words) == {"merge", "sorted", "lists"}
    assert all(mark["literal"] and 0 < mark["weight"] <= 1 for mark in words.values())


def test_a_hit_has_its_snippet_and_a_dense_search_the_words_of_bm25(client: TestClient) -> None:
    asked = {"query": "merging sorted list", "fusion": "dense", "candidates": True}
    found = client.post("/search", json=asked).json()
    assert {*found["hits"][0]} == {
        *("rank", "doc_id", "score", "title", "text", "fields", "scores"),
        *("snippet", "passages", "marks"),
    }
    shown = {hit["doc_id"]: hit["snippet"] for hit in found["hits"]}["heapq.merge"]
    (row,) = [each for each in found["candidates"]["rows"] if each["doc_id"] == "heapq.merge"]
    for snippet in (shown, row):
        words = [snippet["text"][mark["start"] : mark["end"]] for mark in snippet["marks"]]
        assert words == ["merge", "sorted", "lists"]
    assert (row["start"], row["clipped"]) == (0, False)


def test_expanded_words_are_told_from_literal_ones(client: TestClient) -> None:
    (hit,) = client.post("/search", json={"query": "heap", "k": 1, "fusion": "sparse"}).json()[
        "hits"
    ]
    marked = {mark["term"]: mark["literal"] for mark in hit["marks"]}
    assert False in marked.values()  # a random model expands to anything
    assert all(literal == (term == "heap") for term, literal in marked.items())


def test_fusions_index_health_metrics(client: TestClient) -> None:
    assert client.get("/fusions").json()["default"]
    info = client.get("/index").json()
    assert info["documents"] == 10
    assert info["kinds"] == {"sparse": "sparse", "bm25": "sparse", "dense": "dense"}
    assert (info["writable"], info["judge"]) == (False, False)
    assert client.get("/health").json() == {"status": "ok"}
    lines = client.get("/metrics").text.splitlines()
    assert 'hybrid_requests_total{status="200"} 3' in lines
    assert "hybrid_documents 10" in lines
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/search", "/explain", "/documents/{doc_id}"} <= set(paths)


@pytest.mark.parametrize("doc_id", ODD)
def test_any_id_is_reached(client_of: Callable[..., TestClient], dated: Path, doc_id: str) -> None:
    client = client_of(dated)
    assert client.get("/document", params={"id": doc_id}).json()["doc_id"] == doc_id
    if doc_id not in {"../up", "."}:  # clients resolve these before they ask
        path = "".join(f"%{byte:02X}" for byte in doc_id.encode())
        assert client.get(f"/documents/{path}").json()["doc_id"] == doc_id
    answer = client.post("/explain", json={"query": "file", "doc_id": doc_id})
    assert answer.json()["doc_id"] == doc_id


def test_the_filter_of_a_key_holds_everywhere(
    client_of: Callable[..., TestClient], dated: Path, tmp_path: Path
) -> None:
    keys = keys_of("all\nsome=year >= 2020")
    client = client_of(dated, keys=keys, writable=True, judge=tmp_path / "judged")

    def ids(key: str, **asked: Any) -> set[str]:
        body = {"query": QUERY, "k": 20, **asked}
        answer = client.post("/search", json=body, headers={"X-API-Key": key})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        listed = {hit["doc_id"] for hit in found["hits"]}
        return listed | {row["doc_id"] for row in found.get("candidates", {"rows": []})["rows"]}

    assert ids("all") == {"old", "new"}
    assert ids("some", candidates=True) == {"new"}
    assert ids("some", filter="year < 2021") == set()

    def years(key: str) -> Any:
        body = {"query": QUERY, "k": 1, "facets": ["year"]}
        return client.post("/search", json=body, headers={"X-API-Key": key}).json()["facets"]

    (every,) = years("all").values()
    assert every == [
        {"value": year, "count": 1, "filter": f"year == {year}"} for year in (2019, 2021)
    ]
    for each in every:
        assert len(ids("all", filter=each["filter"])) == each["count"]
    assert years("some") == {"year": [each for each in every if each["value"] >= 2020]}
    absent = {"query": QUERY, "facets": ["month"]}
    refused = client.post("/search", json=absent, headers={"X-API-Key": "all"})
    assert (refused.status_code, "no field 'month'" in refused.text) == (400, True)
    some = {"Authorization": "Bearer some"}
    around = {"query": QUERY, "filter": "year == 1) or (year > 0"}
    assert client.post("/search", json=around, headers=some).status_code == 400
    hidden = client.get("/documents/old", headers=some)
    absent = client.get("/documents/none", headers=some)
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert hidden.json()["error"] == absent.json()["error"].replace("none", "old")
    for path, body in {
        "/explain": {"query": QUERY, "doc_id": "old"},
        "/judgments": {"query": QUERY, "doc_id": "old", "grade": 1},
    }.items():
        assert client.post(path, json=body, headers=some).status_code == 404
    change = {"doc_ids": ["old"]}
    assert client.post("/documents/delete", json=change, headers=some).status_code == 403
    visible = {"query": QUERY, "doc_id": "new", "filter": "year < 2000"}
    assert client.post("/explain", json=visible, headers=some).json()["score"] is None


def test_a_filter_that_does_not_fit_is_refused_at_the_start(dated: Path) -> None:
    with open_index(dated) as index, pytest.raises(UsageError, match="colour"):
        make_app(index, ServeOptions(keys={"a": "colour == 1"}))
    assert both("", None) is None
    with pytest.raises(UsageError, match="filter"):
        both("year > 1", "year > 1) or (year < 1")


def test_keys(client_of: Callable[..., TestClient], tiny_index: Path) -> None:
    client = client_of(tiny_index, keys={"secret-ключ": "", "two": ""})
    for headers in ({}, {"X-API-Key": ""}, {"X-API-Key": "tw"}, {"Authorization": "Bearer x"}):
        assert client.get("/index", headers=headers).status_code == 401
        assert client.get("/metrics", headers=headers).status_code == 401
    assert client.get("/index", headers={"X-API-Key": "two"}).status_code == 200
    assert client.get("/health").status_code == 200
    with pytest.raises(UsageError, match="no key"):
        keys_of("=year > 2")
    with pytest.raises(UsageError, match="HYBRID_API_KEYS"):
        ServeOptions(host="0.0.0.0", keys={})
    assert "two" not in repr(ServeOptions(keys={"two": ""}))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "[", "127.0.0.1.evil"])
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 421


def test_names_and_origins(client_of: Callable[..., TestClient], tiny_index: Path) -> None:
    client = client_of(tiny_index, hosts="Search.example, other", cors="https://app.example")
    for host in ("search.example:80", "SEARCH.example"):
        assert client.get("/health", headers={"Host": host}).status_code == 200
    for host in ("localhost:8000", "[::1]:8000"):
        assert client.get("/health", headers={"Host": host}).status_code == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9"):
        assert client.get("/health", headers={"Origin": origin}).status_code == 403
    assert client.get("/health", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200
    named = client.get("/health", headers={"Origin": "https://app.example"})
    assert named.headers["access-control-allow-origin"] == "https://app.example"
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert client.options("/search", headers=asked).status_code == 200
    evil = {**asked, "Origin": "https://evil.example"}
    assert client.options("/search", headers=evil).status_code == 400


def test_cors_is_off_unless_named(client: TestClient) -> None:
    answer = client.get("/health", headers={"Origin": "http://127.0.0.1:8000"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b'{"query": ""}', 422),
        (b'{"query": "  "}', 400),
        (b'{"query": "a", "k": 0}', 422),
        (b'{"query": "a", "k": 1e400}', 422),
        (b'{"query": "a", "k": 1001}', 400),
        (b'{"query": "a", "more": 1}', 422),
        (b'{"query": "\\ud800"}', 422),
        (b'{"query": "a", "\\ud800": 1}', 422),
        (b'{"query": "a", "fusion": "nonsense("}', 400),
        (b'{"query": "a", "domain": "none"}', 400),
        (b'{"query": "a", "filter": "colour == 1"}', 400),
        (b'{"query": "' + b"a" * 2001 + b'"}', 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 422),
        (b"9" * 5000, 400),
    ],
)
def test_malformed_requests(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)
    assert "Traceback" not in answer.text


def test_an_unknown_path_and_method(client: TestClient) -> None:
    assert client.get("/nothing").json() == {"error": "Not Found"}
    assert client.get("/search").status_code == 405
    assert client.get("/page/..%2fapp.py").status_code == 404
    assert client.post("/documents", json={"documents": []}).status_code in {404, 405}


def test_a_huge_body_is_refused(client_of: Callable[..., TestClient], tiny_index: Path) -> None:
    client = client_of(tiny_index, most_bytes=100)
    assert client.post("/search", content=b" " * 101).status_code == 413
    assert client.post("/search", content=iter([b" " * 60, b" " * 60])).status_code == 413
    assert client.post("/search", content=b" " * 101).headers["connection"] == "close"
    assert "connection" not in client.post("/search", content=b"{").headers
    wrong = {"Content-Length": "-1"}
    assert client.post("/search", content=b"{}", headers=wrong).status_code == 413


async def asked(app: Any, path: str = "/search", body: bytes | None = b"{}") -> int:
    """Return the status that an ASGI application answers; None sends no body, ever."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"host", b"127.0.0.1")],
    }
    statuses = []

    async def receive() -> dict[str, Any]:
        if body is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    (status,) = statuses
    return int(status)


def test_a_slow_body_is_cut() -> None:
    guard = Guard(None, ServeOptions(keys={}, timeout=0.05), Counts())
    assert asyncio.run(asked(guard, body=None)) == 408


def test_too_many_at_once_are_refused_and_a_timeout_frees_the_room() -> None:
    stopped = threading.Event()

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(stopped.wait, 10)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    counts = Counts()
    guard = Guard(stuck, ServeOptions(keys={}, timeout=0.2, concurrency=2), counts)

    async def all_asked() -> list[int]:
        first = await asyncio.gather(*(asked(guard) for _ in range(4)))
        again = await asyncio.gather(*(asked(guard) for _ in range(2)))
        stopped.set()
        return sorted(first) + again

    assert asyncio.run(all_asked()) == [429, 429, 504, 504, 504, 504]
    assert counts.at_work == 0
    assert counts.requests == {429: 2, 504: 4}


def test_a_failure_gives_no_trace_and_logs_no_query(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret words of the query")

    monkeypatch.setattr(Service, "search", broken)
    with caplog.at_level(logging.INFO, "hybrid.serve"):
        answer = client.post("/search", json={"query": "secret words"})
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed; its log says where"}
    (line,) = [json.loads(each.message) for each in caplog.records if "route" in each.message]
    assert (line["status"], line["error"], line["route"]) == (500, "RuntimeError", "/search")
    assert "broken" in line["at"]
    assert "secret" not in caplog.text


def test_changes(client_of: Callable[..., TestClient], tiny_index: Path, tmp_path: Path) -> None:
    client = client_of(Path(shutil.copytree(tiny_index, tmp_path / "index")), writable=True)
    new = {"doc_id": "n/1", "text": "seed seed"}
    assert client.post("/documents", json={"documents": [new]}).json()["documents"] == 11
    asked = {"query": "seed", "fusion": "bm25"}
    hits = client.post("/search", json=asked).json()["hits"]
    assert {hit["doc_id"] for hit in hits} == {"random.seed", "n/1"}
    assert client.post("/documents", json={"documents": [new]}).status_code == 400
    update = {"documents": [new], "update": True}
    assert client.post("/documents", json=update).json()["replaced"] == 1
    huge = {"documents": [{**new, "doc_id": "h", "fields": {"n": 10**30}}]}
    assert client.post("/documents", json=huge).status_code == 400
    fields = {"tags": ["red", "blue"], "n": 1, "none": None}
    listed = {"documents": [{**new, "fields": fields}], "update": True}
    answer = client.post("/documents", json=listed).json()
    assert answer.get("replaced") == 1, answer
    found = {**asked, "filter": '"red" in tags', "facets": ["tags"]}
    answer = client.post("/search", json=found).json()
    assert [hit["fields"]["tags"] for hit in answer["hits"]] == [["red", "blue"]]
    assert answer["facets"] == {
        "tags": [
            {"value": each, "count": 1, "filter": f'"{each}" in tags'} for each in ("blue", "red")
        ]
    }
    gone = {"doc_ids": ["n/1"]}
    assert client.post("/documents/delete", json=gone).json() == {"deleted": 1, "documents": 10}
    assert client.post("/documents/delete", json=gone).status_code == 400


def test_one_change_at_a_time(
    client_of: Callable[..., TestClient], tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(tiny_copy, writable=True)
    begun, go_on, statuses = threading.Event(), threading.Event(), []

    def slow(self: Index, doc_ids: list[str]) -> Any:
        begun.set()
        assert go_on.wait(10)
        raise UsageError("no")

    monkeypatch.setattr(Index, "delete", slow)

    def delete() -> None:
        statuses.append(client.post("/documents/delete", json={"doc_ids": ["x"]}).status_code)

    first = threading.Thread(target=delete)
    first.start()
    assert begun.wait(10)
    delete()
    search = client.post("/search", json={"query": QUERY})
    go_on.set()
    first.join()
    assert statuses == [409, 400]
    assert search.status_code == 200


def test_judgments(client_of: Callable[..., TestClient], tiny_index: Path, tmp_path: Path) -> None:
    client = client_of(tiny_index, judge=tmp_path / "judged")
    body = {"query": f" {QUERY}\n", "doc_id": "heapq.merge", "grade": 1, "who": "me"}
    query_id = client.post("/judgments", json=body).json()["query_id"]
    client.post("/judgments", json={**body, "grade": 2, "shown": ["a", "b"]})
    client.post("/judgments", json={**body, "doc_id": "os.path", "grade": 0})
    queries = (tmp_path / "judged" / "queries.tsv").read_text()
    assert queries == f"{query_id}\t{QUERY}\n"
    lines = (tmp_path / "judged" / "qrels").read_text().splitlines()
    assert lines == [f"{query_id} 0 heapq.merge 2", f"{query_id} 0 os.path 0"]
    records = (tmp_path / "judged" / "judgments.jsonl").read_text().splitlines()
    assert [json.loads(line)["shown"] for line in records] == [[], ["a", "b"], []]
    assert client.post("/judgments", json={**body, "doc_id": "gone"}).status_code == 404


def test_threads_judge_at_once(tmp_path: Path) -> None:
    from hybrid.serve.judge import Judge

    def add(number: int) -> None:
        Judge(tmp_path).add(f"q{number % 3}", f"d{number}", 1)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len((tmp_path / "qrels").read_text().splitlines()) == 12
    assert len((tmp_path / "queries.tsv").read_text().splitlines()) == 3
    with pytest.raises(UsageError, match="spaces"):
        Judge(tmp_path).add("q", "a b", 1)


def test_threads_search_one_service(
    client_of: Callable[..., TestClient], tiny_index: Path, tiny_cross: Path
) -> None:
    client = client_of(tiny_index, rerank=str(tiny_cross))
    body = {"query": QUERY, "candidates": True, "rerank": True}
    expected = client.post("/search", json=body).json()["hits"]
    found: list[Any] = []

    def search() -> None:
        found.extend(client.post("/search", json=body).json().get("hits") for _ in range(5))

    threads = [threading.Thread(target=search) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [expected] * 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"port": 65536}, "port"),
        ({"most_hits": -1}, "most_hits"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ServeOptions(keys={}, **options)
