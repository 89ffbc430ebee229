"""Whose turn it is: queues by weight, functions one after the other, and nobody left out."""

from __future__ import annotations

from collections import Counter

import pytest

from conduit.core.model import Job
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Claim, Queue
from tests.conformance.backends import Backend
from tests.conformance.builders import (
    a_job,
    cancel,
    claim,
    claim_one,
    finish,
    let_leases_lapse,
    submit,
    sweep,
)

WEIGHTED = {"heavy": 3, "light": 1}


async def by_weight(queue: Queue, limit: int) -> list[Job]:
    """Claim from two queues, of which one weighs three times as much."""
    return await queue.claim(
        Claim(
            worker_id="w1",
            queues=tuple(WEIGHTED),
            weights=tuple(WEIGHTED.values()),
            functions=("task",),
            limit=limit,
        )
    )


async def fill(queue: Queue, functions: list[str], jobs: int) -> None:
    """Submit so many jobs of each function."""
    await queue.submit([a_job(function=name) for name in functions for _ in range(jobs)])


# --- queues ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 4, 40])
async def test_queues_give_jobs_by_their_weights_in_claims_of_any_size(
    queue: Queue, limit: int
) -> None:
    await queue.submit([a_job(queue=name) for name in WEIGHTED for _ in range(200)])
    taken: Counter[str] = Counter()
    while taken.total() < 120:
        taken.update(job.queue for job in await by_weight(queue, limit))
    assert abs(taken["heavy"] - 3 * taken["light"]) <= 4


async def test_weights_hold_over_workers_of_several_processes(backend: Backend) -> None:
    queues = backend.queue, await backend.second()
    await backend.queue.submit([a_job(queue=name) for name in WEIGHTED for _ in range(200)])
    taken: Counter[str] = Counter()
    for _ in range(20):
        for queue in queues:
            taken.update(job.queue for job in await by_weight(queue, 3))
    assert abs(taken["heavy"] - 3 * taken["light"]) <= 8


async def test_a_queue_that_was_idle_has_saved_nothing_up(queue: Queue) -> None:
    await queue.submit([a_job(queue="heavy") for _ in range(100)])
    await by_weight(queue, 60)
    await queue.submit([a_job(queue="light") for _ in range(100)])
    taken: Counter[str] = Counter()
    for _ in range(10):
        taken.update(job.queue for job in await by_weight(queue, 4))
    assert abs(taken["heavy"] - 3 * taken["light"]) <= 4


async def test_an_empty_queue_leaves_the_whole_claim_to_the_others(queue: Queue) -> None:
    await queue.submit([a_job(queue="light") for _ in range(50)])
    assert len(await by_weight(queue, 50)) == 50


async def test_urgent_jobs_of_one_queue_do_not_go_before_another_queue(queue: Queue) -> None:
    await queue.submit([a_job(queue="heavy", priority=9) for _ in range(40)])
    await queue.submit([a_job(queue="light") for _ in range(40)])
    assert {job.queue for job in await by_weight(queue, 8)} == {"heavy", "light"}


async def test_jobs_of_a_thousand_queues_are_all_claimed_in_a_few_rounds(queue: Queue) -> None:
    names = tuple(f"q{number}" for number in range(1000))
    await queue.submit([a_job(queue=name) for name in names])
    taken: set[str] = set()
    for _ in range(10):
        taken |= {job.queue for job in await claim(queue, queues=names)}
    assert taken == set(names)


# --- functions ---------------------------------------------------------------------------------


async def test_functions_take_turns_over_claims_of_one_job(queue: Queue) -> None:
    names = ("a", "b", "c")
    await fill(queue, list(names), 4)
    turns = [(await claim_one(queue, functions=names, limit=1)).function for _ in range(12)]
    assert turns == turns[:3] * 4
    assert set(turns[:3]) == set(names)


async def test_functions_share_a_claim_among_them(queue: Queue) -> None:
    names = tuple(f"f{number}" for number in range(10))
    await fill(queue, list(names), 30)
    taken = Counter(job.function for job in await claim(queue, functions=names, limit=100))
    assert set(taken.values()) == {10}


async def test_no_function_has_a_second_turn_before_each_had_its_first(queue: Queue) -> None:
    names = tuple(f"f{number}" for number in range(50))
    await fill(queue, list(names), 40)
    turns: list[str] = []
    while len(set(turns)) < len(names):
        for job in await claim(queue, functions=names, limit=200):
            if not turns or turns[-1] != job.function:
                turns.append(job.function)
    assert max(Counter(turns[: len(names)]).values()) == 1
    assert max(Counter(turns).values()) <= 2


async def test_a_turn_has_up_to_sixteen_jobs_where_there_are_many_functions(queue: Queue) -> None:
    names = tuple(f"f{number}" for number in range(100))
    await fill(queue, list(names), 20)
    taken = Counter(job.function for job in await claim(queue, functions=names, limit=300))
    assert max(taken.values()) <= 16
    assert len(taken) >= 18


async def test_a_function_that_gets_its_first_job_waits_for_no_backlog(queue: Queue) -> None:
    names = ("a", "b", "new")
    await fill(queue, ["a", "b"], 50)
    await claim(queue, functions=names, limit=10)
    await submit(queue, function="new")
    following = [(await claim_one(queue, functions=names, limit=1)).function for _ in range(3)]
    assert "new" in following


async def test_a_function_with_few_jobs_is_not_served_before_others_had_their_turn(
    queue: Queue,
) -> None:
    names = ("busy", "trickle")
    await fill(queue, ["busy"], 50)
    taken: list[str] = []
    for _ in range(10):
        await submit(queue, function="trickle")
        taken += [job.function for job in await claim(queue, functions=names, limit=2)]
    assert Counter(taken)["busy"] >= 9


