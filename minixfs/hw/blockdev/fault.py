"""A device that fails where it is told to: what happens above when the disk gives up.

`FaultDevice(disk)` behaves like the disk until `arm` is called. A failing operation moves nothing.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from minixfs.errors import DeviceError
from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data
from minixfs.hw.blockdev.wrapper import Wrapper

Kind = Literal["read", "write", "flush"]
ALL_KINDS: frozenset[Kind] = frozenset(("read", "write", "flush"))


@dataclass(slots=True)
class _Fault:
    countdown: int  # matching operations up to and including the first that fails
    kinds: Collection[Kind]
    error: int
    lasting: bool


class FaultDevice(Wrapper):
    """`inner`, whose operations fail on demand.

    Counters, by kind: `operations` asked for, `failures` injected.
    """

    def __init__(self, inner: BlockDevice) -> None:
        super().__init__(inner)
        self.operations: Counter[Kind] = Counter()
        self.failures: Counter[Kind] = Counter()
        self._fault: _Fault | None = None

    def arm(
        self, nth: int, *, kinds: Collection[Kind] = ALL_KINDS, error: int = errno.EIO, lasting: bool = False
    ) -> None:
        """Let the `nth` operation of these kinds from now on (1: the next) fail with errno `error`; with
        `lasting` all later ones of these kinds too. Replaces what was armed before."""
        self._fault = _Fault(nth, kinds, error, lasting)

    def disarm(self) -> None:
        """Let everything succeed again."""
        self._fault = None

    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        self._enter("read")
        return await self.inner.read(offset, buffers)

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        self._enter("write")
        return await self.inner.write(offset, buffers)

    async def flush(self) -> None:
        self._enter("flush")
        await self.inner.flush()

    def _enter(self, kind: Kind) -> None:
        """Count an operation; raise if it is to fail."""
        self.operations[kind] += 1
        fault = self._fault
        if fault is None or kind not in fault.kinds:
            return
        fault.countdown -= 1
        if fault.countdown > 0:
            return
        if not fault.lasting:
            self._fault = None
        self.failures[kind] += 1
        raise DeviceError(fault.error, f"{self.name}: injected fault: {kind}: {os.strerror(fault.error)}")
