"""Fixtures of the file-server tests."""

from __future__ import annotations

import pytest

from tests.support.volumes import DISKS, EXT2_KINDS, KINDS, Kind, MfsKind, some_ext2

FEW = ("V1", "V3-1K-direct", "V3-1K-zones-of-8", "V3-4K", "V2-big", "ext2-1K-groups", "ext2-4K-direct")


@pytest.fixture(params=[*KINDS, *some_ext2(EXT2_KINDS)])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind of volume; of some only in the long run."""
    return DISKS[request.param]


@pytest.fixture(params=KINDS)
def mfs_kind(request: pytest.FixtureRequest) -> MfsKind:
    """Every kind of MINIX volume."""
    return KINDS[request.param]


@pytest.fixture(params=FEW)
def some_kind(request: pytest.FixtureRequest) -> Kind:
    """A few kinds that differ much."""
    return DISKS[request.param]
