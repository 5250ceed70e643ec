"""A second build of the same texts after a field was added: no text is encoded again.

    python benchmarks/second_build.py --json docs/results/second_build.json

The collection ``stdlib`` is written as JSON lines with the fields ``module`` and ``words``,
and built twice by the command line, into a cache that is empty at first: with one field, and then
with both. ``seconds`` is what `hybrid build` reports, models included, and ``cpu`` what the whole
process took of the processors; ``reused`` counts the rows that came from the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from hybrid.corpus import open_source


def write_documents(path: Path, count: int | None = None) -> None:
    """Write the first documents of ``stdlib``, all by default, with two fields."""
    with path.open("w", encoding="utf-8") as file:
        for each in islice(open_source("stdlib").documents(), count):
            row = {"_id": each.doc_id, "title": each.title, "text": each.text}
            row |= {"module": each.doc_id.split(".")[0], "words": len(each.text.split())}
            file.write(json.dumps(row) + "\n")


def cpu_seconds() -> float:
    """Return the processor time of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def built(folder: Path, name: str, fields: str) -> dict[str, Any]:
    """Return the figures of one build."""
    command = [sys.executable, "-m", "hybrid", "build", str(folder / "documents.jsonl"), "--json"]
    options = ["-o", str(folder / name), "--cache", str(folder / "cache"), "--fields", fields]
    before = cpu_seconds()
    done = subprocess.run([*command, *options], check=True, capture_output=True, timeout=1200)
    found = json.loads(done.stdout)
    figures = {each: found[each] for each in ("documents", "reused", "seconds")}
    figures["cpu"] = round(cpu_seconds() - before, 1)
    return {"build": name, "fields": fields, **figures, "load": round(os.getloadavg()[0], 1)}


def main() -> None:
    """Build twice and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--documents", type=int, help="only the first so many; default: all")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_documents(folder / "documents.jsonl", given.documents)
        found = [built(folder, "first", "module"), built(folder, "second", "module,words")]
    given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
