"""What becomes of a running job, case by case."""

from __future__ import annotations

from itertools import product

import pytest

from conduit.core.model import JobError, JobStatus, Reason
from conduit.core.transitions import RESCUED, SETTLED, OutcomeKind, move, rescue, settle

BOOM = JobError(type="ValueError", message="boom")

S, K = JobStatus, OutcomeKind
AFTER = {
    # outcome: at once, with a delay
    K.COMPLETE: (S.COMPLETED, S.COMPLETED),
    K.FAIL: (S.FAILED, S.FAILED),
    K.RETRY_LATER: (S.SCHEDULED, S.SCHEDULED),
    K.CANCEL: (S.CANCELLED, S.CANCELLED),
    K.RELEASE: (S.QUEUED, S.SCHEDULED),
}


def test_tables_decide_every_case_by_a_legal_move() -> None:
    assert set(SETTLED) == set(product(OutcomeKind, (False, True), (False, True)))
    assert set(RESCUED) == set(product((False, True), (False, True)))
    for decision in (*SETTLED.values(), *RESCUED.values()):
        assert move(decision.verb, S.RUNNING, decision.target)


@pytest.mark.parametrize("kind", OutcomeKind)
@pytest.mark.parametrize("delay_ms", [0, 1])
def test_an_outcome_without_a_cancel_decides_by_itself(kind: OutcomeKind, delay_ms: int) -> None:
    ending = settle(kind, cancel_requested=False, delay_ms=delay_ms, error=BOOM)
    assert ending.move.target is AFTER[kind][delay_ms]
    assert ending.failures == (kind in (K.FAIL, K.RETRY_LATER))
    assert (ending.rescues, ending.delay_ms) == (0, delay_ms)
    assert ending.error == (None if kind is K.COMPLETE else BOOM)
    assert ending.reason == (Reason.ERROR if kind is K.FAIL else None)


@pytest.mark.parametrize("kind", OutcomeKind)
@pytest.mark.parametrize("delay_ms", [0, 1])
def test_a_requested_cancel_wins_over_all_but_a_result(kind: OutcomeKind, delay_ms: int) -> None:
    ending = settle(kind, cancel_requested=True, delay_ms=delay_ms, reason="words")
    completed = kind is K.COMPLETE
    assert ending.move.target is (S.COMPLETED if completed else S.CANCELLED)
    assert ending.failures == 0
    assert ending.reason == ("words" if kind is K.CANCEL else None)


@pytest.mark.parametrize("kind", [K.FAIL, K.RETRY_LATER, K.CANCEL, K.RELEASE])
def test_an_outcome_tells_its_reason(kind: OutcomeKind) -> None:
    assert settle(kind, cancel_requested=False, reason="words").reason == "words"


@pytest.mark.parametrize("max_deliveries", range(1, 5))
@pytest.mark.parametrize("rescues", range(5))
@pytest.mark.parametrize("cancel_requested", [False, True])
def test_a_rescued_job_runs_again_until_it_has_had_its_deliveries(
    cancel_requested: bool, rescues: int, max_deliveries: int
) -> None:
    ending = rescue(
        cancel_requested=cancel_requested,
        rescues=rescues,
        max_deliveries=max_deliveries,
        worker_id="w7",
    )
    last = rescues + 1 >= max_deliveries
    assert ending.move.target is (
        S.CANCELLED if cancel_requested else S.FAILED if last else S.QUEUED
    )
    assert (ending.failures, ending.rescues, ending.delay_ms) == (0, 1, 0)
    if ending.move.target is S.FAILED:
        assert ending.reason == Reason.MAX_DELIVERIES
        assert ending.error is not None
        assert ending.error.message == (
            f"the worker was lost {rescues + 1} times while running this job, last w7"
        )
    else:
        assert (ending.reason, ending.error) == (None, None)
