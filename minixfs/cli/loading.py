"""Loading modules without a look for garbage between them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """For a body that loads much, and is run once: what is there at its end stays for good.

    Modules make no garbage, and going through what they make again and again would be a twentieth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