# --- levels ------------------------------------------------------------------------------------


async def test_an_urgent_job_lifts_its_function_before_all_others(queue: Queue) -> None:
    names = tuple(f"f{number}" for number in range(30))
    await fill(queue, list(names), 5)
    await claim(queue, functions=names, limit=7)
    urgent = await submit(queue, function="f29", priority=5)
    assert (await claim_one(queue, functions=names, limit=1)).id == urgent.id


async def test_a_function_whose_urgent_job_was_cancelled_waits_for_its_turn_again(
    queue: Queue,
) -> None:
    await submit(queue, function="b", priority=1)
    urgent = await submit(queue, function="a", priority=9)
    await submit(queue, function="a")
    await cancel(queue, urgent.id)
    taken = await claim(queue, functions=("a", "b"))
    assert [job.function for job in taken] == ["b", "a"]


async def test_a_rescued_job_of_a_function_with_a_backlog_goes_first(backend: Backend) -> None:
    queue, names = backend.queue, ("a", "b", "c")
    await fill(queue, list(names), 3)
    lost = await claim_one(queue, functions=names, limit=1)
    await let_leases_lapse(backend)
    assert (await claim_one(queue, functions=names, limit=1)).id == lost.id


# --- kinds of claims ---------------------------------------------------------------------------


async def test_workers_with_overlapping_functions_get_every_job_once_and_leave_none(
    backend: Backend,
) -> None:
    one, two = backend.queue, await backend.second()
    await fill(one, ["a", "b", "c"], 40)
    taken: list[Job] = []
    for _ in range(20):
        taken += await claim(one, functions=("a", "b"), limit=4)
        taken += await claim(two, functions=("b", "c"), limit=4)
    assert len({job.id for job in taken}) == 120
    for queue, names in ((one, ("a", "b")), (two, ("b", "c"))):
        again = await submit(backend.queue, function="b")
        assert [job.id for job in await claim(queue, functions=names)] == [again.id]


async def test_jobs_that_were_there_before_anybody_claimed_are_found(backend: Backend) -> None:
    names = [f"f{number}" for number in range(300)]
    await fill(backend.queue, names, 1)
    await submit(backend.queue, function="f7", queue="other", priority=-3)
    late = await backend.second()
    taken: list[Job] = []
    while more := await claim(late, functions=tuple(names), queues=("default", "other")):
        taken += more
    assert len(taken) == 301


async def test_a_claim_that_others_emptied_every_function_of_still_finds_the_next_job(
    backend: Backend,
) -> None:
    names = tuple(f"f{number}" for number in range(100))
    slow, quick = backend.queue, await backend.second()
    await fill(slow, list(names), 2)
    assert len(await claim(slow, functions=names, limit=1)) == 1
    assert len(await claim(quick, functions=(*names, "more"), limit=500)) == 199
    last = await submit(quick, function="f50")
    assert [job.id for job in await claim(slow, functions=names)] == [last.id]


# --- changes in the middle of a backlog --------------------------------------------------------


async def test_a_pause_in_mid_backlog_holds_exactly_what_it_names(queue: Queue) -> None:
    names = ("a", "b")
    await fill(queue, list(names), 20)
    await claim(queue, functions=names, limit=10)
    await queue.pause_function("a")
    assert {job.function for job in await claim(queue, functions=names, limit=10)} == {"b"}
    await queue.pause("default")
    assert await claim(queue, functions=names) == []
    await queue.resume_function("a")
    assert await claim(queue, functions=names) == []
    await queue.resume("default")
    rest = Counter(job.function for job in await claim(queue, functions=names))
    assert rest == {"a": 15, "b": 5}


async def test_jobs_submitted_during_a_pause_are_found_after_it(queue: Queue) -> None:
    await queue.pause("default")
    await queue.pause_function("a")
    await submit(queue, function="a")
    assert await claim(queue, functions=("a", "b")) == []
    await submit(queue, function="b")
    await queue.resume("default")
    assert [job.function for job in await claim(queue, functions=("a", "b"))] == ["b"]
    await queue.resume_function("a")
    assert [job.function for job in await claim(queue, functions=("a", "b"))] == ["a"]


async def test_cancels_in_mid_lane_hide_no_job_of_any_function(queue: Queue) -> None:
    names = ("a", "b", "c")
    jobs = [a_job(function=name, priority=n % 2) for n in range(60) for name in names]
    await queue.submit(jobs)
    gone = {job.id for job in jobs[::3]} | {job.id for job in jobs[40:90]}
    await queue.cancel(sorted(gone), "not needed")
    taken: list[Job] = []
    while more := await claim(queue, functions=names, limit=7):
        taken += more
    assert {job.id for job in taken} == {job.id for job in jobs} - gone


async def test_released_and_retried_jobs_come_back_to_a_lane_that_was_empty(
    backend: Backend,
) -> None:
    queue = backend.queue
    for kind in (OutcomeKind.RELEASE, OutcomeKind.RETRY_LATER):
        await submit(queue)
        job = await claim_one(queue)
        assert await claim(queue) == []
        await finish(queue, job, kind)
        again = await claim_one(queue)
        assert again.id == job.id
        await finish(queue, again, OutcomeKind.COMPLETE)


async def test_sweeps_disturb_no_turn(queue: Queue) -> None:
    names = ("a", "b", "c")
    await fill(queue, list(names), 6)
    turns: list[str] = []
    for _ in range(9):
        turns += [job.function for job in await claim(queue, functions=names, limit=1)]
        await sweep(queue)
    assert turns == turns[:3] * 3
