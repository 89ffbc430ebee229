"""Which jobs are submitted, drawn from a seed; and how each kind of them may end."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from conduit.core.model import JobStatus, Reason
from tests.faults.lab.service import LEASE_MS, MOST_BYTES

DUE = "LAB_DUE"
"""Names the variable with the moment of `due_together`, in seconds since the epoch."""
KEYS = 5
"""So few keys that they are fought for."""
WAITING = 0.2
"""So many of all jobs wait for others."""
IMPOLITE_EVERY = 5
NEAR = 6
"""They wait for some of so many before them: most of these haven't ended yet."""

Ending = tuple[JobStatus, str | None]
"""A final status and its reason."""

_COMPLETED: Ending = (JobStatus.COMPLETED, None)
_ERROR: Ending = (JobStatus.FAILED, Reason.ERROR)
TIMEOUT: Ending = (JobStatus.FAILED, Reason.TIMEOUT)

ENDINGS: Mapping[str, Ending] = {
    "work": _COMPLETED,
    "block": _COMPLETED,
    "crunch": _COMPLETED,
    "recover": _COMPLETED,
    "saga": _COMPLETED,
    "keyed": _COMPLETED,
    "parent": _COMPLETED,
    "flood": _COMPLETED,
    "crunch_in_time": _COMPLETED,
    "end_a_child": _COMPLETED,
    "end_a_child_on_the_loop": _COMPLETED,
    "use_a_pool": _COMPLETED,
    "fork_and_exit": _COMPLETED,
    "fork_and_return": _COMPLETED,
    "hang_in_a_thread": TIMEOUT,
    "swallow_the_cancel": TIMEOUT,
    "come_after": _COMPLETED,
    "block_the_loop": _COMPLETED,
    "block_beyond_the_timeout": TIMEOUT,
    "close_stderr": _COMPLETED,
    "tick": _COMPLETED,
    "tick_or_skip": _COMPLETED,
    "slow_or_skip": _COMPLETED,
    "slow_in_turn": _COMPLETED,
    "rest": _COMPLETED,
    "steady": _COMPLETED,
    "visit_all": _COMPLETED,
    "visit_last": _COMPLETED,
    "fail": _ERROR,
    "give_up": (JobStatus.FAILED, Reason.FAIL),
    "hang": TIMEOUT,
    "poison": (JobStatus.FAILED, Reason.MAX_DELIVERIES),
}
"""How a job of each function ends, unless it is cancelled. `ending_of` knows the others."""

FAILURES: Mapping[str, int] = {
    "fail": 3,
    "give_up": 1,
    "hang": 2,
    "hang_in_a_thread": 1,
    "swallow_the_cancel": 1,
    "block_beyond_the_timeout": 1,
}
"""How many attempts fail of each job of these functions, in each of its generations."""


class Order(Struct, frozen=True, kw_only=True):
    """One submit: `options` are those of the handle.

    `after`: the labels of earlier orders of the same submitter, for whose jobs this one waits.
    `cancel_after_s`: cancel it so many seconds later. `retries`: retry it by hand once it failed.
    """

    label: str
    function: str
    arguments: dict[str, Any]
    options: dict[str, Any] = {}
    after: tuple[str, ...] = ()
    cancel_after_s: float | None = None
    retries: bool = False


Draw = Callable[[random.Random, str], Order]
"""Makes an order under a label."""


def orders(draw: Draw, seed: int, submitter: str) -> Iterator[Order]:
    """What one submitter submits, in its order and without end; the same for the same seed."""
    chance = random.Random(f"{seed}/{submitter}")
    return (draw(chance, f"{submitter}-{number}") for number in count())


def ending_of(function: str, arguments: Mapping[str, Any]) -> Ending:
    """How such a job ends, unless it is cancelled."""
    if function == "swell":
        fits = arguments["size"] <= MOST_BYTES
        return _COMPLETED if fits else (JobStatus.FAILED, Reason.BAD_RESULT)
    return ENDINGS[function]


# --- a bit of everything -------------------------------------------------------------------------


def mixed(chance: random.Random, label: str) -> Order:
    """Every kind of job, and of each kind some that wait for one or two of any kind. One in ten
    takes longer than a lease: only then does a worker that comes back to life meet its successor.
    One in five is impolite, which those are goes by turns: a short run has all of them.
    """
    turn, is_polite = divmod(int(label.partition("-")[2]), IMPOLITE_EVERY)
    if is_polite:
        kind = chance.choices(list(_KINDS), [weight for weight, _ in _KINDS.values()])[0]
        order = _KINDS[kind][1](chance, label)
    else:
        order = _IMPOLITE[turn % len(_IMPOLITE)](chance, label)
    return replace(order, after=_before(chance, label)) if chance.random() < WAITING else order


def _before(chance: random.Random, label: str) -> tuple[str, ...]:
    submitter, _, number = label.partition("-")
    near = range(max(0, int(number) - NEAR), int(number))
    chosen = chance.sample(near, min(len(near), chance.randint(1, 2)))
    return tuple(f"{submitter}-{each}" for each in chosen)


def _plain(chance: random.Random, label: str) -> Order:
    return _order(label, "work", seconds=chance.uniform(0.001, 0.02))


def _longer(chance: random.Random, label: str) -> Order:
    return _order(label, "work", seconds=chance.uniform(0.2, 1.0))


def _longest(chance: random.Random, label: str) -> Order:
    # What runs in a thread can't be stopped when its worker learns that it lost the lease.
    function = chance.choice(("work", "block"))
    return _order(label, function, seconds=chance.uniform(1.0, 2.0) * LEASE_MS / 1000)


def _in_thread(chance: random.Random, label: str) -> Order:
    return _order(label, "block", seconds=chance.uniform(0.01, 0.3))


