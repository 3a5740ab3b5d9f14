"""All orders in which calls can run next to each other, as far as their requests to fake file servers decide it.

    async def scenario(run: Run) -> None:
        ... build servers and jobs ...
        await run.execute(jobs, servers)
        ... check ...
    explore(scenario)

Every job stops before it begins, and every request before it has its effect. When nothing else can happen, the schedule
says which of the stopped ones goes on. `explore` runs a scenario under every schedule, or a sample.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import trio
from trio.testing import wait_all_tasks_blocked

from minixfs.errors import MinixFsError
from tests.support.fakefs import FakeFs
from tests.support.recorder import Request

Job = Callable[[], Awaitable[object]]
_job: ContextVar[int] = ContextVar("job")


@dataclass
class Run:
    """One execution: which choices there were and which was taken, and what every job ended with."""

    choices: Sequence[int]
    alternatives: list[int] = field(default_factory=list)
    results: list[object] = field(default_factory=list)

    async def execute(self, jobs: Sequence[Job], servers: Sequence[FakeFs]) -> None:
        """Run the jobs to their ends. Raises AssertionError when nothing can go on."""
        stopped: dict[int, trio.Event] = {}

        async def stop(request: Request | None = None) -> None:
            event = stopped[_job.get()] = trio.Event()
            await event.wait()

        async def work(number: int, job: Job) -> None:
            _job.set(number)
            await stop()
            try:
                self.results[number] = await job()
            except MinixFsError as error:
                self.results[number] = error

        pending = object()
        self.results = [pending] * len(jobs)
        for fs in servers:
            fs.pause = stop
        async with trio.open_nursery() as nursery:
            for number, job in enumerate(jobs):
                nursery.start_soon(work, number, job)
            await wait_all_tasks_blocked()
            while any(result is pending for result in self.results):
                if not stopped:
                    nursery.cancel_scope.cancel()
                    waiting = [number for number, result in enumerate(self.results) if result is pending]
                    raise AssertionError(f"deadlock of jobs {waiting} under schedule {self.taken}")
                stopped.pop(sorted(stopped)[self._choose(len(stopped))]).set()
                await wait_all_tasks_blocked()
        for fs in servers:
            fs.pause = None

    @property
    def taken(self) -> list[int]:
        return [*self.choices, *[0] * len(self.alternatives)][: len(self.alternatives)]

    def _choose(self, count: int) -> int:
        step = len(self.alternatives)
        self.alternatives.append(count)
        choice = self.choices[step] if step < len(self.choices) else 0
        return choice % count  # trio wakes tasks in random order, so that a repetition may differ a little


def explore(scenario: Callable[[Run], Awaitable[None]], *, limit: int = 400, seed: int = 1) -> int:
    """Run `scenario(run)` under every schedule, or a random `limit` of them; returns how many ran."""
    unseen: list[list[int]] = [[]]
    chance = random.Random(seed)
    done = 0
    while unseen and done < limit:
        run = Run(unseen.pop(chance.randrange(len(unseen))))
        trio.run(scenario, run)
        done += 1
        for step in range(len(run.choices), len(run.alternatives)):
            unseen += [[*run.taken[:step], other] for other in range(1, run.alternatives[step])]
    return done
