"""A served index under load: five clients, fifty, many requests, a kill, slow and made-up ones.

Starts ``hybrid serve INDEX`` on loopback and prints Markdown, a part each. The library's own times
are taken in this process on the same queries. Fifty clients meet 429 by design: the server works on
eight requests at once.

    hybrid build stdlib -o stdlib.idx --max-length 64
    python benchmarks/serve_load.py stdlib.idx > docs/results/serve.md  # 8 minutes
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from hybrid.corpus import open_source
from hybrid.search.index import open_index

SHARE = {"clients": 200, "many": 40, "requests": 20_000, "slow": 200, "cases": 2_000}
"""Queries of a client, of five and of fifty; requests for memory; slow ones; made-up requests."""
HOST = "testserver"
"""The host that schemathesis names."""


@contextmanager
def served(index: Path, *options: str, port: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the address and process id of a server; killed at the end."""
    command = [sys.executable, "-m", "hybrid", "-q", "serve", str(index), "--port", str(port)]
    command += options
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
        with served(index, port=int(address.rsplit(":", 1)[1])):
            ended = [each.result() for each in waiting]
    return sum(done for done, _ in ended), sum(again for _, again in ended)


async def dribble(address: str, head: bytes, part: bytes) -> tuple[str, float]:
    """Return how a connection ended that sends a part every half second, and after how long."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began, answer = time.monotonic(), b""
    try:
        writer.write(head)
        while not reader.at_eof():
            with suppress(asyncio.TimeoutError):
                answer += await asyncio.wait_for(reader.read(1000), 0.5)
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer[9:12].decode() or "cut", time.monotonic() - began


def slow(
    address: str, bodies: Sequence[dict[str, Any]], connections: int
) -> tuple[Counter[int], Any, Counter[str], float]:
    """Return what five clients were answered beside slow connections, and how those ended.

    Half of the slow ones never end their headers, half never end their body. Returns the clients'
    statuses and seconds, and the ends of the slow connections with the longest life of one.
    """
    head = b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    body = head + b"Content-Length: 1000000\r\n\r\n"

    async def together() -> Any:
        half = connections // 2
        lines = (dribble(address, head, b"X-Slow: 1\r\n") for _ in range(half))
        texts = (dribble(address, body, b"{") for _ in range(connections - half))
        asked = asyncio.to_thread(ask, address, bodies, 5)
        return await asyncio.gather(asked, *lines, *texts)

    (statuses, seconds), *ends = asyncio.run(together())
    return statuses, seconds, Counter(end for end, _ in ends), max(took for _, took in ends)


def fuzz(app: Any, cases: int) -> dict[str, Counter[int]]:
    """Return the statuses of requests that schemathesis makes of the OpenAPI document, by route.

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
    statuses: dict[str, Counter[int]] = {each.label: Counter() for each in operations}

    def ask_some(operation: Any, mode: Any, number: int) -> None:
        @settings(
            max_examples=max(1, cases // len(modes)),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @seed(number)
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            answer = case.call(timeout=120)  # kernels may have to compile first
            statuses[operation.label][answer.status_code] += 1
            assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.text}"

        one()

    number = 0
    while total(statuses) < cases:  # what takes no arguments makes one case a round
        number += 1
        for operation, mode in modes:
            ask_some(operation, mode, number)
    return statuses


def total(statuses: dict[str, Counter[int]]) -> int:
    """Return how many requests there were."""
    return sum(each.total() for each in statuses.values())


def told(statuses: Counter[Any]) -> str:
    """Return counts as a phrase."""
    return ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))


def row(name: str, statuses: Counter[int], seconds: Any) -> str:
    """Return a row of the table."""
    half, most = (1000 * np.quantile(seconds, at) for at in (0.5, 0.95))
    return f"| {name} | {told(statuses)} | {half:.1f} | {most:.1f} |"


TABLE = "| who asks | answers | median ms | p95 ms |\n|---|---|---|---|"


