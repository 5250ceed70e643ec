"""The changes that the faults strike, over one small index, and what a whole state looks like."""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hybrid.build.create import build_index
from hybrid.build.rebuild import rebuild_branches
from hybrid.build.update import MAX_SEGMENTS
from hybrid.encoders import Bm25Parameters
from hybrid.errors import CorruptIndexError, HybridError
from hybrid.fusion import parse_fusion
from hybrid.index.storage.disk import checksum
from hybrid.index.storage.generation import open_generation
from hybrid.index.transfer import pull_index, push_index, restore_index, snapshot_index
from hybrid.index.verify import repair_index
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import QUERIES, Memory, document

ENCODERS = {"sparse": HashSparse(16), "dense": HashDense(4)}


def build(directory: Path) -> None:
    source = Memory([document(number) for number in range(12)])
    build_index(source, directory, encoders={**ENCODERS, "bm25": Bm25Parameters()})


def add(directory: Path) -> None:
    opened(directory).add([document(14), document(15)])


def update(directory: Path) -> None:
    opened(directory).update(document(number, 1) for number in (3, 12, 13))


def fill(directory: Path) -> None:
    """Bring the index to as many segments as it may have."""
    for number in range(16, 15 + MAX_SEGMENTS):
        opened(directory).add([document(number)])


def delete(directory: Path) -> None:
    opened(directory).delete(["d0001", "d0002", "d0004"])


def compact(directory: Path) -> None:
    opened(directory).compact()


def tune(directory: Path) -> None:
    opened(directory).store_domain("python", parse_fusion("rrf(k=7)"))


def copy(directory: Path) -> None:
    snapshot_index(directory, directory.with_name(COPY))


def keep(directory: Path) -> None:
    snapshot_index(directory, directory.with_name("kept"))


def bring_back(directory: Path) -> None:
    restore_index(directory.with_name("kept"), directory.with_name(COPY))


def send(directory: Path) -> None:
    push_index(directory, f"file://{directory.with_name(COPY)}")


def keep_far(directory: Path) -> None:
    push_index(directory, f"file://{directory.with_name('kept')}")


def fetch(directory: Path) -> None:
    pull_index(f"file://{directory.with_name('kept')}", directory.with_name(COPY))


def damage(directory: Path) -> None:
    """Flip a bit of the current generation that the one before it does not share."""
    flip(directory, "numbering/places.npy")


def damage_branch(directory: Path) -> None:
    flip(directory, "segments/000001/dense/vectors.npy")


def flip(directory: Path, name: str) -> None:
    with open_generation(directory) as generation:
        path = generation.directory / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def rebuild(directory: Path) -> None:
    rebuild_branches(directory, ["dense"], encoders={"dense": ENCODERS["dense"]})


def repair(directory: Path) -> None:
    repair_index(directory)


def opened(directory: Path) -> Index:
    return Index(directory, encoders=ENCODERS)


@dataclass(frozen=True)
class Scenario:
    """An operation, and what is done before it."""

    name: str
    before: tuple[Callable[[Path], None], ...]
    run: Callable[[Path], None]


SCENARIOS = [
    Scenario("build", (), build),
    Scenario("add", (build,), add),
    Scenario("update", (build,), update),
    Scenario("merge", (build, fill), update),
    Scenario("delete", (build, update), delete),
    Scenario("compact", (build, update, delete), compact),
    Scenario("tune", (build, update), tune),
    Scenario("snapshot", (build, update), copy),
    Scenario("restore", (build, update, keep), bring_back),
    Scenario("repair", (build, update, damage), repair),
    Scenario("rebuild", (build, update, damage_branch), rebuild),
    Scenario("push", (build, update), send),
    Scenario("pull", (build, update, keep_far), fetch),
]
COPY = "copy"


def state(directory: Path) -> str:
    """Return a digest of all that can be asked of an index; ``absent`` if there is none.

    Raises:
        IndexFormatError: it is damaged.
    """
    if not os.path.lexists(directory):
        return "absent"
    with opened(directory) as index:
        queries = {str(number): query for number, query in enumerate(QUERIES)}
        pool = index.pool(queries, depth=8)
        parts = [str(each).encode() for each in index.contents.documents]
        parts += [array.tobytes() for array in (pool.doc_nums, pool.scores, pool.ranks)]
        parts += [str(sorted(index.domains)).encode()]
    return checksum(b"|".join(parts))


def states(directory: Path) -> tuple[str, str]:
    """Return the state of an index, ``damaged`` if it is, and that of the copy beside it."""
    try:
        found = state(directory)
    except CorruptIndexError:
        found = "damaged"
    return found, state(directory.with_name(COPY))


def prepared(scenario: Scenario, folder: Path) -> tuple[Path, tuple[str, str], tuple[str, str]]:
    """Return an index before the operation, and the states before and after it."""
    base, done = folder / "base" / "idx", folder / "done" / "idx"
    for index in (base, done):
        index.parent.mkdir(parents=True)
        for step in scenario.before:
            step(index)
    scenario.run(done)
    return base, states(base), states(done)


def copied(base: Path, target: Path) -> None:
    """Copy the folder that the index lies in; hard links inside become copies."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(base.parent, target)


def forked(work: Callable[[], None]) -> str:
    """Run ``work`` in a child process; return done, killed, or the error that it ended with.

    A fork, so that hundreds of runs share one import of NumPy, Numba and Arrow.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "done"
        # A shell's background job ignores Ctrl-C, and its children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            work()
        except HybridError as error:
            answer = f"{type(error).__name__}: {error}"
        except BaseException:  # noqa: BLE001  (reported to the parent, which fails the test)
            answer = "unexpected " + traceback.format_exc()
        os.write(writer, answer.encode()[-60_000:])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else f"signal {status}"
    return answer
