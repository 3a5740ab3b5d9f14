"""Images full of rubbish: no crash, no hang, no memory above 256 MB, in fsck, the file server, ls and dump."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEEDS = 50
"""In one process."""
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", [*range(6), *(pytest.param(n, marks=pytest.mark.long) for n in range(6, 200))])
def test_fs_68_rubbish_neither_crashes_nor_hangs_nor_takes_memory(block: int) -> None:
    first = int(os.environ.get("MINIXFS_TEST_SEED", "0")) + SEEDS * block
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fuzz", str(first), str(SEEDS)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
