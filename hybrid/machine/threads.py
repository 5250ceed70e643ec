"""Jobs shared by threads; the kernels release the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count, getpid
from typing import TypeVar

Result = TypeVar("Result")

SCORED_FROM = 10_000
"""Documents to score by name: with fewer, starting threads costs more than they save."""


def scoring_threads(count: int, threads: int) -> int:
    """Return how many threads score ``count`` named documents; see `worker_count`.

    >>> scoring_threads(100, 0), scoring_threads(10_000, 2)
    (1, 2)
    """
    return threads if count >= SCORED_FROM else 1


def worker_count(count: int, threads: int) -> int:
    """Return how many threads share ``count`` jobs; 0 asks for one a core."""
    return min(threads if threads > 0 else cpu_count() or 1, count)


def in_slices(job: Callable[[int, int], None], count: int, threads: int) -> None:
    """Run the job for all rows, from a first to before a last one at a time.

    Slices are short enough to keep every core busy to the end, and calls few for many queries.
    """
    workers = worker_count(count, threads)
    size = max(1, count if workers == 1 else min(16, count // (4 * max(workers, 1))))
    firsts = range(0, count, size)
    each(lambda i: job(firsts[i], min(firsts[i] + size, count)), len(firsts), workers)


def each(job: Callable[[int], None], count: int, threads: int) -> None:
    """Run the job for every row; the kernels release the interpreter lock."""
    workers = worker_count(count, threads)
    if workers <= 1:
        for row in range(count):
            job(row)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(job, range(count)):
            pass


class KeptThreads:
    """Threads kept from call to call: starting them costs as much as a small search.

    No thread follows a process that is forked: waiting for the parent's would never end, so each
    process starts its own.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads of this process, started when they are first asked for."""
        started = self._started
        if started is None or started[0] != getpid():
            started = self._started = getpid(), ThreadPoolExecutor(self._count)
        return started[1]

    def map(self, job: Callable[[int], Result], count: int) -> list[Result]:
        """Return the results of the job for 0 to ``count - 1``."""
        return list(self.pool.map(job, range(count)))

    def deal(self, job: Callable[[int], Result], count: int, workers: int) -> list[Result]:
        """Return the results of the job for 0 to ``count - 1``, in order, shared by workers."""
        workers = min(workers, count)
        if workers <= 1:
            return [job(number) for number in range(count)]
        shares = self.map(lambda first: [job(at) for at in range(first, count, workers)], workers)
        return [shares[number % workers][number // workers] for number in range(count)]
