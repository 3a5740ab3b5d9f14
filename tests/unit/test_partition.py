"""Partition tables and slices of a device (HW-65: names, bases and sizes as computed)."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import pytest

from minixfs.errors import DeviceError, InvalidArgument, ReadOnly
from minixfs.hw.blockdev.fault import FaultDevice
from minixfs.hw.blockdev.partition import ENTRY, Partition, Slice, choices, listing, scan
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import INLINE, run

Entry = tuple[int, int, int] | tuple[int, int, int, int]  # type, first sector, count, flag

U32 = 0xFFFFFFFF


def table(*entries: Entry) -> bytes:
    """One sector that holds a partition table."""
    packed = b"".join(
        struct.pack("<B3sB3sII", flag[0] if flag else 0, b"chs", kind, b"CHS", first, count)
        for kind, first, count, *flag in entries
    )
    return bytes(446) + packed.ljust(64, b"\0") + b"\x55\xaa"


def disk(sectors: int, tables: dict[int, bytes], sector_size: int = 1) -> RamDisk:
    content = bytearray(sectors * 512)
    for sector, data in tables.items():
        content[sector * 512 : sector * 512 + len(data)] = data
    return RamDisk(content, sector_size)


def found(device: RamDisk | FaultDevice) -> list[tuple[str, int, int]]:
    """Name, first sector and sector count of everything that is found."""
    return [(p.name, p.start // 512, p.size // 512) for p in run(scan(device))]


def test_declared_entry_is_16_bytes() -> None:
    assert ENTRY.size == 16


def test_hw65_primaries_are_numbered_in_disk_order_unused_last() -> None:
    device = disk(100, {0: table((0x83, 50, 10), (0, 0, 0), (0x83, 10, 5, 0x80), (0x0C, 20, 5))})
    assert run(scan(device)) == [
        Partition("p0", 10 * 512, 5 * 512, 0x83, True),
        Partition("p1", 20 * 512, 5 * 512, 0x0C, False),
        Partition("p2", 50 * 512, 10 * 512, 0x83, False),
    ]


def test_hw65_equal_starts_keep_their_order() -> None:
    device = disk(100, {0: table((0x83, 10, 1), (0x83, 10, 2), (0x83, 5, 3), (0x83, 10, 4))})
    assert found(device) == [("p0", 5, 3), ("p1", 10, 1), ("p2", 10, 2), ("p3", 10, 4)]


def test_hw65_minix_subtable_is_absolute_and_unsorted() -> None:
    sub = table((0x81, 60, 10, 0x80), (0, 0, 0), (0x81, 33, 7))
    device = disk(100, {0: table((0x81, 1, 99, 0x80)), 1: sub})
    assert found(device) == [("p0", 1, 99), ("p0s0", 60, 10), ("p0s2", 33, 7)]


def test_hw65_subpartitions_go_one_level_deep() -> None:
    inner = table((0x81, 30, 5))
    device = disk(100, {0: table((0x81, 10, 50)), 10: table((0x81, 20, 30)), 20: inner})
    assert found(device) == [("p0", 10, 50), ("p0s0", 20, 30)]


def test_hw65_only_minix_partitions_have_subtables() -> None:
    device = disk(100, {0: table((0x83, 10, 50)), 10: table((0x81, 20, 30))})
    assert found(device) == [("p0", 10, 50)]


def test_hw65_a_file_system_directly_in_a_partition_has_no_subs() -> None:
    """Its first sector is free, or holds boot code that ends in the signature too."""
    boot_code = table((0x81, 12, 3), (0x90, 14, 5, 0xFA))
    device = disk(100, {0: table((0x81, 10, 50), (0x81, 60, 10)), 10: boot_code})
    assert found(device) == [("p0", 10, 50), ("p1", 60, 10)]


def test_hw65_entries_are_clipped_to_the_disk() -> None:
    entries = ((0x83, 90, 50), (0x83, 10, U32), (0x83, 200, 5), (0x83, 95, U32 - 10))
    assert found(disk(100, {0: table(*entries)})) == [("p0", 10, 90), ("p1", 90, 10), ("p2", 95, 5)]


def test_hw65_subentries_are_clipped_to_their_parent() -> None:
    sub = table((0x81, 5, 10), (0x81, 25, 90), (0x81, 2, 3), (0x81, 12, U32))
    device = disk(100, {0: table((0x81, 10, 20)), 10: sub})
    assert found(device) == [("p0", 10, 20), ("p0s0", 10, 5), ("p0s1", 25, 5), ("p0s3", 12, 18)]


def test_hw65_extended_chain_of_four() -> None:
    """A logical partition counts from its own table, a link from the first; a fifth is not seen."""
    tables = {0: table((0x05, 10, 80), (0x83, 1, 5))}
    for number in range(5):
        link: Entry = (0x05, 10 * (number + 1), 10) if number < 4 else (0, 0, 0)
        tables[10 + 10 * number] = table(link, (0x81, 2, 5))
    assert found(disk(100, tables)) == [
        ("p0", 1, 5),
        ("p1", 10, 80),
        ("p1s0", 12, 5),
        ("p1s1", 22, 5),
        ("p1s2", 32, 5),
        ("p1s3", 42, 5),
    ]


def test_hw65_link_tables_are_sorted_and_may_hold_several() -> None:
    first = table((0x83, 8, 1), (0x0F, 20, 9), (0x83, 1, 2), (0x83, 4, 3))
    second = table((0x83, 1, 1), (0x83, 2, 1), (0x83, 3, 1))
    device = disk(100, {0: table((0x0F, 10, 80)), 10: first, 30: second})
    assert found(device)[1:] == [("p0s0", 11, 2), ("p0s1", 14, 3), ("p0s2", 18, 1), ("p0s3", 31, 1)]


@pytest.mark.parametrize("links", [{10: 0}, {10: 10, 20: 10}, {10: 10, 20: 20, 30: 10}, {10: 2**31}])
def test_hw65_loops_and_wild_links_end(links: dict[int, int]) -> None:
    tables = {sector: table((0x05, offset, 5)) for sector, offset in links.items()}
    assert found(disk(100, {0: table((0x05, 10, 80)), **tables})) == [("p0", 10, 80)]


def test_hw65_logicals_are_clipped_to_the_disk_and_keep_their_slot() -> None:
    first = table((0x83, 1000, 5), (0x05, 20, 9))
    second = table((0x83, 60, U32))
    device = disk(100, {0: table((0x05, 10, 80)), 10: first, 30: second})
    assert found(device)[1:] == [("p0s1", 90, 10)]


def test_hw65_what_is_no_table_has_no_partitions() -> None:
    valid = table((0x81, 1, 9))
    assert found(disk(10, {})) == []
    assert found(disk(10, {0: valid[:-1] + b"\0"})) == []
    assert found(RamDisk(0)) == []
    assert found(RamDisk(valid[:511])) == []
    assert found(disk(1, {0: valid})) == []  # a table in the last sector is read, its entry is outside
    assert found(disk(3, {0: table((0x81, 2, 1)), 2: table((0x81, 2, 1))})) == [("p0", 2, 1), ("p0s0", 2, 1)]


def test_hw65_an_unreadable_table_is_none() -> None:
    device = FaultDevice(disk(100, {0: table((0x81, 10, 20)), 10: table((0x81, 12, 3))}))
    device.arm(1)
    assert found(device) == []
    device.arm(2)
    assert found(device) == [("p0", 10, 20)]


def test_hw65_a_new_scan_forgets_the_old_table() -> None:
    device = disk(100, {0: table((0x81, 10, 20)), 10: table((0x81, 12, 3))})
    assert len(found(device)) == 2
    run(device.write(512 * 10, [bytes(512)]))
    assert found(device) == [("p0", 10, 20)]


def test_large_sectors() -> None:
    tables = {0: table((0x81, 9, 40)), 9: table((0x81, 12, 8))}
    assert found(disk(100, tables, sector_size=2048)) == [("p0", 9, 40), ("p0s0", 12, 8)]


def test_random_tables_stay_inside_the_disk() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        tables = {}
        for sector in range(64):
            kinds = rng.choices((0, 0x81, 0x05, 0x0F, 0x83), k=4)
            tables[sector] = table(
                *((kind, rng.choice((rng.randrange(80), rng.randrange(2**32))), rng.randrange(90)) for kind in kinds)
            )
        device = disk(64, tables)
        partitions = run(scan(device))
        names = [partition.name for partition in partitions]
        assert len(set(names)) == len(names) <= 20
        for partition in partitions:
            assert partition.size > 0
            assert 0 <= partition.start < partition.start + partition.size <= device.size


def test_listing_offers_what_can_hold_a_file_system() -> None:
    tables = {
        0: table((0x81, 1, 60, 0x80), (0x05, 61, 30), (0x0C, 91, 2), (0, 95, 2)),
        1: table((0x81, 2, 20, 0x80), (0, 0, 0), (0x81, 22, 30)),
        61: table((0xA5, 1, 5)),
    }
    partitions = run(scan(disk(100, tables)))
    assert [p.name for p in choices(partitions)] == ["p0s0", "p0s2", "p1s0", "p2"]
    assert listing("disk.img", partitions) == (
        "disk.img:p0s0 (MINIX, 10.0 KiB, active), disk.img:p0s2 (MINIX, 15.0 KiB), "
        "disk.img:p1s0 (type 0xa5, 2.5 KiB), disk.img:p2 (FAT32, 1.0 KiB)"
    )


@pytest.mark.parametrize(("size", "text"), [(64 << 20, "64.0 MiB"), (3 << 29, "1.5 GiB"), (512, "0.5 KiB")])
def test_sizes_in_messages(size: int, text: str) -> None:
    assert str(Partition("p0", 0, size, 0x81, False)) == f"MINIX, {text}"


class Parent(RamDisk):
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_slice_is_a_window() -> None:
    parent = Parent(b"0123456789")
    part = Slice(parent, 2, 5)
    assert part.size == 5
    buffers = [bytearray(b".."), bytearray(b"....")]
    assert run(part.read(0, buffers)) == 5
    assert b"".join(buffers) == b"23456."
    assert run(part.write(3, [b"xy", b"z"])) == 2
    assert run(part.write(5, [b"!"])) == run(part.read(5, buffers)) == run(part.read(2**64, buffers)) == 0
    run(part.flush())
    assert parent.snapshot() == b"01234xy789"


def test_slice_is_cut_to_its_parent_and_to_sectors() -> None:
    assert Slice(RamDisk(10), 8, 100).size == 2
    assert Slice(RamDisk(10), 20, 5).size == 0
    assert Slice(RamDisk(2048, sector_size=512), 512, 1000).size == 512
    for start in (100, -512):
        with pytest.raises(InvalidArgument):
            Slice(RamDisk(2048, sector_size=512), start, 512)


def test_slice_checks_alignment_and_permission_like_any_device() -> None:
    parent = RamDisk(2048, sector_size=512)
    part = Slice(parent, 512, 1024)
    for offset, length in ((1, 512), (0, 10), (-512, 512)):
        with pytest.raises(InvalidArgument):
            run(part.read(offset, [bytearray(length)]))
    parent.read_only = True
    part = Slice(parent, 512, 1024)
    with pytest.raises(ReadOnly):
        run(part.write(0, [bytes(512)]))
    with pytest.raises(ReadOnly):
        run(part.discard(0, 512))


def test_slice_discards_only_its_own() -> None:
    class Noting(RamDisk):
        discarded: Sequence[tuple[int, int]] = ()

        async def discard(self, offset: int, length: int) -> None:
            self.discarded = [*self.discarded, (offset, length)]

    parent = Noting(100)
    part = Slice(parent, 10, 20)
    run(part.discard(15, 50))
    run(part.discard(20, 5))
    assert parent.discarded == [(25, 5)]


def test_slice_shares_runtime_and_errors() -> None:
    faults = FaultDevice(RamDisk(10))
    part = Slice(faults, 2, 5)
    part.runtime = other = type(INLINE)()
    assert faults.runtime is other
    faults.arm(1, lasting=True)
    for attempt in (lambda: run(part.read(0, [bytearray(1)])), lambda: run(part.flush())):
        with pytest.raises(DeviceError):
            attempt()


def test_slice_closes_its_parent_only_when_asked() -> None:
    parent = Parent(10)
    Slice(parent, 0, 5).close()
    assert parent.closed == 0
    Slice(parent, 0, 5, owns_parent=True).close()
    assert parent.closed == 1
