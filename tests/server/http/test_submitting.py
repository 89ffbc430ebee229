"""Jobs by function name, events, and schedules out of turn."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from enum import Enum
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import structs

from conduit.core.codec import Signature
from conduit.core.errors import ConfigurationError
from conduit.core.model import FunctionInfo, Job, JobStatus, ParameterInfo, WorkerInfo
from conduit.queue.base import JobFilter, Queue, Registration
from tests.cli.stock import register, registration, skip
from tests.server.http.conftest import Serve, client_of


@pytest.fixture(autouse=True)
async def functions(queue: Queue) -> None:
    await register(queue)


async def job_of(queue: Queue, answer: httpx.Response) -> Job:
    (job,) = await queue.get([answer.json()["job_id"]])
    assert job is not None
    return job


async def test_a_job_is_submitted_by_its_functions_name_with_its_defaults(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    wanted = {"function": "charge", "args": ["o1"], "kwargs": {"cents": 5}}
    answer = await api.post("/jobs", json=wanted)

    assert answer.status_code == 201
    job = await job_of(queue, answer)
    assert (job.function, job.queue, job.priority) == ("charge", "default", 7)
    assert msgspec.json.decode(job.args) == {"order_id": "o1", "cents": 5}
    assert answer.headers["location"] == f"/api/v1/jobs/{job.id}"
    assert (await api.get(answer.headers["location"].removeprefix("/api/v1"))).json()["args"] == {
        "order_id": "o1",
        "cents": 5,
    }


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


async def test_arguments_go_by_position_past_a_default_that_is_no_literal(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    def paint(wall: str, colour: Colour = Colour.RED, *, since: object = ...) -> None: ...

    worker = registration("painters", "painters-1", "paint")
    signature = Signature.of(paint, name="paint")
    told = structs.replace(
        worker.functions[0], signature=str(signature), parameters=signature.parameters()
    )
    await queue.register(structs.replace(worker, functions=(told,)))

    answer = await api.post("/jobs", json={"function": "paint", "args": ["north", "blue"]})
    assert answer.status_code == 201
    assert (await job_of(queue, answer)).args == b'{"wall":"north","colour":"blue"}'
    wrong = await api.post("/jobs", json={"function": "paint", "args": ["north", "pink"]})
    assert wrong.status_code == 422
    assert "expected Colour, got 'pink'" in wrong.json()["detail"]


async def test_options_are_those_of_the_job(api: httpx.AsyncClient, queue: Queue) -> None:
    options = {
        "queue": "mail", "delay": 60, "priority": -3, "expires": 120.5, "timeout": 2,
        "retries": 4, "metadata": {"tenant": "a"}, "job_id": "mine-1",
        "headers": {"traceparent": "00-ab-cd-01"},
    }  # fmt: skip
    answer = await api.post("/jobs", json={"function": "report", **options})

    job = await job_of(queue, answer)
    assert job.id == "mine-1"
    assert job.status is JobStatus.SCHEDULED
    assert (job.queue, job.priority, job.timeout_ms, job.retries) == ("mail", -3, 2000, 4)
    assert job.run_at - job.submitted_at == 60_000
    assert job.expires_at == job.submitted_at + 120_500
    assert job.metadata == b'{"tenant":"a"}'
    assert job.headers == {"traceparent": "00-ab-cd-01"}


async def test_headers_that_are_too_large_are_the_callers_fault(api: httpx.AsyncClient) -> None:
    headers = {"baggage": "x" * 5000}
    answer = await api.post("/jobs", json={"function": "report", "headers": headers})
    assert answer.status_code == 422
    assert "its headers take 5,014 bytes as JSON" in answer.json()["detail"]


async def test_a_repeated_submit_with_the_same_id_is_accepted_once_and_another_job_is_a_conflict(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    wanted = {"function": "charge", "args": ["o1"], "job_id": "mine"}
    for _ in range(2):
        assert (await api.post("/jobs", json=wanted)).status_code == 201
    answer = await api.post("/jobs", json=wanted | {"args": ["o2"]})

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:conduit:submit-conflict")


async def test_a_key_that_is_held_answers_with_the_first_jobs_id(api: httpx.AsyncClient) -> None:
    wanted = {"function": "report", "key": "daily"}
    first, second = [await api.post("/jobs", json=wanted) for _ in range(2)]

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == {"job_id": first.json()["job_id"], "duplicate": True}


async def test_a_job_waits_for_others_and_tells_which(api: httpx.AsyncClient, queue: Queue) -> None:
    first, second = [
        (await api.post("/jobs", json={"function": "report"})).json()["job_id"] for _ in range(2)
    ]
    wanted = {"function": "report", "after": [first, second, first], "job_id": "last"}
    answer = await api.post("/jobs", json=wanted)

    assert answer.status_code == 201, answer.text
    job = await job_of(queue, answer)
    assert (job.status, job.after) == (JobStatus.BLOCKED, (first, second))
    assert (await api.get("/jobs/last")).json()["after"] == [first, second]
    depths = {each["name"]: each for each in (await api.get("/queues")).json()["items"]}
    assert (depths["default"]["queued"], depths["default"]["blocked"]) == (2, 1)


async def test_a_job_can_only_wait_for_what_is_there(api: httpx.AsyncClient) -> None:
    answer = await api.post("/jobs", json={"function": "report", "after": ["nowhere"]})

    assert (answer.status_code, answer.json()["type"]) == (422, "urn:conduit:dependency-not-found")
    (fault,) = answer.json()["errors"]
    assert fault["where"] == "body.after"
    assert "'nowhere'" in fault["message"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"function": "chrage"}, "did you mean 'charge'"),
        ({"function": "charge"}, "missing argument 'order_id'"),
        ({"function": "charge", "args": [1]}, "'order_id' .*expected str"),
        ({"function": "charge", "kwargs": {"order_id": "a", "colour": 1}}, "'colour'"),
        ({"function": "report", "priority": 101}, "priority"),
        ({"function": "report", "delay": -1}, "delay"),
        ({"function": "report", "delay": 1, "at": "2030-01-01T00:00:00Z"}, "body.at"),
        ({"function": "report", "at": "2030-01-01T00:00:00"}, "at"),
        ({"function": "report", "queue": "a\n"}, "body.queue"),
        ({"function": "report", "colour": "red"}, "colour"),
        ({"function": "report", "retries": 10**400}, "."),
        ({"function": "report", "after": "a"}, "after"),
        ({"function": "report", "after": [1]}, "after"),
        ({"function": "report", "after": ["a"] * 1001}, "after"),
        ({"function": "report", "after": ["nowhere"]}, "'nowhere'"),
        ({"args": []}, "function"),
        ([], "."),
    ],
)
async def test_what_cannot_be_submitted_is_refused_by_name(
    api: httpx.AsyncClient, queue: Queue, wanted: Any, words: str
) -> None:
    answer = await api.post("/jobs", json=wanted)

    assert answer.status_code in (400, 422)
    assert re.search(words, answer.json()["detail"])


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"function": "report", "args": [NaN]}', "application/json", 400),
        (b'{"function": "report", "kwargs": {"a": "\\ud800"}}', "application/json", 400),
        (b'{"function": "\\u0000"}', "application/json", 422),
        (b'{"function": "report", "args": ' + b"[" * 100_000, "application/json", 400),
        (b"function=report", "application/x-www-form-urlencoded", 415),
        (b'{"function": "report"}', "text/plain", 415),
        (b" " * (5 * 1024 * 1024), "application/json", 413),
        (b"", "application/json", 400),
    ],
)
async def test_a_body_that_is_not_a_request_is_refused(
    api: httpx.AsyncClient, body: bytes, kind: str, status: int
) -> None:
    answer = await api.post("/jobs", content=body, headers={"content-type": kind})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_too_large_arguments_are_refused(api: httpx.AsyncClient) -> None:
    wanted = {"function": "charge", "args": ["x" * (1024 * 1024 + 1)]}
    assert (await api.post("/jobs", json=wanted)).status_code == 413


async def test_a_body_that_comes_in_pieces_is_bounded_too(api: httpx.AsyncClient) -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 100_000

    answer = await api.post("/jobs", content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


# --- events and schedules --------------------------------------------------------------------


async def test_an_event_becomes_a_job_of_each_handler(api: httpx.AsyncClient, queue: Queue) -> None:
    await queue.register(
        Registration(
            worker=WorkerInfo(
                id="m", name="mail", host="", pid=1, version="", queues=("mail",), concurrency=1
            ),
            functions=tuple(
                FunctionInfo(
                    name=name, worker="mail", queue="mail", event=pattern,
                    signature=f"{name}(order_id: str)",
                    parameters=(ParameterInfo(name="order_id", required=True),),
                )
                for name, pattern in (("thank", "order.placed"), ("log", "order.**"), ("x", "y"))
            ),
        )
    )  # fmt: skip

    answer = await api.post("/events/order.placed", json={"arguments": {"order_id": "o1"}})

    assert answer.status_code == 201
    jobs = await queue.get([each["job_id"] for each in answer.json()["jobs"]])
    assert sorted(job.function for job in jobs if job) == ["log", "thank"]
    assert {(job.queue, job.args, job.metadata) for job in jobs if job} == {
        ("mail", b'{"order_id":"o1"}', b'{"event":"order.placed"}')
    }
    listed = (await api.get("/events")).json()["items"]
    assert {each["pattern"] for each in listed} == {"order.placed", "order.**", "y"}
    assert (await api.post("/events/order.placed", json={"arguments": {}})).status_code == 422


async def test_an_event_that_nobody_handles_becomes_no_job(api: httpx.AsyncClient) -> None:
    answer = await api.post("/events/nobody.cares")
    assert (answer.status_code, answer.json()) == (201, {"jobs": []})


@pytest.mark.parametrize("name", ["order.*", "a..b", "ä"])
async def test_what_cannot_be_published_is_refused(api: httpx.AsyncClient, name: str) -> None:
    assert (await api.post(f"/events/{name}")).status_code == 422


async def test_a_paused_function_that_no_worker_has_is_listed_and_can_be_resumed(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    await queue.pause_function("forgotten")
    (listed,) = [each for each in (await api.get("/functions")).json()["items"] if each["paused"]]
    assert (listed["name"], listed["worker"]) == ("forgotten", "")
    shown = (await api.get("/functions/forgotten")).json()
    assert shown == listed | {"stale": False, "at": shown["at"]}
    answer = await api.post("/jobs", json={"function": "forgotten"})
    assert answer.json()["type"] == "urn:conduit:unknown-function"
    resumed = await api.post("/functions/forgotten/resume")
    assert resumed.json() == listed | {"paused": False}
    assert await queue.paused_functions() == []
    assert (await api.post("/functions/forgotten/resume")).status_code == 404


async def test_schedules_are_triggered_paused_and_resumed(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    answer = await api.post("/crons/daily/trigger")
    assert answer.status_code == 201
    assert (await job_of(queue, answer)).function == "report"

    paused = (await api.post("/crons/daily/pause")).json()
    assert (paused["paused"], paused["next_tick"]) == (True, None)
    resumed = (await api.post("/crons/daily/resume")).json()
    assert resumed["paused"] is False
    assert resumed["next_tick"] is not None
    assert [each["name"] for each in (await api.get("/crons")).json()["items"]] == [
        "daily",
        "often",
    ]


async def test_schedules_say_what_they_skip_and_that_nobody_runs_them(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    await skip(queue)
    often = (await api.get("/crons")).json()["items"][1]
    assert (often["last_job"], often["skipped"], often["overlap"]) == ("tick-1", 2, "skip")
    assert often["alive"]
    assert often["next_tick"] is not None
    await queue.unregister("orders-1")
    often = (await api.get("/crons")).json()["items"][1]
    assert (often["alive"], often["next_tick"]) == (False, None)


@pytest.mark.parametrize("verb", ["trigger", "pause", "resume"])
async def test_a_schedule_that_is_not_there_is_not_found(api: httpx.AsyncClient, verb: str) -> None:
    assert (await api.post(f"/crons/nothing/{verb}")).status_code == 404


async def test_queues_are_paused_and_resumed(api: httpx.AsyncClient, queue: Queue) -> None:
    assert (await api.post("/queues/mail/pause")).json()["paused"] is True
    assert [info.name for info in await queue.queues() if info.paused] == ["mail"]
    assert (await api.post("/queues/mail/resume")).json()["paused"] is False


async def test_functions_are_paused_and_resumed(api: httpx.AsyncClient, queue: Queue) -> None:
    answer = await api.post("/functions/charge/pause")
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["paused"]) == ("charge", True)
    assert (await api.post("/functions/charge/pause")).json()["paused"] is True
    listed = (await api.get("/functions")).json()["items"]
    assert [each["name"] for each in listed if each["paused"]] == ["charge"]
    assert (await api.get("/functions/charge")).json()["paused"] is True
    assert [info.name for info in await queue.functions() if info.paused] == ["charge"]

    resumed = await api.post("/functions/charge/resume")
    assert (resumed.status_code, resumed.json()["paused"]) == (200, False)
    assert not [info for info in await queue.functions() if info.paused]


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_function_that_is_not_there_is_not_found(
    api: httpx.AsyncClient, queue: Queue, verb: str
) -> None:
    assert (await api.post(f"/functions/chrage/{verb}")).status_code == 404
    await queue.register(registration("later", "later-1", "chrage"))
    assert (await api.get("/functions/chrage")).json()["paused"] is False


async def test_functions_and_workers_are_listed_and_shown(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/functions")).json()
    assert [each["name"] for each in listed["items"]] == ["charge", "report", "zip_up"]
    assert listed["stale"] is False
    charge = (await api.get("/functions/charge")).json()
    assert charge["signature"].startswith("charge(order_id: str")
    order_id, cents = charge["parameters"]
    assert "default" not in order_id
    assert cents == {
        "name": "cents",
        "kind": "positional_or_keyword",
        "required": False,
        "annotation": "int",
        "schema": {"type": "integer"},
        "default": 100,
    }
    assert (await api.get("/functions/nothing")).status_code == 404

    (worker,) = (await api.get("/workers")).json()["items"]
    shown = (await api.get(f"/workers/{worker['id']}")).json()
    assert shown == worker | {"stale": False, "at": shown["at"]}
    assert (await api.get("/workers/nothing")).status_code == 404


async def test_a_worker_that_has_gone_is_told_of_until_it_comes_back(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    second = registration("later", "later-1", "tidy_up")
    await queue.register(second)
    listed = (await api.get("/workers")).json()
    assert (len(listed["items"]), listed["gone"]) == (2, [])

    await queue.unregister("later-1")
    listed = (await api.get("/workers")).json()
    assert [worker["id"] for worker in listed["gone"]] == ["later-1"]
    assert "later-1" not in {worker["id"] for worker in listed["items"]}
    assert listed["gone"][0]["gone_at"] >= listed["gone"][0]["started_at"]
    assert (await api.get("/workers")).json()["gone"] == listed["gone"]

    await queue.register(second)
    listed = (await api.get("/workers")).json()
    assert (len(listed["items"]), listed["gone"]) == (2, [])


async def test_an_id_with_a_line_feed_at_its_end_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.post("/jobs", json={"function": "charge", "job_id": "mine\n"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "body.job_id"


# --- middleware of the settings --------------------------------------------------------------

MIDDLEWARE = """
from conduit import SubmitRefusedError

