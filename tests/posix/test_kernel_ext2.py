"""Every behaviour holds on the kernel's own ext2: this is what makes the list trustworthy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.posix.behaviours import BEHAVIOURS
from tests.posix.env import Behaviour, Limits
from tests.posix.runner import run_one
from tests.support import loop

IMAGE_SIZE = 64 << 20
BLOCK_SIZE = 1024
POINTERS = BLOCK_SIZE // 4
LIMITS = Limits(file_size_max=(12 + POINTERS + POINTERS**2 + POINTERS**3) * BLOCK_SIZE)


@pytest.fixture(scope="session")
def ext2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mounted ext2, sound when all is done."""
    if reason := loop.why_not():
        pytest.skip(reason)
    image = tmp_path_factory.mktemp("ext2") / "image"
    loop.make_ext2(image, IMAGE_SIZE, "-b", str(BLOCK_SIZE))
    with loop.mounted(image, "ext2") as root:
        yield root
    assert loop.check_ext2(image) == ""


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=str)
def test_kernel_ext2(ext2: Path, behaviour: Behaviour) -> None:
    outcome = run_one(behaviour, ext2, LIMITS)
    if outcome.status == "skipped":
        pytest.skip(outcome.reason)
    assert outcome.status == "passed", outcome.detail
