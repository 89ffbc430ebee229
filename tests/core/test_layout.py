"""A job's layout: what stores rely on for good."""

from __future__ import annotations

import pytest

from conduit.core.events import KIND_NUMBERS, EventKind, Submission
from conduit.core.layout import fields_of
from conduit.core.model import Job, Terms
from conduit.queue.redis import layout
from conduit.queue.redis.scripts import script
from conduit.queue.sqlite.rows import DEFINITIONS


def test_the_kinds_of_events_keep_their_numbers() -> None:
    assert {kind.value: number for kind, number in KIND_NUMBERS.items()} == {
        "job.submitted": 1,
        "job.queued": 2,
        "job.started": 3,
        "job.progress": 4,
        "job.metadata": 5,
        "job.checkpoint": 6,
        "job.log": 7,
        "job.artifact": 8,
        "job.retrying": 9,
        "job.released": 10,
        "job.rescued": 11,
        "job.completed": 12,
        "job.failed": 13,
        "job.cancel_requested": 14,
        "job.cancelled": 15,
        "job.requeued": 16,
        "job.deleted": 17,
        "job.unblocked": 18,
        "job.begun": 19,
    }
    assert KIND_NUMBERS.keys() == set(EventKind)


def test_every_field_of_a_job_says_where_it_is_kept() -> None:
    assert [line.name for line in fields_of(Job) if line.room is None] == []


def test_a_default_of_the_terms_is_nothing_so_that_no_stored_job_depends_on_one() -> None:
    defaults = [line.default for line in fields_of(Terms) if not line.required]
    assert all(default in (None, (), {}) for default in defaults)
    assert set(Terms.__struct_fields__) <= set(Submission.__struct_fields__)


def test_each_store_has_a_place_for_each_field() -> None:
    """Beside those that Redis keeps in the blob's head and in keys of their own."""
    in_redis = {line.name for line in (*layout.TERMS, *layout.STATE)}
    apart = {"id", "args", "submitted_at", "function", "queue", "priority"}
    noted = {"metadata", "checkpoint", "steps"}
    assert set(Job.__struct_fields__) == (in_redis & set(Job.__struct_fields__)) | apart | noted
    columns = {definition.split()[0] for definition in DEFINITIONS.split(",\n")}
    assert columns == set(Job.__struct_fields__)


def test_a_script_that_names_what_nobody_knows_is_refused() -> None:
    assert layout.inlined("x[JOB.id], E.SUBMITTED, S.QUEUED") == "x[1], 1, 'q'"
    with pytest.raises(KeyError, match="nonsense"):
        layout.inlined("job[JOB.nonsense]")


def test_scripts_name_places_and_letters() -> None:
    for name in ("claim", "finish", "submit", "record", "tick", "extend", "sweep", "retry"):
        assert layout.inlined(script(name, flags=True).text) == script(name, flags=True).text