async def marks(submission, call_next):
    for job in submission.jobs:
        if job.priority < 0:
            raise SubmitRefusedError("nothing is that unimportant")
        if job.priority > 50:
            raise TimeoutError
        job.metadata["from"] = submission.origin
        if job.priority == 50:
            job.arguments["cents"] = "many"
    await call_next()
"""


@pytest.fixture
async def marking(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    module = f"of_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(MIDDLEWARE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CONDUIT_SUBMIT_MIDDLEWARE", f"{module}:marks")
    async with client_of(await serve()) as client:
        yield client


async def test_submits_events_and_triggers_pass_the_middleware(
    marking: httpx.AsyncClient, queue: Queue
) -> None:
    await queue.register(
        structs.replace(
            registration("mailer", "mailer-1", "mail"),
            functions=(FunctionInfo(name="mail", worker="mailer", event="order.*"),),
        )
    )
    answers = [
        await marking.post("/jobs", json={"function": "charge", "args": ["o1"]}),
        await marking.post("/crons/daily/trigger"),
        await marking.post("/events/order.placed", json={"arguments": {}}),
    ]
    assert [each.status_code for each in answers] == [201, 201, 201], [a.text for a in answers]
    ids = [each.json()["job_id"] for each in answers[:2]]
    ids.append(answers[2].json()["jobs"][0]["job_id"])
    kept = [job for job in await queue.get(ids) if job is not None]
    assert [msgspec.json.decode(job.metadata) for job in kept] == [
        {"from": "http"},
        {"from": "http"},
        {"event": "order.placed", "from": "http"},
    ]


@pytest.mark.parametrize(
    ("priority", "status", "kind"),
    [(-1, 422, "submit-refused"), (50, 422, "invalid"), (99, 500, "internal")],
)
async def test_what_a_middleware_refuses_is_not_kept_and_no_fault_of_the_queue(
    marking: httpx.AsyncClient, queue: Queue, priority: int, status: int, kind: str
) -> None:
    wanted = {"function": "charge", "args": ["o1"], "priority": priority}
    answer = await marking.post("/jobs", json=wanted)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:conduit:{kind}")
    assert (await queue.find(JobFilter())).total == 0
    assert (await marking.get("/health")).status_code == 200
    assert (await marking.post("/jobs", json=wanted | {"priority": 1})).status_code == 201


async def test_a_server_whose_middleware_is_not_there_does_not_start(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUIT_SUBMIT_MIDDLEWARE", "nowhere:f")
    with pytest.raises(ConfigurationError, match="no module 'nowhere'"):
        await serve()
