"""Every behaviour holds on our mounts: of the newest format of MINIX, of the oldest, one between them, and ext2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.posix.behaviours import BEHAVIOURS
from tests.posix.env import Behaviour, Limits
from tests.posix.runner import run_one
from tests.support import mounts

IMAGE_SIZE = 32 << 20
SECONDS = 240  # for all behaviours on one mount, many times what they need
MANY_LINKS = 1000
"""More than this is tried by `tests/mounted/test_limits.py`."""


@dataclass(frozen=True)
class Kind:
    """A kind of mount. With `-o sync` the kernel has no write-back cache: every write is ours to judge at once.

    Behind a write-back cache a file that gets too big is found out at fsync and close, not by the write. A `forgetful`
    mount keeps hardly any node that the kernel knows in memory.
    """

    name: str
    shape: dict[str, Any] = field(hash=False)  # as `make_image` takes it
    sync: bool = False
    families: tuple[str, ...] = ()  # all, if none are named
    long: bool = False
    forgetful: bool = False

    def takes(self, behaviour: Behaviour) -> bool:
        return not self.families or behaviour.name.partition(".")[0] in self.families


KINDS = [
    Kind("V3-60-4K", {"version": 3, "block_size": 4096}),
    Kind("V2-30-1K", {"version": 2, "name_max": 30}, forgetful=True),
    Kind("V1-14-1K", {"version": 1, "name_max": 14}),
    Kind("ext2-4K", {"ext2": "-b 4096 -I 256"}),
    Kind("ext2-1K", {"ext2": "-b 1024 -I 128 -O ^filetype"}, long=True, forgetful=True),
    Kind(
        "V2-14-1K-sync",
        {"version": 2, "name_max": 14},
        True,
        ("append", "mapping", "ownership", "readwrite", "sparse", "truncate"),
    ),
]


class Place(NamedTuple):
    path: Path
    limits: Limits


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], Place]]:
    """Gives the mount of a kind, made when it is first asked for; the images are sound when all is done."""
    if reason := mounts.why_not():
        pytest.skip(reason)
    made: dict[Kind, Place] = {}
    images = []
    with ExitStack() as stack:

        def place(kind: Kind) -> Place:
            if kind not in made:
                image = tmp_path_factory.mktemp("posix") / "image"
                mounts.make_image(image, size=IMAGE_SIZE, **kind.shape)
                images.append(image)
                words = ["allow_other", *["sync"] * kind.sync]
                command = mounts.FORGETFUL if kind.forgetful else mounts.COMMAND
                mount = stack.enter_context(mounts.Mount(image, *words, seconds=SECONDS, command=command))
                made[kind] = Place(mount.path, limits(image, kind))
            return made[kind]

        yield place
    for image in images:
        mounts.check_image(image)


def limits(image: Path, kind: Kind) -> Limits:
    found = mounts.limits_of(image)
    if (found.link_max or 0) > MANY_LINKS:
        found = replace(found, link_max=None)
    return found if kind.sync else replace(found, file_size_max=None)


@pytest.mark.parametrize(
    ("kind", "behaviour"),
    [
        pytest.param(kind, behaviour, id=f"{kind.name}-{behaviour}", marks=[pytest.mark.long] * kind.long)
        for kind in KINDS
        for behaviour in BEHAVIOURS
        if kind.takes(behaviour)
    ],
)
def test_mount(places: Callable[[Kind], Place], kind: Kind, behaviour: Behaviour) -> None:
    place = places(kind)
    outcome = run_one(behaviour, place.path, place.limits)
    if outcome.status == "skipped":
        pytest.skip(outcome.reason)
    assert outcome.status == "passed", outcome.detail
