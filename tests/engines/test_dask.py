"""A corpus encoded by a Dask cluster: the bytes of one process, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import hybrid
from hybrid.build import encode
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.build.tasks import ShardTask
from hybrid.cli import application
from hybrid.corpus import Document, Passages
from hybrid.encoders import Bm25Parameters
from hybrid.errors import ClusterError, UsageError
from hybrid.integrations.clusters.dask import DaskExecutor, dask_executor
from hybrid.machine.cache import Cache
from hybrid.machine.progress import no_progress
from tests.conftest import WORDS
from tests.made_encoders import HashDense
from tests.test_build import files
from tests.test_evaluate_pools import same
from tests.test_shards import contents

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]
distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

DOCUMENTS = [
    Document(
        f"d{number:03d}", " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 30))
    )
    for number in range(120)
]
SHARDS = 20
QUERIES = {
    str(number): " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, number % 9 + 2))
    for number in range(2100)
}
BM25 = {"sparse": None, "dense": None}
STARTED = {
    "scheduler": ("--port", "0", "--no-dashboard"),
    "worker": ("--no-nanny", "--nthreads", "1"),
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    characters = sum(len(document.text) for document in DOCUMENTS)
    monkeypatch.setattr(encode, "SHARD_CHARACTERS", characters // SHARDS)


@contextmanager
def started(folder: Path, count: int) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """The address of a scheduler, and the processes: the scheduler and its workers."""
    with ExitStack() as stack:

        def start(kind: str, *options: str) -> subprocess.Popen:
            command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *STARTED[kind]]
            place = ("--host", "127.0.0.1", "--scheduler-file", str(folder / "address"))
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, *options, *place],
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(Path(encode.__file__).parents[2])},
                    stderr=subprocess.DEVNULL,
                )
            )
            stack.callback(process.kill)
            return process

        processes = [start("scheduler")]
        processes += [start("worker", "--local-directory", str(folder)) for _ in range(count)]
        with distributed.Client(
            scheduler_file=str(folder / "address"), timeout=60, set_as_default=False
        ) as client:
            client.wait_for_workers(count, timeout=60)
            address = client.scheduler.address
        yield address, processes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[int]]]:
    """The address of a scheduler, and the process ids of its three workers."""
    with started(tmp_path_factory.mktemp("dask"), 3) as (address, processes):
        yield address, [each.pid for each in processes[1:]]


class Watched:
    """An executor that notes the tasks that are done and calls back after each."""

    def __init__(
        self, inner: DaskExecutor, after: Callable[[int], None] = lambda done: None
    ) -> None:
        self.inner, self.after = inner, after
        self.done: list[Any] = []

    def run(self, function: Callable, tasks: Iterable[Any]) -> Iterator:
        for task, result in self.inner.run(function, tasks):
            self.done.append(task.shard if isinstance(task, ShardTask) else task.key)
            yield task, result
            self.after(len(self.done))


def test_the_index_has_the_same_bytes_with_a_worker_killed_and_the_client_interrupted(
    cluster: tuple[str, list[int]], tmp_path: Path
) -> None:
    address, workers = cluster
    build_index(DOCUMENTS, tmp_path / "one", BuildOptions(**BM25, cache=False))

    def fault(done: int) -> None:
        if done == 2:
            os.kill(workers[0], signal.SIGKILL)
        if done == 8:
            raise KeyboardInterrupt

    with dask_executor(address) as executor:
        first, second = Watched(executor, fault), Watched(executor)
        with pytest.raises(KeyboardInterrupt):
            build_index(DOCUMENTS, tmp_path / "many", BuildOptions(**BM25, executor=first))
        assert len(first.done) == 8
        assert not (tmp_path / "many").exists()
        reported: list[int] = []
        report = build_index(
            DOCUMENTS,
            tmp_path / "many",
            BuildOptions(**BM25, executor=second),
            progress=lambda label, total: (
                reported.append if label == "encoding" else no_progress("", 0)
            ),
        )
    assert sorted(first.done + second.done) == list(range(max(second.done) + 1))
    assert len(second.done) > 8
    assert report.document_count == sum(reported) == len(DOCUMENTS)
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_a_scheduler_that_ends_is_named_and_the_build_goes_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.integrations.clusters.dask.WAIT", 5)
    with started(tmp_path, 1) as (address, processes), dask_executor(address) as executor:

        def end(done: int) -> None:
            if done == 3:
                processes[0].kill()
                processes[0].wait()

        first = Watched(executor, end)
        with pytest.raises(ClusterError, match="run this again; a build goes on"):
            build_index(DOCUMENTS, tmp_path / "many", BuildOptions(**BM25, executor=first))
    assert len(first.done) >= 3
    build_index(DOCUMENTS, tmp_path / "many", BuildOptions(**BM25, cache=False))
    build_index(DOCUMENTS, tmp_path / "one", BuildOptions(**BM25, cache=False))
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_processes_of_this_machine_obey_no_other_program() -> None:
    with dask_executor("local:1") as executor:
        address = executor._client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        other = distributed.Security.temporary()
        with pytest.raises(OSError, match="TLS certificate does not match"):
            distributed.Client(address, timeout=2, set_as_default=False, security=other)
        with pytest.raises(OSError):
            distributed.Client(address.replace("tls", "tcp"), timeout=2, set_as_default=False)


def test_workers_load_the_models_and_give_the_same_bytes(
    cluster: tuple[str, list[int]], tiny_sparse: Path, tiny_dense: Path, tmp_path: Path
) -> None:
    few = DOCUMENTS[:12]
    models = {"sparse": str(tiny_sparse), "dense": str(tiny_dense), "cache": False}
    build_index(few, tmp_path / "one", BuildOptions(**models))
    with dask_executor(cluster[0]) as executor:
        watched = Watched(executor)
        build_index(few, tmp_path / "many", BuildOptions(**models, executor=watched))
    assert sorted(watched.done) == [0, 1]
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_passages_that_span_shards_have_the_same_bytes(
    cluster: tuple[str, list[int]], tmp_path: Path
) -> None:
    options = BuildOptions(**BM25, passages=Passages(4, 1), cache=False)
    build_index(DOCUMENTS, tmp_path / "one", options)
    with dask_executor(cluster[0]) as executor:
        build_index(
            DOCUMENTS,
            tmp_path / "many",
            BuildOptions(**BM25, passages=Passages(4, 1), executor=executor),
        )
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_shards_of_the_same_texts_are_each_there(
    cluster: tuple[str, list[int]], tmp_path: Path
) -> None:
    copies = [Document(f"{number:02d}", "the same text") for number in range(8)]
    workdirs = [tmp_path / "one", tmp_path / "many"]
    branches = {"bm25": Bm25Parameters()}
    encode.encode_corpus(copies, workdirs[0], branches, encode.EncodeOptions(shard_size=2))
    with dask_executor(cluster[0]) as executor:
        options = encode.EncodeOptions(shard_size=2, executor=executor)
        encode.encode_corpus(copies, workdirs[1], branches, options)
    assert contents(workdirs[1]) == contents(workdirs[0])


def test_the_command_builds_on_processes_of_this_machine(tmp_path: Path) -> None:
    lines = "".join(f'{{"id": "{each.doc_id}", "text": "{each.text}"}}\n' for each in DOCUMENTS)
    (tmp_path / "corpus.jsonl").write_text(lines)
    command = ["build", str(tmp_path / "corpus.jsonl"), "--sparse", "none", "--dense", "none"]
    for name, more in {"one": ["--no-cache"], "many": ["--dask", "local:2"]}.items():
        run = CliRunner().invoke(application(), [*command, "-o", str(tmp_path / name), *more])
        assert run.exit_code == 0, run.output
    assert files(tmp_path / "many") == files(tmp_path / "one")
    url = f"memory://{tmp_path.name}/far.idx"
    run = CliRunner().invoke(application(), [*command, "-o", url, "--dask", "local:2"])
    assert run.exit_code == 0, run.output
    hybrid.pull_index(url, tmp_path / "far")
    assert files(tmp_path / "far") == files(tmp_path / "one")


def test_pools_have_the_bits_of_one_process_with_a_worker_killed(
    tiny_index: Path, tmp_path: Path
) -> None:
    with (
        started(tmp_path, 2) as (address, processes),
        dask_executor(address) as executor,
        hybrid.open(tiny_index, device="cpu") as index,
    ):
        one = index.pool(QUERIES)

        def kill(done: int) -> None:
            if done == 1:
                processes[1].kill()

        watched = Watched(executor, kill)
        assert same(index.pool(QUERIES, executor=watched), one)
        assert len(set(watched.done)) == len(watched.done) == 3
        few = dict(list(QUERIES.items())[:9])
        assert index.search(few, 3, executor=executor) == index.search(few, 3)


def test_the_commands_search_on_processes_of_this_machine(
    tiny_copy: Path, beir_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    index, folder = str(tiny_copy), str(beir_folder)
    quick = ["--trials", "0", "--folds", "2", "--repeats", "1", "--no-store"]
    for command in (["evaluate", index, folder], ["tune", index, folder, *quick]):
        found = []
        for more in (["--dask", "local:1"], []):
            run = CliRunner().invoke(application(), [*command, *more, "--json"])
            assert run.exit_code == 0, run.output
            found.append(json.loads(run.stdout))
            Cache().clear()
        assert found[0] == found[1]
    runs = [tmp_path / "one.trec", tmp_path / "other.trec"]
    for run_file, more in zip(runs, (["--dask", "local:1"], []), strict=True):
        asked = ["--queries", str(beir_folder / "queries.jsonl"), "-o", str(run_file), *more]
        run = CliRunner().invoke(application(), ["search", index, *asked])
        assert run.exit_code == 0, run.output
    assert runs[0].read_bytes() == runs[1].read_bytes()


def test_an_index_that_workers_do_not_see_is_named(tiny_copy: Path, tmp_path: Path) -> None:
    with (
        started(tmp_path, 1) as (address, _),
        dask_executor(address) as executor,
        hybrid.open(tiny_copy) as index,
    ):
        index.pool(["merge"], branches=["bm25"])  # the client has its encoder
        tiny_copy.rename(tmp_path / "elsewhere")
        with pytest.raises(ClusterError, match="a worker cannot open generation"):
            index.pool(["merge"], branches=["bm25"], executor=executor)


def test_what_cannot_be_done_is_refused(cluster: tuple[str, list[int]], tmp_path: Path) -> None:
    with dask_executor(cluster[0]) as executor:
        options = BuildOptions(executor=executor)
        with pytest.raises(UsageError, match="'dense' was given as an object"):
            build_index(DOCUMENTS, tmp_path / "no", options, encoders={"dense": HashDense()})
    for wrong in ("local:", "local:0", "local:two"):
        with pytest.raises(UsageError, match="give local:4"), dask_executor(wrong):
            pass


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.integrations.clusters.dask.WAIT", 1)
    with (
        pytest.raises(ClusterError, match="no Dask scheduler with a worker answers at tcp://127"),
        dask_executor("tcp://127.0.0.1:9"),
    ):
        pass
