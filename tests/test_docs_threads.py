"""The examples of docs/threads.md run, in a process of their own, beside a writer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hybrid

PAGE = (Path(__file__).parent.parent / "docs" / "threads.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
QUERIES = ("merge sorted lists", "parse json")


def printed(block: str, folder: Path) -> str:
    """Return what a block prints as the script that it is; spawned workers import it."""
    script = folder / "example.py"
    script.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_loop_and_worker_processes_give_the_hits_of_one_process(
    tiny_index: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_index, tmp_path / "stdlib.idx")
    with hybrid.open(tmp_path / "stdlib.idx") as index:
        expected = [index.search(query, k=10) for query in QUERIES]
    loop, processes = BLOCKS
    assert printed(loop, tmp_path) == f"{expected}\n"
    ids = [[hit.doc_id for hit in hits] for hits in expected]
    assert printed(processes, tmp_path) == f"{ids}\n"


def test_threads_search_while_another_index_of_the_folder_is_written(
    tiny_copy: Path,
) -> None:
    with hybrid.open(tiny_copy) as index, hybrid.open(tiny_copy) as writer:
        expected = [index.search(query, k=10) for query in QUERIES]
        with ThreadPoolExecutor(4) as pool:
            found = [pool.submit(index.search, query, k=10) for query in QUERIES * 20]
            writer.delete(["re.match"])
            assert [each.result() for each in found] == expected * 20
        index.reopen()
        assert "re.match" not in {hit.doc_id for hit in index.search("match", k=10)}
