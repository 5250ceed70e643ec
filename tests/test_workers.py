from __future__ import annotations

import os
import signal

import pytest

from hybrid.machine.threads import KeptThreads, each, in_slices


@pytest.mark.parametrize("threads", [0, 1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_every_row_is_done_once(count: int, threads: int) -> None:
    rows: list[int] = []
    in_slices(lambda first, last: rows.extend(range(first, last)), count, threads)
    assert sorted(rows) == list(range(count))
    rows.clear()
    each(rows.append, count, threads)
    assert sorted(rows) == list(range(count))


def test_threads_are_kept() -> None:
    threads = KeptThreads(2)
    assert threads.map(lambda at: at * at, 5) == [0, 1, 4, 9, 16]
    kept = threads.pool
    assert threads.map(lambda at: at, 0) == []
    assert threads.pool is kept


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    threads = KeptThreads(2)
    assert threads.map(abs, 4) == [0, 1, 2, 3]
    child = os.fork()
    if not child:
        signal.alarm(10)  # ends the child where it waits for threads that it does not have
        os._exit(0 if threads.map(abs, 4) == [0, 1, 2, 3] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert threads.map(abs, 4) == [0, 1, 2, 3]
