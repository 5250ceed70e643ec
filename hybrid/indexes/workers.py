"""Jobs shared by threads; the kernels release the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

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
    size = count if workers == 1 else max(1, min(16, count // (4 * workers)))
    firsts = range(0, count, max(size, 1))
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
