"""What holds for every test.

* A warning or an error in the `minixfs` log fails a test, unless it carries ``@pytest.mark.logs("pattern", ...)``: then
  every message of that level must match one of the patterns, and each pattern at least one message.
* Random tests draw the same each time, so that a change is judged by itself; the long run draws anew. `rng` is a random
  generator whose seed is printed; MINIXFS_SEED repeats a run.
"""

from __future__ import annotations

import logging
import os
import random
import re
from collections.abc import Iterator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "logs(*patterns): the test makes minixfs log warnings or errors that match")


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(autouse=True)
def quiet_log(request: pytest.FixtureRequest) -> Iterator[None]:
    collector = _Collector()
    logger = logging.getLogger("minixfs")
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
    marker = request.node.get_closest_marker("logs")
    patterns = [re.compile(pattern) for pattern in marker.args] if marker else []
    surprises = [text for text in collector.messages if not any(pattern.search(text) for pattern in patterns)]
    assert not surprises, f"unexpected log messages: {surprises}"
    silent = [pattern.pattern for pattern in patterns if not any(map(pattern.search, collector.messages))]
    assert not silent, f"expected log messages are missing: {silent}"


@pytest.fixture(autouse=True)
def chosen_seed(request: pytest.FixtureRequest) -> str:
    """Also that of Python's own generator, from which some tests draw a seed of theirs."""
    anew = request.config.option.markexpr != "not long"
    drawn = str(random.SystemRandom().getrandbits(32)) if anew else request.node.nodeid
    chosen = os.environ.get("MINIXFS_SEED") or drawn
    random.seed(chosen)
    return chosen


@pytest.fixture
def rng(chosen_seed: str) -> random.Random:
    print(f"MINIXFS_SEED={chosen_seed}")
    return random.Random(chosen_seed)
