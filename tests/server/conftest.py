"""Fixtures of the file-server tests."""

from __future__ import annotations

import pytest

from tests.support.volumes import KINDS, Kind

FEW = ("V1", "V3-1K-direct", "V3-1K-zones-of-8", "V3-4K", "V2-big")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind of volume."""
    return KINDS[request.param]


@pytest.fixture(params=FEW)
def some_kind(request: pytest.FixtureRequest) -> Kind:
    """A few kinds that differ much."""
    return KINDS[request.param]
