"""Tasks on Dask: a cluster that is there already, or processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from itertools import islice
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hybrid.errors import ClusterError, UsageError, require

if TYPE_CHECKING:
    from hybrid.build.tasks import Given, Result

LOCAL = "local:"
WAIT = 60
"""Seconds in which a scheduler answers and has its first worker."""
AHEAD = 2
"""Tasks for each thread of a worker that wait or run: the next is there when one is done."""


class DaskExecutor:
    """An `Executor` on a Dask client; see `dask_executor`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(
        self, function: Callable[[Given], Result], tasks: Iterable[Given]
    ) -> Iterator[tuple[Given, Result]]:
        """Yield each task with its result, as they are done.

        Raises:
            ClusterError: a task's worker died over and over, or the scheduler is gone.
        """
        import distributed

        coming, waiting = iter(tasks), dict[str, "Given"]()
        done = distributed.as_completed(loop=self._client.loop)
        while True:
            try:
                threads = sum(self._client.nthreads().values())
            except OSError as error:
                raise ClusterError(
                    f"the scheduler does not answer any more: {error}. Start it again, and run "
                    "this again; a build goes on with what is finished"
                ) from error
            for task in islice(coming, max(0, AHEAD * max(1, threads) - len(waiting))):
                waiting[task.key] = task
                done.add(self._client.submit(function, task, key=task.key))
            if not waiting:
                return
            future = next(done)
            try:
                result = future.result()
            except (distributed.KilledWorker, CancelledError, OSError) as error:
                raise ClusterError(
                    f"the cluster gave up task {future.key}: {error}. Look at its workers' memory "
                    "and logs, and run this again; a build goes on with what is finished"
                ) from error
            yield waiting.pop(future.key), result


@contextmanager
def dask_executor(address: str) -> Iterator[DaskExecutor]:
    """Give an executor, whose processes or connection end with the block.

    Args:
        address: of a scheduler, ``tcp://host:8786``, whose workers have this library and the
            models; or ``local:4`` for four processes here, of one thread each.

    Raises:
        MissingPackageError: Dask is not installed.
        UsageError: ``local:`` without a number of processes.
        ClusterError: no scheduler answers, or it has no worker.
    """
    distributed = require("distributed", extra="dask", purpose="work on a Dask cluster")
    with ExitStack() as stack:
        place: Any = address
        if address.startswith(LOCAL):
            place = stack.enter_context(_processes(distributed, address))
        try:
            client = stack.enter_context(
                distributed.Client(place, timeout=WAIT, set_as_default=False)
            )
            client.wait_for_workers(1, timeout=WAIT)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler with a worker answers at {address}: {error}. Start both (dask "
                "scheduler, dask worker ADDRESS), or give local:4 for four processes here"
            ) from error
        yield DaskExecutor(client)


@contextmanager
def _processes(distributed: Any, address: str) -> Iterator[Any]:
    """Give a cluster of processes here: on loopback alone, for whoever has its new certificate."""
    count = address.removeprefix(LOCAL)
    if not count.isdecimal() or int(count) < 1:
        raise UsageError(f"the cluster is {address!r}; give local:4 for four processes here")
    require("cryptography", extra="dask", purpose="a cluster of processes here")
    with (
        TemporaryDirectory() as folder,
        distributed.LocalCluster(
            n_workers=int(count),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=0,
            security=distributed.Security.temporary(),
            local_directory=folder,
            silence_logs=logging.ERROR,
        ) as cluster,
    ):
        yield cluster
