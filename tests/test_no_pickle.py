"""Using an index unpickles nothing: a hook of the interpreter watches."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import hybrid
from hybrid.build.create import build_index
from hybrid.encoders import Bm25Parameters
from tests.test_living import ENCODERS, Memory, document

WATCHED = """
import sys, traceback

found = []

def hook(event, arguments):
    if event == "pickle.find_class":
        stack = traceback.extract_stack()
        # Numba keeps compiled kernels in its own cache beside the installed package.
        if not any("/numba/core/caching.py" in frame.filename for frame in stack):
            found.append(arguments)

sys.addaudithook(hook)
import pickle
if sys.argv[2] == "prove":
    pickle.loads(pickle.dumps(Exception("x")))
from hybrid.index.transfer import pull_index, push_index, restore_index, snapshot_index
from hybrid.index.verify import verify_index
from hybrid.build.rebuild import rebuild_branches
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse

index = Index(sys.argv[1], encoders={"sparse": HashSparse(), "dense": HashDense()})
index.search(["merge sort", "json"], k=3)
index.update([index.document("d0001")])
index.delete(["d0002"])
index.compact()
encoders = {"sparse": HashSparse(), "dense": HashDense()}
rebuild_branches(sys.argv[1], ["bm25", *encoders], encoders=encoders)
snapshot_index(sys.argv[1], sys.argv[1] + ".copy")
restore_index(sys.argv[1] + ".copy", sys.argv[1] + ".restored")
push_index(sys.argv[1], sys.argv[1] + ".far")
pull_index(sys.argv[1] + ".far", sys.argv[1] + ".near")
Index(sys.argv[1] + ".near", encoders=encoders).search(["merge sort", "json"], k=3)
assert verify_index(sys.argv[1], deep=True).is_whole
print(len(found))
"""


def unpickled(index: Path, mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(index), mode],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(hybrid.__file__).parent.parent,
    )
    return int(done.stdout.split()[-1])


def test_using_an_index_unpickles_nothing(tmp_path: Path) -> None:
    source = Memory([document(number) for number in range(9)])
    for mode, expected in (("use", 0), ("prove", 1)):
        encoders = {**ENCODERS, "bm25": Bm25Parameters()}
        build_index(source, tmp_path / mode, encoders=encoders)
        assert unpickled(tmp_path / mode, mode) == expected


def test_no_line_of_the_package_asks_for_it() -> None:
    asks = re.compile(r"^\s*(import pickle|from pickle)|torch\.load\(|allow_pickle=True|joblib")
    lines = [
        f"{path}: {line.strip()}"
        for path in Path(hybrid.__file__).parent.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if asks.search(line)
    ]
    assert lines == []
