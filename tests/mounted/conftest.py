"""`mounted` makes an image and mounts it; after the test everything is unmounted and every image must be sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from minixfs.daemon import mountpoint
from tests.support import mounts, peers
from tests.support.mounts import Mount


@pytest.fixture(autouse=True)
def _can_mount() -> None:
    if reason := mounts.why_not():
        pytest.skip(reason)


@pytest.fixture(params=["V3", pytest.param("ext2", marks=pytest.mark.long)])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A fresh volume of 16 MiB, with nothing in it; it must be sound when the test is over."""
    if request.param == "V3":
        return mounts.make_image(tmp_path / "image")
    image = mounts.make_image(tmp_path / "image", ext2="-b 4096")
    peers.debugfs(image, "rmdir lost+found")
    return image


Mounted = Callable[..., Mount]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    """``mounted("word", ..., version=1, size=..., allow=[...])`` is a mounted fresh volume, until the test ends."""
    images: list[Path] = []
    with ExitStack() as stack:

        def mount(
            *words: str,
            arguments: Any = (),
            allow: Any = (),
            user: Any = None,
            command: Any = mounts.COMMAND,
            **shape: Any,
        ) -> Mount:
            image = mounts.make_image(tmp_path / f"image{len(images)}", **shape)
            images.append(image)
            if user is not None:
                mounts.give(image, user)
            return stack.enter_context(
                Mount(image, *words, arguments=arguments, allow=allow, user=user, command=command)
            )

        yield mount
    for image in images:
        mounts.check_image(image)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory to mount on by hand; what is still mounted on it after the test is taken away."""
    path = tmp_path / "directory"
    path.mkdir()
    yield path
    while mountpoint.find(str(path)):
        mountpoint.unmount(str(path), lazy=True)