def load_part(index: Path, texts: Sequence[str], many: dict[str, int]) -> None:
    """Print the table of the library, one client, five and fifty."""
    bodies = [{"query": text} for text in texts]
    print(f"## Searches, {len(texts):,} queries a client\n\n{TABLE}")
    for clients in (1, 5):
        name = f"{clients} thread{'s' * (clients > 1)}, the library"
        seconds = library(index, texts, clients)
        print(row(name, Counter({200: len(seconds)}), seconds))
    with served(index) as (address, _):
        for clients in (1, 5):
            print(row(f"{clients} client{'s' * (clients > 1)}", *ask(address, bodies, clients)))
        print(row("50 clients", *ask(address, bodies[: many["many"]], 50)))
        print(row("1 client after them", *ask(address, bodies, 1)))
    print(
        "\nThe server works on eight requests at once and answers 429 beyond. A search over HTTP "
        "costs more than\n`Index.search`: it also reads texts, marks words and writes JSON."
    )


def memory_part(index: Path, texts: Sequence[str], many: dict[str, int]) -> None:
    """Print the memory of the server over many requests."""
    with served(index) as (address, pid):
        found = ", ".join(map(str, memory(address, pid, texts, many["requests"])))
    print(
        f"## Memory\n\nMiB of the server at ten points of {many['requests']:,} searches: {found}."
    )


def killed_part(index: Path, texts: Sequence[str], many: dict[str, int]) -> None:
    """Print what clients met that try again, as the server is killed and started again."""
    done, again = killed(index, texts, 20)
    print("## Killed and started again under four clients that try again\n")
    print(f"{done:,} searches were answered, each 200; {again:,} tries met a closed port.")


def slow_part(index: Path, texts: Sequence[str], many: dict[str, int]) -> None:
    """Print what five clients met beside slow connections."""
    bodies = [{"query": text} for text in texts]
    with served(index, "--timeout", "10") as (address, _):
        statuses, seconds, ends, most = slow(address, bodies, many["slow"])
    print(
        f"## Beside {many['slow']} connections that send a few bytes every half second\n\n{TABLE}"
    )
    print(row("5 clients", statuses, seconds))
    print(f"\nWith `--timeout 10` all were ended, the last after {most:.1f} s: {told(ends)}.")


def fuzz_part(index: Path, texts: Sequence[str], many: dict[str, int]) -> None:
    """Print what made-up requests were answered, of two indexes."""
    from hybrid.build.create import build_index
    from hybrid.build.options import BuildOptions
    from hybrid.serve.app import make_app
    from hybrid.serve.options import ServeOptions
    from hybrid.serve.service import Service

    print("## Requests that schemathesis makes of the OpenAPI document\n")
    print("None was answered 500 or more.\n\n| index | route | answers |\n|---|---|---|")
    with TemporaryDirectory() as folder:
        small = Path(folder) / "index"
        build_index(open_source("stdlib-small"), small, BuildOptions(sparse=None, dense=None))
        open_too = {"writable": True, "judge": Path(folder) / "judged"}
        for name, path, options in (("read", index, {}), ("changed and judged", small, open_too)):
            with open_index(path) as opened:
                Service(opened).warm()
                app = make_app(opened, ServeOptions(keys={}, hosts=HOST, **options))
                statuses = fuzz(app, many["cases"])
            for route, found in statuses.items():
                print(f"| {name} | `{route}` | {told(found)} |")
            every: Counter[int] = sum(statuses.values(), Counter())
            print(f"| {name} | all {every.total():,} | {told(every)} |")


PARTS = {
    "load": load_part,
    "memory": memory_part,
    "killed": killed_part,
    "slow": slow_part,
    "fuzz": fuzz_part,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--source", default="stdlib", help="whose queries are asked")
    parser.add_argument("--share", type=float, default=1.0, help="of every count")
    parser.add_argument("--only", help=f"parts, with commas, of {','.join(PARTS)}")
    given = parser.parse_args()
    many = {name: max(1, int(count * given.share)) for name, count in SHARE.items()}
    texts = [query.text for query in open_source(given.source).queries()][: many["clients"]]
    if given.only is None:
        print("# A served index under load\n\nClients, server and other work share one machine.\n")
    for name in (given.only or ",".join(PARTS)).split(","):
        load = os.getloadavg()[0]
        PARTS[name](given.index, texts, many)
        print(f"\n`--only {name}{'' if given.share == 1 else f' --share {given.share:g}'}`, load")
        print(f"{load:.1f} on {os.cpu_count()} cores before it began.\n", flush=True)


if __name__ == "__main__":
    main()
