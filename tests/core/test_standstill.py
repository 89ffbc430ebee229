"""Which standstills never end."""

from __future__ import annotations

from conduit.core.model import FunctionInfo, Standstill, StandstillWait, WorkerInfo
from conduit.core.standstill import deadlocks, in_words


def a_worker(name: str, *standstills: Standstill, queue: str = "default") -> WorkerInfo:
    return WorkerInfo(
        id=f"{name}-1",
        name=name,
        host="box",
        pid=1,
        version="1",
        queues=(queue,),
        concurrency=2,
        standstills=standstills,
    )


def for_a_child(waiter: str = "parent", *, holder: str = "") -> Standstill:
    wait = StandstillWait(waiter=waiter, awaited="child", queue="default", holder=holder)
    return Standstill(places=2, functions=("parent", "child"), waits=(wait,))


CHILDS = [FunctionInfo(name="child", worker=name) for name in ("a", "b")]


def stuck(*workers: WorkerInfo) -> list[str]:
    return [worker.id for worker, _ in deadlocks(workers, CHILDS)]


def test_a_worker_whose_jobs_wait_for_what_only_it_could_run_is_stuck() -> None:
    assert stuck(a_worker("a", for_a_child()), a_worker("other")) == ["a-1"]


def test_one_whose_children_another_worker_can_run_is_not() -> None:
    assert stuck(a_worker("a", for_a_child()), a_worker("b")) == []


def test_a_worker_that_takes_from_another_queue_is_no_help() -> None:
    assert stuck(a_worker("a", for_a_child()), a_worker("b", queue="mail")) == ["a-1"]


def test_workers_that_are_full_of_parents_alike_are_stuck_together() -> None:
    assert stuck(a_worker("a", for_a_child()), a_worker("b", for_a_child())) == ["a-1", "b-1"]


def test_a_worker_that_is_full_and_can_go_on_helps_the_others() -> None:
    mail = StandstillWait(waiter="parent", awaited="mail", queue="default", holder="mailer-1")
    waits_for_mail = Standstill(places=2, functions=("parent", "child"), waits=(mail,))
    assert stuck(a_worker("a", for_a_child()), a_worker("b", waits_for_mail)) == []


def test_a_child_that_another_stuck_worker_holds_is_no_way_out() -> None:
    holds = a_worker("b", for_a_child("child"))
    assert stuck(a_worker("a", for_a_child(holder="b-1")), holds) == ["a-1", "b-1"]
    assert stuck(a_worker("a", for_a_child(holder="b-1")), a_worker("b")) == []


def test_places_for_worker_processes_are_counted_apart() -> None:
    wait = StandstillWait(waiter="crunch", awaited="child", queue="default")
    processes = Standstill(places=1, functions=("crunch",), waits=(wait,))
    assert stuck(a_worker("a", processes)) == []


def test_the_words_name_parent_child_worker_and_slots() -> None:
    worker = a_worker("a", for_a_child())
    words = in_words(worker, worker.standstills[0])
    assert words.startswith(
        "all 2 slots of worker a-1 are held by jobs that wait for jobs that no "
    )
    assert "parent waits for child" in words
