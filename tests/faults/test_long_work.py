"""Encoding that is killed, interrupted or out of disk at any moment goes on where it stopped."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from hybrid.build.create import build_index
from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.encoders import Bm25Parameters
from hybrid.errors import StorageError
from tests.faults.disk import Disk, Kind
from tests.faults.scenarios import ENCODERS, forked, state
from tests.faults.size import sized
from tests.made_encoders import HashDense
from tests.test_living import Memory, document

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("one_thread")]
DOCUMENTS = [document(number) for number in range(30)]
SHARD = 3
TRIALS = sized(4, 25, 100)


class CountingDense(HashDense):
    """Tells how many texts it has encoded; interrupts the process at one of them, if asked to."""

    def __init__(self, interrupt_at: int = -1) -> None:
        super().__init__(4)
        self.texts = 0
        self._interrupt_at = interrupt_at

    def encode_documents(self, texts, progress=None):  # type: ignore[no-untyped-def]
        self.texts += len(texts)
        if 0 <= self._interrupt_at < self.texts:
            os.kill(os.getpid(), signal.SIGINT)
        return super().encode_documents(texts, progress)


def encode(work: Path, dense: CountingDense) -> None:
    encoders = {"sparse": ENCODERS["sparse"], "dense": dense, "bm25": Bm25Parameters()}
    encode_corpus(iter(DOCUMENTS), work, encoders, EncodeOptions(shard_size=SHARD))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def operations(work: Path) -> int:
    disk = Disk(work.parent)
    with disk.watch():
        encode(work, CountingDense())
    return len(disk.log)


@pytest.mark.parametrize("kind", ["kill", "enospc", "eio", "interrupt"])
def test_encoding_goes_on_from_the_last_finished_shard(kind: str, tmp_path: Path) -> None:
    once = tmp_path / "once" / "work"
    once.parent.mkdir()
    total = operations(once)
    whole = tree(once)
    chance = random.Random(kind)
    resumed = 0
    for trial in range(TRIALS):
        work = tmp_path / f"{kind}{trial}" / "work"
        work.parent.mkdir()
        first = CountingDense(chance.randrange(len(DOCUMENTS)) if kind == "interrupt" else -1)
        at, failure = (-1, "kill") if kind == "interrupt" else (chance.randrange(total), kind)
        kinds: dict[str, Kind] = {"kill": "kill", "enospc": "enospc", "eio": "eio"}
        disk = Disk(work.parent, at=at, kind=kinds[failure])

        def strike(disk: Disk = disk, work: Path = work, first: CountingDense = first) -> None:
            try:
                with disk.watch():
                    encode(work, first)
            except OSError as error:
                raise StorageError(f"the disk failed: {error}") from error

        answer = forked(strike)
        # What cannot be cleared away is left, and no failure: "done".
        expected = {"kill": "killed", "interrupt": "unexpected"}.get(kind, ("StorageError", "done"))
        assert answer.startswith(expected), answer
        assert kind != "interrupt" or answer.rstrip().endswith("KeyboardInterrupt"), answer
        finished = len(list(work.glob("[0-9]*.dense"))) if work.exists() else 0
        again = CountingDense()
        encode(work, again)
        assert again.texts == len(DOCUMENTS) - SHARD * finished, f"{kind} at {at}: encoded anew"
        assert tree(work) == whole, f"{kind} at {at}"
        resumed += finished > 0
    assert resumed > TRIALS // 3


def test_an_interrupted_build_appears_in_one_step(tmp_path: Path) -> None:
    """After Ctrl-C in an encoder nothing is at the output, and the next build completes it."""
    encoders = {**ENCODERS, "bm25": Bm25Parameters()}
    build_index(Memory(DOCUMENTS), tmp_path / "whole", encoders=encoders)
    expected = state(tmp_path / "whole")
    for number in (0, len(DOCUMENTS) - 1):
        target = tmp_path / f"idx{number}"
        interrupted = {**encoders, "dense": CountingDense(number)}

        def strike(target: Path = target, interrupted: dict[str, object] = interrupted) -> None:
            build_index(Memory(DOCUMENTS), target, encoders=interrupted)  # type: ignore[arg-type]

        assert forked(strike).rstrip().endswith("KeyboardInterrupt")
        assert not target.exists()
        build_index(Memory(DOCUMENTS), target, encoders=encoders)
        assert state(target) == expected
        assert [path.name for path in tmp_path.glob(f"idx{number}*")] == [f"idx{number}"]
