"""Random lives of a queue, step by step beside the model in `model`.

Several workers claim, lose leases, come back as zombies and repeat themselves; operators cancel,
retry and delete; clocks jump; the store is closed and opened. After every step the answers, the
stored jobs and the event log must be what the model says.

`CONDUIT_TEST_EXAMPLES` sets how many lives are lived, 100 by default.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from conduit.core.crons import Tick, TickOutcome
from conduit.core.errors import DependencyNotFoundError
from conduit.core.model import Job, JobError, JobStatus, Lease, NewJob
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import (
    DEFAULT_LEASE_MS,
    DEFAULT_RESULT_TTL_MS,
    Acted,
    Claim,
    JobFilter,
    Note,
    Outcome,
    Registration,
    Retention,
    SweepReport,
)
from tests.conformance.backends import Backend, server_for
from tests.conformance.builders import DAY, HOUR, MINUTE, SECOND, a_cron, a_worker, send
from tests.conformance.history import History, Reader
from tests.properties.model import Model, ModelJob

T = TypeVar("T")

EXAMPLES = int(os.environ.get("CONDUIT_TEST_EXAMPLES", "100"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

QUEUES = ("default", "slow")
FUNCTIONS = ("alpha", "beta")

# Odd numbers, so that hardly any sum of moves lands on the very edge of a term or a retention.
MOVES = (1, 703, 4_903, 4_903, 9_107, 17_011, HOUR + 13, 25 * HOUR + 17, -4_001, -HOUR - 29)


BEGINS = st.sampled_from((None, None, 0, 40, 9_001))
"""How many milliseconds ago a function began, as its worker says."""


class QueueMachine(RuleBasedStateMachine):
    """One life of one queue, and of its model beside it."""

    job_ids = Bundle("job_ids")
    leases = Bundle("leases")

    def __init__(self, backend: str, server: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.backend = Backend(backend, Path(self.folder.name), server)
        self.model = Model()
        self.history = History()
        self.reader = Reader()
        self.numbers = count(1)
        self.submitted: dict[str, NewJob] = {}
        self.last_outcome: Outcome | None = None
        self.run(self.backend.open())
        self.other = self.run(self.backend.second())
        self.run(self.reader.read(self.queue))

    def teardown(self) -> None:
        try:
            self.check_event_log()
            self.check_totals()
        finally:
            self.run(self.backend.close())
            self.loop.close()
            self.folder.cleanup()

    # --- submitting ---------------------------------------------------------------------------

    @initialize(target=job_ids, counts=st.lists(st.sampled_from(FUNCTIONS), min_size=2, max_size=4))
    def begin(self, counts: list[str]) -> Any:
        """Start with some jobs and a schedule, so that there is something to do from the outset."""
        self.run(self.queue.register(Registration(worker=a_worker(), crons=(a_cron(),))))
        self.model.last_tick = self.now
        return multiple(*(self.keep(NewJob(id=self.new_id(), function=name)) for name in counts))

    @rule(
        target=job_ids,
        function=st.sampled_from(FUNCTIONS),
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from((0, 0, 0, 5)),
        delay_ms=st.sampled_from((0, 0, 0, 3 * SECOND, 30 * DAY)),
        expires_ms=st.sampled_from((None, None, 8 * SECOND)),
        key=st.sampled_from((None, None, "k1", "k2")),
        max_deliveries=st.sampled_from((1, 2, 3)),
    )
    def submit(self, **fields: Any) -> str:
        """Submit a new job."""
        return self.keep(NewJob(id=self.new_id(), **fields))

    @rule(target=job_ids, key=st.sampled_from(("k1", "k2")))
    def submit_for_a_window(self, key: str) -> str:
        """Submit a job whose key is kept for a while, though it may be over sooner."""
        new = NewJob(id=self.new_id(), function="alpha", key=key, unique_ms=20 * SECOND)
        return self.keep(new)

    @rule(
        target=job_ids,
        after=st.lists(job_ids, min_size=1, max_size=3),
        delay_ms=st.sampled_from((0, 0, 3 * SECOND)),
        expires_ms=st.sampled_from((None, None, 8 * SECOND)),
        key=st.sampled_from((None, None, "k1")),
    )
    def submit_after(self, after: list[str], **fields: Any) -> str:
        """Submit a job that waits for others, of which some may not be there."""
        new = NewJob(id=self.new_id(), function="beta", after=tuple(after), **fields)
        return self.keep(new)

    @rule(target=job_ids, steps=st.lists(st.integers(0, 2), min_size=1, max_size=4))
    def submit_graph(self, steps: list[int]) -> Any:
        """Submit jobs in one batch, each but the first waiting for earlier ones."""
        ids = [self.new_id() for _ in range(len(steps) + 1)]
        jobs = [NewJob(id=ids[0], function="alpha")]
        for number, step in enumerate(steps):
            awaited = {ids[number], ids[max(0, number - step)]}
            jobs.append(NewJob(id=ids[number + 1], function="beta", after=tuple(sorted(awaited))))
        expected = [self.model.submit(job, self.now) for job in jobs]
        self.submitted |= {job.id: job for job in jobs}
        assert self.run(self.queue.submit(jobs)) == expected
        return multiple(*ids)

    @rule(job_id=job_ids)
    def submit_again(self, job_id: str) -> None:
        """The answer to a submit was lost on its way, and the caller repeats it."""
        self.keep(self.submitted[job_id])

    def keep(self, new: NewJob) -> str:
        self.submitted[new.id] = new
        lost = self.model.lost_dependency(new, self.now)
        if lost is None:
            assert self.run(self.queue.submit([new])) == [self.model.submit(new, self.now)]
        else:
            with pytest.raises(DependencyNotFoundError, match=f"wait for job '{lost}'"):
                self.run(self.queue.submit([new]))
        return new.id

    # --- running ------------------------------------------------------------------------------

    @rule(
        target=leases,
        worker_id=st.sampled_from(("w1", "w2", "w3")),
        limit=st.integers(1, 4),
        queues=st.sampled_from((QUEUES, QUEUES[::-1], ("default",))),
        functions=st.sampled_from((FUNCTIONS, FUNCTIONS, ("beta",))),
        after_ms=st.sampled_from((0, 0, 4_903, 9_107)),
    )
    def claim(
        self,
        worker_id: str,
        limit: int,
        queues: tuple[str, ...],
        functions: tuple[str, ...],
        after_ms: int,
    ) -> Any:
        """A worker asks for work, at once or after a while."""
        self.backend.clock.advance(after_ms)
        wanted = Claim(worker_id=worker_id, queues=queues, functions=functions, limit=limit)
        taken = self.run(self.queue.claim(wanted))

        self.model.promote(self.now)
        self.model.note_expiries(self.stored(), self.now)
        self.check_choice(taken, wanted, self.model.claimable(queues, functions, self.now))
        for job in taken:
            known = self.model.claimed(job, worker_id, self.now, self.now + DEFAULT_LEASE_MS)
            assert known.matches(job), f"claimed {job}, expected {known}"
        return multiple(*(Lease(job.id, job.token or "") for job in taken))

    def check_choice(self, taken: list[Job], wanted: Claim, able: list[ModelJob]) -> None:
        """What was taken is all that could be; in each queue the first by rescue, priority, age."""

        def rank(job: ModelJob) -> tuple[bool, int]:
            return not job.rescued, -job.new.priority

        chosen = [self.model.jobs[job.id] for job in taken]
        assert all(job in able for job in chosen), f"took {chosen} of {able}"
        assert len(chosen) == min(wanted.limit, len(able)), f"took {chosen} of {able}"
        for queue in wanted.queues:
            there = sorted(rank(job) for job in able if job.new.queue == queue)
            ranks = [rank(job) for job in chosen if job.new.queue == queue]
            assert ranks == there[: len(ranks)]
        for left in able:
            for job in chosen:
                if left in chosen or rank(left) != rank(job) or left.new.queue != job.new.queue:
                    continue
                if left.new.function != job.new.function or left.fence or left.new.delay_ms:
                    continue
                if left.new.after:
                    continue  # equal, and neither is strictly the older one
                assert job.number < left.number, f"took {job} before {left}"

    @rule(lease=leases, lease_ms=st.just(DEFAULT_LEASE_MS), began=BEGINS)
    def extend(self, lease: Lease, lease_ms: int, began: int | None) -> None:
        """A worker, or its ghost, says that it still works on a job."""
        expected = self.model.extend(lease, lease_ms, began, self.now)
        begun = {} if began is None else {lease: began}
        assert self.run(self.queue.extend([lease], lease_ms, begun)) == [expected]

    @rule(
        lease=leases,
        progress=st.sampled_from((None, 0.5)),
        metadata=st.sampled_from((None, b'{"a":1}', b'{"a":2,"b":3}')),
        checkpoint=st.sampled_from((None, b"1", b"2")),
        began_ms_ago=BEGINS,
    )
    def record(self, lease: Lease, **news: Any) -> None:
        """A worker, or its ghost, has news."""
        note = Note(lease=lease, **news)
        assert self.run(self.queue.record([note])) == [self.model.record(note, self.now)]

    @rule(
        lease=leases,
        kind=st.sampled_from(OutcomeKind),
        delay_ms=st.sampled_from((0, 3 * SECOND)),
        reason=st.sampled_from((None, "why")),
        began=BEGINS,
    )
    def finish(
        self,
        lease: Lease,
        kind: OutcomeKind,
        delay_ms: int,
        reason: str | None,
        began: int | None,
    ) -> None:
        """A worker, or its ghost, reports how an attempt ended."""
        completes = kind is OutcomeKind.COMPLETE
        self.report(
            Outcome(
                lease=lease,
                kind=kind,
                delay_ms=delay_ms,
                began_ms_ago=began,
                reason=None if completes else reason,
                result=b'"done"' if completes else None,
                error=None if completes else JobError(type="ValueError", message="no"),
            )
        )

    @rule()
    def finish_again(self) -> None:
        """The answer to the last outcome was lost on its way, and the worker repeats it."""
        if self.last_outcome is not None:
            self.report(self.last_outcome)

    def report(self, outcome: Outcome) -> None:
        self.last_outcome = outcome
        expected = self.model.finish(outcome, self.now)
        (answer,) = self.run(self.queue.finish([outcome]))
        assert answer in expected, f"{answer} instead of {expected}"

    # --- operating ----------------------------------------------------------------------------

    @rule(job_id=job_ids, reason=st.sampled_from(("enough", "not needed")))
    def cancel(self, job_id: str, reason: str) -> None:
        """An operator cancels a job."""
        expected = self.model.cancel(job_id, reason, self.now)
        assert self.run(self.queue.cancel([job_id], reason)) == [expected]

    @rule(job_id=job_ids)
    def retry(self, job_id: str) -> None:
        """An operator retries a job."""
        known = self.model.jobs.get(job_id)
        holder = known and self.model.holder(known.new.key, self.now)
        if known and (known.new.unique_ms or (holder and holder.status.finished)):
            return  # the protocol doesn't say what a retry means for a window
        expected = self.model.retry(job_id, self.now)
        assert self.run(self.queue.retry([job_id])) == [expected]
        if known is not None and expected.acted is Acted.DONE:
            known.result = None

    @rule(job_id=consumes(job_ids))
    def delete(self, job_id: str) -> None:
        """An operator deletes a job."""
        expected = self.model.delete(job_id)
        assert self.run(self.queue.delete([job_id])) == [expected]

    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        """An operator stops a queue, or lets it go on."""
        paused = queue in self.model.paused
        self.run(self.queue.resume(queue) if paused else self.queue.pause(queue))
        self.model.paused ^= {queue}

    @rule(function=st.sampled_from(FUNCTIONS))
    def pause_or_resume_function(self, function: str) -> None:
        """An operator stops a function, or lets it go on."""
        paused = function in self.model.paused_functions
        queue = self.queue
        self.run(queue.resume_function(function) if paused else queue.pause_function(function))
        self.model.paused_functions ^= {function}

    @rule(paused=st.booleans())
    def pause_cron(self, paused: bool) -> None:
        """An operator stops a schedule, or lets it go on."""
        assert self.run(self.queue.pause_cron("nightly", paused=paused))
        self.model.pause_cron(self.now, paused=paused)

    @rule()
    def rewind_cron(self) -> None:
        """A worker finds that the schedule's mark is ahead of the clock."""
        expected = self.model.rewind_cron(self.now)
        assert self.run(self.queue.rewind_cron("nightly")) is expected

    # --- time ---------------------------------------------------------------------------------

    @rule(ms=st.sampled_from(MOVES))
    def move_the_clock(self, ms: int) -> None:
        """Time passes, or jumps."""
        self.backend.clock.advance(ms)

    @rule(times=st.integers(1, 4))
    def sweep_for_a_while(self, times: int) -> None:
        """Time passes, and a worker sweeps as often as it should."""
        for _ in range(times):
            self.sweep(4_903)

    @rule(after_ms=st.sampled_from((0, 17_011, 17_011, -HOUR - 29)))
    def sweep(self, after_ms: int) -> None:
        """A worker sweeps, perhaps after nobody did for long, or the clock was set back."""
        self.backend.clock.advance(after_ms)
        model, now = self.model, self.now
        self.check_event_log()
        report = self.run(self.queue.sweep(Retention()))

        promoted = len(model.promote(now))
        expired = model.note_expiries(self.stored(), now)
        assert not [job for job in model.jobs.values() if job.expired(now)], "expired jobs wait on"
        granted = model.guard(now)
        rescued, failed = model.rescue(now)
        expected = SweepReport(
            promoted=report.promoted,
            expired=expired,
            rescued=rescued,
            failed=failed,
            purged=model.purge(now, DEFAULT_RESULT_TTL_MS),
            granted=granted,
        )
        assert report == expected
        assert promoted <= report.promoted <= promoted + expired

    @rule(age_ms=st.sampled_from((0, MINUTE)))
    def tick(self, age_ms: int) -> None:
        """Two processes see that the schedule is due and send its tick at the same time."""
        at = self.now - age_ms
        jobs = [NewJob(id=self.new_id(), function="alpha") for _ in range(2)]
        ticks = [Tick("nightly", "f1", at, job) for job in jobs]

        async def both() -> list[list[TickOutcome]]:
            senders = (self.queue, self.other)
            return await asyncio.gather(
                *(send(queue, tick) for queue, tick in zip(senders, ticks, strict=True))
            )

        expected = self.model.tick(at)
        answers = [outcome for (outcome,) in self.run(both())]
        assert sorted(answers) == sorted([expected, TickOutcome.REFUSED])
        found = [job for job in self.run(self.queue.get([job.id for job in jobs])) if job]
        assert len(found) == (expected is TickOutcome.SUBMITTED)
        for job in found:
            assert answers[[new.id for new in jobs].index(job.id)] is expected
            new = self.submitted[job.id] = next(new for new in jobs if new.id == job.id)
            self.model.submit(new, self.now)
            self.model.ticked = job.id

    @rule()
    def reopen_the_store(self) -> None:
        """Every process ends, and new ones start."""
        self.run(self.backend.reopen())
        self.other = self.run(self.backend.second())

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def the_stored_jobs_are_the_models(self) -> None:
        """Every job ever submitted is stored as the model has it, or is forgotten in both."""
        for job_id, stored in zip(self.submitted, self.stored(), strict=True):
            known = self.model.jobs.get(job_id)
            if known is None or stored is None:
                assert known is stored, f"stored {stored}, expected {known}"
            else:
                assert known.matches(stored), f"stored {stored}, expected {known}"

    def check_event_log(self) -> None:
        """The events so far could have happened, and lead to what is stored."""
        self.history.feed(self.run(self.reader.read(self.queue)))
        self.history.check_against(job for job in self.stored() if job is not None)

    def check_totals(self) -> None:
        """Counts are exact."""
        for status in JobStatus:
            page = self.run(self.queue.find(JobFilter(statuses=(status,)), limit=1))
            assert page.total == sum(job.status is status for job in self.model.jobs.values())
        for info in self.run(self.queue.queues()):
            counts = {
                status: sum(
                    job.status is status and job.new.queue == info.name
                    for job in self.model.jobs.values()
                )
                for status in (
                    *(JobStatus.QUEUED, JobStatus.SCHEDULED, JobStatus.RUNNING, JobStatus.BLOCKED),
                )
            }
            told = (info.queued, info.scheduled, info.running, info.blocked)
            assert told == tuple(counts.values())

    # --- means --------------------------------------------------------------------------------

    @property
    def queue(self) -> Any:
        return self.backend.queue

    @property
    def now(self) -> int:
        return self.backend.clock.now

    def stored(self) -> list[Job | None]:
        return self.run(self.queue.get(list(self.submitted)))

    def new_id(self) -> str:
        return f"job-{next(self.numbers)}"

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(step)


@pytest.mark.timeout(600 + 3 * EXAMPLES)  # a failure is worth the minutes of its shrinking
@pytest.mark.timeout(300)  # 4,000 steps, on a machine that may be slow and busy
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
def test_a_queue_behaves_like_its_model(backend: str, request: pytest.FixtureRequest) -> None:
    server = server_for(backend, request)
    machine: Any = partial(
        QueueMachine, backend, server
    )  # any callable will do, though typed as a class
    run_state_machine_as_test(machine, settings=SETTINGS)
