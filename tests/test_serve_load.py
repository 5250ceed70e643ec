"""A hundredth of ``benchmarks/serve_load.py``, and made-up requests that may change the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid.search.index import open_index
from hybrid.serve.app import make_app
from hybrid.serve.options import ServeOptions
from hybrid.serve.service import Service
from tests.conftest import QUERIES, load_script

TEXTS = [text for text, _ in QUERIES.values()]
BODIES = [{"query": text} for text in TEXTS]


@pytest.mark.parametrize("writable", [False, True])
def test_made_up_requests_meet_no_server_error(
    tiny_copy: Path, tmp_path: Path, writable: bool
) -> None:
    load = load_script("benchmarks/serve_load")
    judge = tmp_path / "judged" if writable else None
    with open_index(tiny_copy) as index:
        Service(index).warm()
        app = make_app(
            index, ServeOptions(keys={}, hosts=load.HOST, writable=writable, judge=judge)
        )
        statuses = load.fuzz(app, 100)
    assert load.total(statuses) >= 100
    assert all(each.total() for each in statuses.values())
    assert {200, 422} <= set().union(*statuses.values())


@pytest.mark.serve
def test_clients_are_answered_and_too_many_are_told_so(tiny_index: Path) -> None:
    load = load_script("benchmarks/serve_load")
    with load.served(tiny_index) as (address, pid):
        few, seconds = load.ask(address, BODIES, 5)
        many, _ = load.ask(address, BODIES, 50)
        after, _ = load.ask(address, BODIES, 1)
        grown = load.memory(address, pid, TEXTS, 400)
    assert few == {200: 5 * len(BODIES)} == {200: len(seconds)}
    assert set(many) == {200, 429}
    assert after == {200: len(BODIES)}
    assert grown[-1] < grown[2] * 1.05


@pytest.mark.serve
def test_slow_clients_are_cut_while_others_are_answered(tiny_index: Path) -> None:
    load = load_script("benchmarks/serve_load")
    with load.served(tiny_index, "--timeout", "6") as (address, _):
        statuses, _, ends, _ = load.slow(address, BODIES, 20)
    assert statuses == {200: 5 * len(BODIES)}
    assert ends.total() == 20
    assert ends["cut"] >= 10  # the answer 408 may be lost with what it did not read
    assert set(ends) <= {"cut", "408"}


@pytest.mark.serve
def test_a_killed_server_is_started_again_under_load(tiny_index: Path) -> None:
    done, again = load_script("benchmarks/serve_load").killed(tiny_index, TEXTS, 12)
    assert done > 4
    assert again > 0
