"""A served index under load: five clients, fifty, many requests, a kill, made-up requests.

Starts ``hybrid serve INDEX`` on loopback and prints a table in Markdown. The library's own times
are taken in this process on the same queries. Fifty clients meet 429 by design: the server works on
eight requests at once.

    hybrid build stdlib -o stdlib.idx --max-length 64
    python benchmarks/serve_load.py stdlib.idx > docs/results/serve.md
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from hybrid.corpus import open_source
from hybrid.search.index import open_index

SHARE = {"clients": 200, "many": 40, "requests": 20_000, "cases": 2_000}
"""How many queries a client asks, of five and of fifty; requests for memory; made-up requests."""
HOST = "testserver"
"""The host that schemathesis names."""


@contextmanager
def served(index: Path, port: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the address and process id of a server; killed at the end."""
    command = [sys.executable, "-m", "hybrid", "-q", "serve", str(index), "--port", str(port)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield line.rsplit(" ", 1)[-1].strip(), process.pid
        finally:
            process.kill()


def ask(address: str, bodies: Sequence[dict[str, Any]], clients: int) -> tuple[Counter[int], Any]:
    """Return statuses, 0 for none, and the seconds of each 200; clients ask side by side."""

    def one(_: int) -> list[tuple[int, float]]:
        found = []
        with httpx.Client(timeout=60) as client:
            for body in bodies:
                began = time.perf_counter()
                try:
                    status = client.post(f"{address}/search", json=body).status_code
                except httpx.TransportError:
                    status = 0
                found.append((status, time.perf_counter() - began))
        return found

    with ThreadPoolExecutor(clients) as threads:
        answers = [each for part in threads.map(one, range(clients)) for each in part]
    seconds = [took for status, took in answers if status == 200]
    return Counter(status for status, _ in answers), np.array(seconds)


def library(index: Path, texts: Sequence[str], clients: int) -> Any:
    """Return the seconds of `Index.search` for the same queries from as many threads."""
    with open_index(index) as opened:
        opened.search(texts[0])

        def one(_: int) -> list[float]:
            found = []
            for text in texts:
                began = time.perf_counter()
                opened.search(text)
                found.append(time.perf_counter() - began)
            return found

        with ThreadPoolExecutor(clients) as threads:
            return np.array([each for part in threads.map(one, range(clients)) for each in part])


def resident(pid: int) -> int:
    """Return the memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


def memory(address: str, pid: int, texts: Sequence[str], requests: int) -> list[int]:
    """Return the server's memory at ten points of many BM25 searches by four clients."""
    found = []
    for _ in range(10):
        bodies = [
            {"query": texts[at % len(texts)], "fusion": "bm25"} for at in range(requests // 40)
        ]
        statuses, _ = ask(address, bodies, 4)
        assert set(statuses) == {200}, statuses
        found.append(resident(pid))
    return found


def killed(index: Path, texts: Sequence[str], seconds: float) -> tuple[int, int]:
    """Return how many searches ended and how often one was tried again around a kill -9."""
    with served(index) as (address, pid), ThreadPoolExecutor(4) as threads:
        until = time.monotonic() + seconds

        def one(number: int) -> tuple[int, int]:
            done = again = 0
            while time.monotonic() < until or not done:
                body = {"query": texts[(number + done) % len(texts)], "fusion": "bm25"}
                try:
                    answer = httpx.post(f"{address}/search", json=body, timeout=60)
                    assert answer.status_code == 200, answer.text
                    done += 1
                except httpx.TransportError:
                    again += 1
                    time.sleep(0.1)
            return done, again

        waiting = [threads.submit(one, number) for number in range(4)]
        time.sleep(seconds / 4)
        os.kill(pid, signal.SIGKILL)
        with served(index, int(address.rsplit(":", 1)[1])):
            ended = [each.result() for each in waiting]
    return sum(done for done, _ in ended), sum(again for _, again in ended)


def fuzz(app: Any, cases: int) -> Counter[int]:
    """Return the statuses of requests that schemathesis makes of the OpenAPI document.

    Those with a body are made to fit the document, and made not to; others can only fit.

    Raises:
        AssertionError: a status of 500 or more; shows the request.
    """
    import schemathesis
    from hypothesis import HealthCheck, given, seed, settings
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [each.ok() for each in schema.get_all_operations()]
    modes = [(each, GenerationMode.POSITIVE) for each in operations]
    modes += [(each, GenerationMode.NEGATIVE) for each in operations if each.method == "post"]
    statuses: Counter[int] = Counter()
    round = 0
    while statuses.total() < cases:  # what takes no arguments makes one case a round
        round += 1
        for operation, mode in modes:

            @settings(
                max_examples=max(1, cases // len(modes)),
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @seed(round)
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Any) -> None:
                answer = case.call()
                statuses[answer.status_code] += 1
                assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.text}"

            one()
    return statuses


def row(name: str, statuses: Counter[int], seconds: Any) -> str:
    """Return a row of the table."""
    half, most = (1000 * np.quantile(seconds, at) for at in (0.5, 0.95))
    said = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    return f"| {name} | {said} | {half:.1f} | {most:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--source", default="stdlib", help="whose queries are asked")
    parser.add_argument("--share", type=float, default=1.0, help="of every count")
    given = parser.parse_args()
    many = {name: max(1, int(count * given.share)) for name, count in SHARE.items()}
    texts = [query.text for query in open_source(given.source).queries()][: many["clients"]]
    bodies = [{"query": text} for text in texts]
    print("# A served index under load\n")
    share = "" if given.share == 1 else f" --share {given.share:g}"
    print(
        f"`benchmarks/serve_load.py{share}`, on a machine of {os.cpu_count()} cores that clients,"
    )
    print(f"server and other work share (load {os.getloadavg()[0]:.1f}).\n")
    print("| who asks | answers | median ms | p95 ms |\n|---|---|---|---|")
    for clients in (1, 5):
        seconds = library(given.index, texts, clients)
        print(
            row(
                f"{clients} thread{'s' * (clients > 1)}, the library",
                Counter({200: len(seconds)}),
                seconds,
            )
        )
    with served(given.index) as (address, pid):
        for clients in (1, 5):
            print(row(f"{clients} client{'s' * (clients > 1)}", *ask(address, bodies, clients)))
        print(row("50 clients", *ask(address, bodies[: many["many"]], 50)))
        print(row("1 client after them", *ask(address, bodies, 1)), flush=True)
        found = memory(address, pid, texts, many["requests"])
    told = ", ".join(map(str, found))
    print(
        f"\nMemory of the server in MiB over {many['requests']:,} requests, ten points: {told}.\n"
    )
    done, again = killed(given.index, texts, 20)
    print(
        f"Killed and started again under four clients: {done:,} searches answered, {again:,} tries"
    )
    print("met a closed port and were made again; every answer was 200.\n", flush=True)
    from hybrid.serve.app import make_app
    from hybrid.serve.options import ServeOptions

    with open_index(given.index) as opened:
        statuses = fuzz(make_app(opened, ServeOptions(keys={}, hosts=HOST)), many["cases"])
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    print(f"Made-up requests of the OpenAPI document (schemathesis): {told}; none of 500 or more.")


if __name__ == "__main__":
    main()
