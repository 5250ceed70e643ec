"""Random lives of an index against a dictionary, and a fresh build of what it should hold."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document
from hybrid.search.index import Index
from tests.faults.conftest import MEMORY
from tests.faults.disk import Disk
from tests.faults.scenarios import ENCODERS, forked
from tests.faults.size import sized
from tests.test_living import Memory, assert_same, document

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("one_thread")]
NUMBERS = st.sets(st.integers(0, 14), min_size=1, max_size=4)
NEW = st.integers(15, 20)
VERSIONS = st.integers(0, 3)
LAST = 450  # an update of one document does at most 438 operations on disk


class Life(RuleBasedStateMachine):
    """Adds, updates, deletes, compactions, reopenings and crashes, in any order."""

    ended: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.done: Counter[str] = Counter()
        self.folder = Path(tempfile.mkdtemp(prefix="hybrid-life-", dir=MEMORY))
        self.live: dict[str, Document] = {}

    @initialize(numbers=NUMBERS)
    def build(self, numbers: set[int]) -> None:
        self.done["lives"] += 1
        self.live = {each.doc_id: each for each in map(document, numbers)}
        self.index = self.fresh("living")

    def fresh(self, name: str) -> Index:
        source = Memory(list(self.live.values()))
        options = BuildOptions(weights="float32")
        build_index(source, self.folder / name, options, encoders=ENCODERS)
        return Index(self.folder / name, encoders=ENCODERS)

    @rule(numbers=NUMBERS, version=VERSIONS)
    def update(self, numbers: set[int], version: int) -> None:
        self.done["steps"] += 1
        new = {each.doc_id: each for each in (document(number, version) for number in numbers)}
        report = self.index.update(new.values())
        assert report.added == len(new.keys() - self.live.keys())
        assert report.replaced == len(new.keys() & self.live.keys())
        self.live |= new

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.done["steps"] += 1
        gone = data.draw(st.sets(st.sampled_from(sorted(self.live)), min_size=1, max_size=5))
        assert self.index.delete(gone).deleted == len(gone)
        self.live = {key: each for key, each in self.live.items() if key not in gone}

    @rule()
    def compact(self) -> None:
        self.done["steps"] += 1
        assert self.index.compact().segments == 1

    @rule()
    def reopen(self) -> None:
        self.done["steps"] += 1
        self.index = Index(self.folder / "living", encoders=ENCODERS)

    @rule(number=NEW, at=st.integers(0, LAST), kind=st.sampled_from(["kill", "eio"]))
    def crash(self, number: int, at: int, kind: str) -> None:
        """A writer dies, or its disk fails, while it updates one document."""
        disk = Disk(self.folder, at=at, kind="kill" if kind == "kill" else "eio")
        new = document(number, at)

        def strike() -> None:
            with disk.watch():
                self.index.update([new])

        answer = forked(strike)
        assert answer.startswith(("done", "killed", "StorageError")), answer
        self.done.update(steps=1, crashes=answer != "done")
        self.index.reopen()
        if self.index.contents.documents.find(new.doc_id) is not None:
            stored = self.index.document(new.doc_id)
            if stored == new:
                self.live[new.doc_id] = new
        assert answer != "done" or self.live.get(new.doc_id) == new

    def teardown(self) -> None:
        try:
            if self.live:
                assert_same(self.index, self.fresh("fresh"))
            else:
                assert len(self.index) == 0
            self.ended.update(self.done)  # only of a life whose end was checked
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def test_any_life_ends_as_a_fresh_build(record_property: pytest.RecordProperty) -> None:
    Life.ended.clear()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=sized(10, 200, 2000),
            stateful_step_count=8,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    record_property("counts", dict(Life.ended))
    assert Life.ended["lives"] >= sized(10, 200, 2000)
