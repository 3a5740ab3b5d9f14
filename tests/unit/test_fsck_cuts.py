"""A repair that is cut off anywhere: the next one finishes it, what was not hit is intact, and the undo file takes all
of it back.

Cut means what kill -9 and a power failure can do: of the writes between two flushes any may have arrived and any not,
and those before a flush have.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from minixfs.errors import DeviceError
from minixfs.fsck.mfs import check
from minixfs.fsck.report import REPAIR
from minixfs.fsck.undo import Undo
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Flush, Recorder, Write
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options
from tests.support.damage import KINDS, Map
from tests.support.mfs_image import Image, populated

SIZE = 400 << 10


def repair(data: bytes | bytearray, undo: Path | None = None) -> tuple[Recorder, int]:
    """Repair a volume; what was written, and how many faults are left."""
    disk = Recorder(RamDisk(data))
    report = run(check(disk, REPAIR, undo=None if undo is None else str(undo)))
    return disk, report.left


def cuts(disk: Recorder, rng: random.Random) -> list[list[Write]]:
    """What can have arrived: every prefix, and random parts of what lay between two flushes."""
    result: list[list[Write]] = []
    durable: list[Write] = []
    pending: list[Write] = []
    for entry in disk.log:
        if isinstance(entry, Write):
            pending.append(entry)
            result.append([*durable, *pending])
        elif isinstance(entry, Flush):
            result.append([*durable, *(write for write in pending if rng.random() < 0.5)])
            durable, pending = [*durable, *pending], []
    return result


def after(data: bytes | bytearray, writes: list[Write]) -> bytearray:
    image = bytearray(data)
    for write in writes:
        image[write.offset : write.offset + len(write.data)] = write.data
    return image


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_repair_that_is_cut_off_is_finished_by_the_next_and_can_be_undone(kind: str, tmp_path: Path) -> None:
    target = populated(Options(block_size=1024, inodes=400), size=SIZE)
    before = target.contents()
    rng = random.Random(1)
    touched = KINDS[kind](target, Map(target, rng), rng).touched
    undo = tmp_path / "undo"
    disk, left = repair(target.data, undo)
    assert left == 0
    arrived = cuts(disk, rng)
    if len(arrived) > 12:
        arrived = rng.sample(arrived, 12)
    for writes in arrived:
        image = after(target.data, writes)
        again, left = repair(image)
        assert left == 0
        assert repair(again.replay(image, len(again.log)))[0].log == []
        now = Image(bytearray(again.replay(image, len(again.log)))).contents()
        for path, content in before.items():
            assert path in touched or now.get(path) == content, path
        half = RamDisk(image)
        run(Undo(str(undo)).restore(half))
        assert half.snapshot() == target.data


class _Full(RamDisk):
    """Nothing can be written."""

    async def write(self, offset: int, buffers: object) -> int:  # type: ignore[override]
        raise DeviceError()


def test_an_undo_file_is_there_before_the_first_write(tmp_path: Path) -> None:
    target = populated(Options(block_size=1024, inodes=400), size=SIZE)
    rng = random.Random(1)
    KINDS["maps_wiped"](target, Map(target, rng), rng)
    with pytest.raises(DeviceError):
        run(check(_Full(target.data), REPAIR, undo=str(tmp_path / "undo")))
    outcome = run(Undo(str(tmp_path / "undo")).restore(RamDisk(target.data)))
    assert outcome.pieces > 0
    assert outcome.restored == 0
