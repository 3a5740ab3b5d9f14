"""What the workloads work on, made outside the mounts before anything is timed; always the same bytes."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

from benchmarks.mount import command

FILES_A_FOLDER = 50
COMMITS = 20
FILES_A_COMMIT = 15
TAR_SEED = 1987
GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_NAME": "nobody" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "nobody@example.org" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "2013-06-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")},
}


def make_tar(path: Path, count: int) -> None:
    """A tar file of `count` files of 1 to 8 KiB in folders below `tree/`."""
    rng = random.Random(TAR_SEED)
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            folder = f"tree/dir{number // FILES_A_FOLDER:03}"
            if number % FILES_A_FOLDER == 0:
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            data = rng.randbytes(rng.randint(1024, 8192))
            entry = tarfile.TarInfo(f"{folder}/file{number:05}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def make_repository(folder: Path, count: int) -> None:
    """A git repository of `count` files below `source/`, with `COMMITS` commits; objects are files of their own."""
    rng = random.Random(TAR_SEED)
    _git(folder.parent, "init", "--quiet", "--initial-branch=main", str(folder))
    paths = [folder / "source" / f"dir{number // FILES_A_FOLDER:03}" / f"file{number:05}" for number in range(count)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randint(1024, 8192)))
    for number in range(COMMITS):
        _git(folder, "add", "--all")
        _git(folder, "commit", "--quiet", "--message", f"Change {number}")
        for path in rng.sample(paths, FILES_A_COMMIT):
            path.write_bytes(rng.randbytes(rng.randint(1024, 8192)))


def _git(folder: Path, *words: str) -> None:
    subprocess.run(command(["git", *words]), cwd=folder, env=os.environ | GIT_ENVIRONMENT, check=True)
