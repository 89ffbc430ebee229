"""Random lives of a real queue's jobs, for tests that then mix up what the queue told of them."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from conduit.core.errors import DependencyNotFoundError
from conduit.core.events import Event
from conduit.core.model import Artifact, Job, JobError, Lease, Level, LogLine, NewJob
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import DEFAULT_LEASE_MS, Claim, Note, Outcome, Queue, Retention, StoredEntry
from tests.conformance.backends import Backend
from tests.conformance.history import Reader

_MOVES = (1, 1, 1, 703, 3_001, 4_903, 17_011)
_BACK = (-4_001, -3_600_029)
_BEGINS = (None, 0, 400)


class Lives:
    """Does random things to the jobs of a queue; `read` gives what the queue told of it."""

    def __init__(
        self, backend: Backend, random: Random, *, backwards: bool = False, again: bool = False
    ) -> None:
        self.ids: list[str] = []
        self._backend = backend
        self._random = random
        self._moves = _MOVES + _BACK if backwards else _MOVES
        self._again = again
        self._leases: list[Lease] = []
        self._submitted: dict[str, NewJob] = {}
        self._reader = Reader()

    @property
    def queue(self) -> Queue:
        return self._backend.queue

    async def go_on(self, steps: int) -> None:
        """Take some more steps."""
        actions = (
            self._submit,
            self._claim,
            self._claim,
            self._record,
            self._record,
            self._extend,
            self._finish,
            self._finish,
            self._cancel,
            self._retry,
            self._delete,
            self._sweep,
        )
        for _ in range(steps):
            self._backend.clock.advance(self._random.choice(self._moves))
            await self._random.choice(actions)()

    async def read(self) -> list[StoredEntry]:
        """The entries that came since the last call."""
        return await self._reader.read(self.queue)

    async def jobs(self) -> dict[str, Job | None]:
        """All jobs there ever were, as the queue has them now."""
        return dict(zip(self.ids, await self.queue.get(self.ids), strict=True))

    # --- what can happen ------------------------------------------------------------------------

    async def _submit(self) -> None:
        random = self._random
        known = [new for new in self._submitted.values() if self._again]
        if known and random.random() < 0.5:
            with suppress(DependencyNotFoundError):  # what it waited for has been forgotten
                await self.queue.submit([random.choice(known)])
            return
        new = NewJob(
            id=f"job-{len(self.ids)}",
            function=random.choice(("alpha", "beta")),
            args=random.choice((b"{}", b'{"order":"\\u0000 \xc3\xa4"}')),
            priority=random.choice((0, 0, 5)),
            delay_ms=random.choice((0, 0, 0, 3_000)),
            expires_ms=random.choice((None, None, 8_000)),
            max_deliveries=random.choice((1, 2, 3)),
            metadata=random.choice((b"{}", b'{"a":0}')),
            parent_id=random.choice((None, "job-0")),
            after=await self._some_to_wait_for(),
        )
        self.ids.append(new.id)
        self._submitted[new.id] = new
        await self.queue.submit([new])

    async def _some_to_wait_for(self) -> tuple[str, ...]:
        if self._random.random() < 0.6:
            return ()
        return tuple(job.id for job in await self.queue.get(self._some()) if job is not None)

    async def _claim(self) -> None:
        wanted = Claim(
            worker_id=self._random.choice(("w1", "w2")),
            queues=("default",),
            functions=("alpha", "beta"),
            limit=self._random.randint(1, 3),
        )
        jobs = await self.queue.claim(wanted)
        self._leases += [Lease(job.id, job.token or "") for job in jobs]

    async def _record(self) -> None:
        if not self._leases:
            return
        random = self._random
        artifact = random.choice((None, None, Artifact("report", "text/plain", 2, "0" * 64)))
        note = Note(
            lease=random.choice(self._leases),
            progress=random.choice((None, 0.25, 0.5)),
            progress_message=random.choice((None, "half\0way")),
            metadata=random.choice((None, b'{"a":1}', b'{"b":[2]}')),
            checkpoint=random.choice((None, b"1", b'{"at":2}')),
            steps=random.choice((None, b'{"one":1}')),
            logs=random.choice(((), (LogLine(1, Level.INFO, "shop", "a line"),) * 2)),
            artifact=artifact,
            data=None if artifact is None else b"ok",
            began_ms_ago=random.choice(_BEGINS),
        )
        await self.queue.record([note])

    async def _extend(self) -> None:
        begun = {lease: self._random.choice((0, 20, 30_000)) for lease in self._leases[-2:]}
        await self.queue.extend(self._leases[-4:], DEFAULT_LEASE_MS, begun)

    async def _finish(self) -> None:
        if not self._leases:
            return
        random = self._random
        kind = random.choice(list(OutcomeKind))
        completes = kind is OutcomeKind.COMPLETE
        outcome = Outcome(
            lease=random.choice(self._leases[-4:]),
            kind=kind,
            result=b'{"cents":1}' if completes else None,
            reason=None if completes else random.choice((None, "why")),
            error=None if completes else random.choice((None, JobError("ValueError", "n\0"))),
            delay_ms=random.choice((0, 3_000)),
            began_ms_ago=random.choice(_BEGINS),
        )
        await self.queue.finish([outcome])

    async def _cancel(self) -> None:
        await self.queue.cancel(self._some(), "not needed")

    async def _retry(self) -> None:
        await self.queue.retry(self._some())

    async def _delete(self) -> None:
        if self._random.random() < 0.5:
            await self.queue.delete(self._some())

    async def _sweep(self) -> None:
        for _ in range(self._random.choice((1, 5))):
            self._backend.clock.advance(4_001)
            await self.queue.sweep(Retention(results_ms=60_000 if self._again else 10**12))

    def _some(self) -> list[str]:
        return self._random.sample(self.ids, min(len(self.ids), 2))


def events_in(entries: list[StoredEntry]) -> list[Event]:
    """All events of entries, in order."""
    return [event for stored in entries for event in stored.entry.events]