def _in_process(chance: random.Random, label: str) -> Order:
    seconds = chance.uniform(0.01, 0.1)
    return _order(label, "crunch", seconds=seconds)


def _failing(_: random.Random, label: str) -> Order:
    return _order(label, "fail")


def _recovering(chance: random.Random, label: str) -> Order:
    return _order(label, "recover", times=chance.randint(1, 3))


def _giving_up(chance: random.Random, label: str) -> Order:
    return Order(label=label, function="give_up", arguments={}, retries=chance.random() < 0.3)


def _hanging(_: random.Random, label: str) -> Order:
    return _order(label, "hang")


def _step_by_step(chance: random.Random, label: str) -> Order:
    return _order(label, "saga", steps=chance.randint(2, 6), seconds=chance.uniform(0.1, 2.5))


def _keyed(chance: random.Random, label: str) -> Order:
    key = f"key-{chance.randrange(KEYS)}"
    return Order(
        label=label,
        function="keyed",
        arguments={"seconds": chance.uniform(0.01, 0.5)},
        options={"key": key},
    )


def _delayed(chance: random.Random, label: str) -> Order:
    return Order(
        label=label,
        function="work",
        arguments={"seconds": 0.01},
        options={"delay": chance.uniform(0.1, 3.0)},
    )


def _cancelled_early(chance: random.Random, label: str) -> Order:
    return Order(
        label=label,
        function="work",
        arguments={"seconds": 0.01},
        options={"delay": chance.uniform(0.0, 2.0)},
        cancel_after_s=chance.uniform(0.0, 2.0),
    )


def _cancelled_late(chance: random.Random, label: str) -> Order:
    return Order(
        label=label,
        function="saga",
        arguments={"steps": 10, "seconds": 4.0},
        cancel_after_s=chance.uniform(0.2, 2.0),
    )


def _with_children(chance: random.Random, label: str) -> Order:
    return _order(label, "parent", children=chance.randint(1, 3))


def _swelling(chance: random.Random, label: str) -> Order:
    return _order(label, "swell", size=MOST_BYTES + chance.choice((-1, 0, 1)))


def _poisonous(_: random.Random, label: str) -> Order:
    return _order(label, "poison")


# Those of `impolite.py`.


def _flooding(chance: random.Random, label: str) -> Order:
    return _order(label, "flood", children=6, seconds=chance.uniform(0.5, 0.7))


def _of(function: str) -> Draw:
    return lambda _, label: _order(label, function)


def _cancelled(function: str) -> Draw:
    def draw(chance: random.Random, label: str) -> Order:
        # The timeout is for those whose cancel nobody lives to send.
        return Order(
            label=label,
            function=function,
            arguments={},
            options={"timeout": chance.uniform(3.0, 5.0)},
            cancel_after_s=chance.uniform(0.2, 1.0),
        )

    return draw


def _blocking(chance: random.Random, label: str) -> Order:
    return _order(label, "block_the_loop", seconds=chance.uniform(0.1, 1.5) * LEASE_MS / 1000)


def _order(label: str, function: str, **arguments: Any) -> Order:
    return Order(label=label, function=function, arguments=arguments)


_KINDS: Mapping[str, tuple[float, Draw]] = {
    "plain": (30, _plain),
    "longer": (9, _longer),
    "longest": (7, _longest),
    "in thread": (8, _in_thread),
    "in process": (3, _in_process),
    "failing": (4, _failing),
    "recovering": (5, _recovering),
    "giving up": (2, _giving_up),
    "hanging": (2, _hanging),
    "step by step": (7, _step_by_step),
    "keyed": (8, _keyed),
    "delayed": (5, _delayed),
    "cancelled early": (4, _cancelled_early),
    "cancelled late": (3, _cancelled_late),
    "with children": (3, _with_children),
    "swelling": (2, _swelling),
    "poisonous": (0.3, _poisonous),
}

_IMPOLITE: Sequence[Draw] = (
    _of("end_a_child"),
    _of("hang_in_a_thread"),
    _of("come_after"),
    _blocking,
    _flooding,
    _of("use_a_pool"),
    _cancelled("swallow_the_cancel"),
    _of("come_after"),
    _of("end_a_child_on_the_loop"),
    _of("block_beyond_the_timeout"),
    _of("fork_and_exit"),
    _of("swallow_the_cancel"),
    _of("come_after"),
    _of("fork_and_return"),
    _cancelled("hang_in_a_thread"),
    _of("close_stderr"),
)


# --- attempt after attempt -----------------------------------------------------------------------


def retried(chance: random.Random, label: str) -> Order:
    """Jobs of several attempts: only the event stream tells of those before the last."""
    return _failing(chance, label) if chance.random() < 0.3 else _recovering(chance, label)


# --- many, small ---------------------------------------------------------------------------------


def small(chance: random.Random, label: str) -> Order:
    """Jobs that take no time, of which some fail, some are retried, and some are cancelled."""
    drawn = chance.random()
    if drawn < 0.80:
        return _order(label, "work", seconds=0)
    if drawn < 0.85:
        return _failing(chance, label)
    if drawn < 0.92:
        return _recovering(chance, label)
    if drawn < 0.95:
        return _order(label, "give_up")
    return Order(
        label=label,
        function="work",
        arguments={"seconds": 0},
        options={"delay": chance.uniform(1.0, 3.0)},
        cancel_after_s=0.0,
    )


def due_together(_: random.Random, label: str) -> Order:
    """Jobs that are all due at the same moment."""
    at = datetime.fromtimestamp(float(os.environ[DUE]), UTC)
    return Order(label=label, function="work", arguments={"seconds": 0.1}, options={"at": at})
