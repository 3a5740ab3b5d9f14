"""The superblock: taking it as it is, or deriving from the rest of the volume what it should say.

`settle` returns a superblock that fits the volume. One whose fields agree with each other, with the device and with the
root directory is taken at once. Otherwise the root is looked for (`root`), which proves the variant, the byte order,
the block and zone size and the place of the inode table. For what is left (the sizes of the bitmaps, the numbers of
inodes and zones, the first data zone) every combination of values that something on the volume speaks for is weighed
against the inodes, and the cheapest wins: each change of a stored field costs, each contradiction costs more. The
stored superblock is one of the candidates, and stays when no other is better.

What cannot be derived with confidence is an error, never a guess: without a root, or, when there is no magic number,
with more than a few fields that are wrong besides (something else lives there now), or when files lie behind the end of
the device (an image that was cut off, of which repairs would throw away what may still be had elsewhere).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitorder import candidates
from minixfs.fs.mfs.layout import START_BLOCK
from minixfs.fs.mfs.superblock import Superblock, blocks_for
from minixfs.fsck.mfs.context import Kind
from minixfs.fsck.mfs.evidence import gather_evidence
from minixfs.fsck.mfs.root import PROOFS, Root, expected_roots, kinds, search
from minixfs.fsck.mfs.volume import Budget
from minixfs.fsck.report import Finding, Judge
from minixfs.hw.blockdev.device import BlockDevice

_MOST_CHANGES = 3
"""Fields that may be wrong besides a missing magic number, or in a superblock that would do as it is."""
_MOST_CUT_OFF = 1
"""Files that may have data behind the end of the device: one is a bad zone number, more are a lost piece."""
_PER_CHANGE, _PER_CONTRADICTION, _PER_MISFIT = 2, 3, 4
_PER_RARITY = 3
"""For the variant that differs from another one in the superblock alone, and that few systems read."""
_FIELDS = {
    "variant": "format",
    "swapped": "byte order",
    "block_size": "block size",
    "zone_shift": "zone size shift",
    "inodes": "number of inodes",
    "imap_blocks": "blocks of the inode map",
    "zmap_blocks": "blocks of the zone map",
    "stored_first_data_zone": "first data zone",
    "zones": "number of zones",
}


async def read_superblock(device: BlockDevice) -> Superblock:
    """As stored. Raises BadSuperblock when there is no magic number."""
    return Superblock.parse(await _raw(device))


async def _raw(device: BlockDevice) -> bytes:
    sector = device.sector_size
    end = layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE
    data = bytearray(-(-end // sector) * sector)
    if await device.read(0, [data]) < end:
        raise BadSuperblock(f"{device.name} is too small for a file system")
    return bytes(data[layout.SUPERBLOCK_OFFSET : end])


async def settle(device: BlockDevice, judge: Judge, budget: Budget) -> Superblock:
    """The superblock to go by, with a finding for what differs from the stored one.

    Raises BadSuperblock when there is none that fits or its repair is declined, Unsupported for unknown features and
    when it takes too much memory to tell.
    """
    raw = await _raw(device)
    refusal: BadSuperblock | None = None
    stored: Superblock | None = None
    try:
        stored = Superblock.parse(raw)
        stored.validate(device.size, read_only=False)
    except BadSuperblock as error:
        refusal = error
    if stored is not None and refusal is None and await _agrees(device, stored):
        return stored
    derived = await _derive(device, raw, stored, refusal is None, budget)
    changes = [] if derived is None else _changes(stored, derived)
    if derived is not None and changes:
        what = f"superblock: {'; '.join(changes)}"
        if judge.found(Finding(Kind.SUPERBLOCK, what)):
            derived.raw = derived.build()
            return derived
    if stored is None or refusal is not None:
        raise refusal or BadSuperblock("no superblock")
    return stored


def check_limits(superblock: Superblock, judge: Judge) -> None:
    """Fields that nothing else depends on."""
    known = superblock.max_size in (superblock.natural_max_size, layout.MAX_FILE_SIZE)
    if superblock.max_size > layout.MAX_FILE_SIZE or (not known and superblock.zone_shift == 0):
        what = f"superblock: largest file size {superblock.max_size}, should be {superblock.natural_max_size}"
        if judge.found(Finding(Kind.SUPERBLOCK, what)):
            superblock.max_size = superblock.natural_max_size
    if not superblock.stored_first_data_zone and superblock.computed_first_data_zone <= 0xFFFF:
        what = f"superblock: first data zone 0, should be {superblock.computed_first_data_zone}"
        if judge.found(Finding(Kind.SUPERBLOCK, what)):
            superblock.stored_first_data_zone = superblock.computed_first_data_zone
    record = superblock.variant.superblock
    stored = record.struct.unpack_from(superblock.raw)[record.fields.index("s_nzones")]
    if superblock.variant.magic_offset == 24 and stored:
        what = f"superblock: the 16-bit zone count is {stored}, should be 0"
        if judge.found(Finding(Kind.SUPERBLOCK, what)):
            at = record.offsets["s_nzones"]
            superblock.raw = superblock.raw[:at] + bytes(2) + superblock.raw[at + 2 :]


# ---- does it fit? ------------------------------------------------------------------------------------------------


async def _agrees(device: BlockDevice, stored: Superblock) -> bool:
    """Whether every field follows from the others or from the device, as all makers write them."""
    roots = [root for root in await expected_roots(device, stored) if _same_shape(root, stored)]
    return bool(roots) and not _contradictions(stored, roots[0], device.size) and roots[0].proofs == PROOFS


def _same_shape(root: Root, superblock: Superblock) -> bool:
    return (root.block_size, root.zone_shift) == (superblock.block_size, superblock.zone_shift)


def _device_zones(superblock: Superblock, device_size: int) -> int:
    """Zones of a volume that fills the device."""
    return min(device_size // superblock.zone_size, 0xFFFF if _has_short_counts(superblock, 1) else 0xFFFFFFFF)


def _has_short_counts(superblock: Superblock, version: int) -> bool:
    """Whether this is MINIX 1 or 2 up to `version`, with 16 bits for a number that later ones keep in 32."""
    return superblock.variant.has_state and superblock.variant.version <= version


def _contradictions(superblock: Superblock, root: Root, device_size: int) -> int:
    """How many fields are other than a maker would have chosen them."""
    bits = 8 * superblock.block_size
    natural_zmap = {blocks_for(superblock.zones, bits), blocks_for(superblock.zone_bits, bits)}
    return (
        (superblock.first_data_zone != superblock.computed_first_data_zone)
        + (superblock.imap_blocks != blocks_for(superblock.inode_bits, bits))
        + (superblock.zmap_blocks not in natural_zmap)
        + (superblock.first_data_zone != root.zone)
        + (superblock.zones != _device_zones(superblock, device_size))
    )


# ---- deriving ----------------------------------------------------------------------------------------------------


async def _derive(
    device: BlockDevice, raw: bytes, stored: Superblock | None, usable: bool, budget: Budget
) -> Superblock | None:
    """The best superblock for the volume, which may be the stored one; None if there is none to rely on.

    Raises BadSuperblock with advice when the device is too small for what was on it.
    """
    wiped = len(set(raw[:32])) == 1
    claims = [_claim(bytes(len(raw)) if wiped else raw, kind) for kind in kinds(stored)]
    by_kind = {(claim.variant.name, claim.swapped): claim for claim in claims}
    roots = [root for claim in claims for root in await expected_roots(device, claim)]
    if not any(root.proofs == PROOFS for root in roots) and not (usable and roots):
        roots += await search(device, budget)
    if usable and stored is not None and not roots:
        roots = [_presumed(stored)]
    if wiped and len({root.place for root in roots}) > 1:
        return None
    best: tuple[float, Superblock] | None = None
    for root in roots:
        claim = by_kind[root.variant.name, root.swapped]
        known = stored is not None and (claim.variant, claim.swapped) == (stored.variant, stored.swapped)
        async for cost, superblock in _weigh(device, root, claim, budget):
            cost += 0 if known else _PER_RARITY * (claim.variant.name == "hybrid") + _PER_CHANGE * (stored is not None)
            if best is None or cost < best[0]:
                best = cost, superblock
    if best is None:
        return None
    superblock = best[1]
    if not wiped and (stored is None or usable):
        base = by_kind[superblock.variant.name, superblock.swapped]
        if len(_changes(base, superblock)) > _MOST_CHANGES:
            return None
    return superblock


def _claim(raw: bytes, kind: tuple[layout.Variant, bool]) -> Superblock:
    """The superblock as that variant reads it, whatever its magic number."""
    variant, swapped = kind
    patched = bytearray(raw)
    if variant.has_state:
        patched[24:26] = bytes(2)  # a number here would make it one of the others
    at = variant.magic_offset
    patched[at : at + 2] = variant.magic.to_bytes(2, "big" if swapped else "little")
    return Superblock.parse(bytes(patched))


def _presumed(stored: Superblock) -> Root:
    """Where the root would be that nothing is left of."""
    return Root(
        stored.variant,
        stored.swapped,
        stored.block_size,
        stored.zone_shift,
        stored.inode_table_block,
        stored.computed_first_data_zone,
        proofs=0,
    )


async def _weigh(
    device: BlockDevice, root: Root, claim: Superblock, budget: Budget
) -> AsyncIterator[tuple[float, Superblock]]:
    """Superblocks that go with `root`, each with what it costs."""
    shaped = replace(claim, block_size=root.block_size, zone_shift=root.zone_shift)
    most = _device_zones(shaped, device.size)
    guesses = list(_guesses(shaped, root, most))
    if not guesses:
        return
    limit = max(most, claim.zones if claim.zones < 16 * most else 0)
    count = max(guess.inodes for guess in guesses)
    evidence = await gather_evidence(device, root, count, limit, budget)
    cut_off = evidence.reaching(most, claim.zones)
    if claim.zones > most and cut_off > _MOST_CUT_OFF:
        size = claim.zones * shaped.zone_size
        raise BadSuperblock(
            f"{device.name} has {device.size} bytes, its file system {size}, and {cut_off} files lie behind the end;"
            f" get the rest, or do without it: truncate -s {size} {device.name}"
        )
    heads = await _heads(device, root)
    for guess in guesses:
        with suppress(BadSuperblock, Unsupported):
            guess.validate(device.size, read_only=False)
            room = ((root.zone << root.zone_shift) - root.table) * guess.inodes_per_block
            room = room if guess.first_data_zone == root.zone else 0
            misfits = evidence.misfits(guess.inodes, guess.first_data_zone, guess.zones, room)
            if guess.zones < most:
                misfits += await _goes_on(device, guess)
            changes, proofs = len(_changes(claim, guess)), root.proofs
            if not (changes or misfits) and proofs == PROOFS:
                yield 0, guess  # unusual perhaps, but nobody is the worse for it
                return
            cost = _PER_CHANGE * changes
            cost += _PER_CONTRADICTION * (_contradictions(guess, root, device.size) + PROOFS - proofs)
            cost += _PER_CONTRADICTION * ((0 not in heads) + (guess.imap_blocks not in heads))
            yield cost + _PER_MISFIT * misfits, guess


def _guesses(shaped: Superblock, root: Root, device_zones: int) -> Iterator[Superblock]:
    """All combinations of what anything speaks for."""
    per_block, bits = shaped.inodes_per_block, 8 * shaped.block_size
    first_zones = {shaped.stored_first_data_zone, root.zone, 0}
    most_inodes = 0xFFFF if _has_short_counts(shaped, 2) else 0xFFFFFFFF
    rooms = {((first << shaped.zone_shift) - root.table) * per_block for first in first_zones}
    numbers = {min(number, most_inodes) for number in (shaped.inodes, *rooms) if number > 0}
    counts = {zones for zones in (shaped.zones, device_zones) if zones > 0}
    maps = root.table - START_BLOCK
    splits = {shaped.imap_blocks, maps - shaped.zmap_blocks}
    splits |= {blocks_for(number + 1, bits) for number in numbers}
    splits |= {maps - blocks_for(zones - first + 1, bits) for zones in counts for first in (0, 1, root.zone)}
    for first, number, zones, imap in product(first_zones, numbers, counts, splits):
        if 1 <= imap < maps and first <= 0xFFFF:
            guess = replace(shaped, imap_blocks=imap, zmap_blocks=maps - imap, stored_first_data_zone=first)
            guess.inodes = min(number, imap * bits - 1)
            if not first and guess.computed_first_data_zone <= 0xFFFF:
                guess.stored_first_data_zone = guess.computed_first_data_zone
            most_zones = guess.zmap_blocks * bits - 1 + guess.first_data_zone
            guess.zones = zones if zones == shaped.zones else min(zones, most_zones)
            yield guess


async def _goes_on(device: BlockDevice, guess: Superblock) -> bool:
    """Whether the zone map speaks of zones behind the last one: its padding is all ones or all zeroes."""
    data = bytearray(guess.zmap_blocks * guess.block_size)
    await device.read((START_BLOCK + guess.imap_blocks) * guess.block_size, [data])
    padding = data[-(-guess.zone_bits // 32) * 4 :]
    return len(set(padding)) > 1 or bool(padding and padding[0] not in (0, 0xFF))


async def _heads(device: BlockDevice, root: Root) -> set[int]:
    """At which of the blocks before the inode table a bitmap can begin, counted from the first of them.

    The first two bits of a bitmap are always set.
    """
    offsets = [block * root.block_size for block in range(START_BLOCK, root.table)]
    sector = max(device.sector_size, 4)
    data = bytes(await device.gather(offsets, [sector] * len(offsets)))
    heads = [data[start : start + 4] for start in range(0, len(data), sector)]
    return {
        index
        for index, head in enumerate(heads)
        if any(head[order] & 3 == 3 for order in candidates(head, root.swapped))
    }


def _changes(stored: Superblock | None, derived: Superblock) -> list[str]:
    """What `derived` says otherwise, in words. A first data zone of 0 says the same as the computed one."""
    if stored is None:
        return ["there is no magic number", *_changes(_claim(derived.raw, (derived.variant, derived.swapped)), derived)]
    changes = []
    for field, name in _FIELDS.items():
        old, new = getattr(stored, field), getattr(derived, field)
        if field == "variant":
            old, new = old.name, new.name
        if field == "swapped":
            old, new = ("big-endian" if value else "little-endian" for value in (old, new))
        if field == "stored_first_data_zone":
            old, new = old or derived.first_data_zone, derived.first_data_zone
        if old != new:
            changes.append(f"{name} {old}, should be {new}")
    return changes
