"""What the history tells of jobs, with the queue's word where it is newer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import insert

from conduit.core.api_requests import BOUNDS_MS
from conduit.core.model import JobError, JobStatus
from conduit.queue.base import Queue
from conduit.server.db import tables
from conduit.server.db.apis import MINUTE_MS
from conduit.server.db.database import Database
from conduit.server.ingest.apply import wall_clock
from conduit.server.models.fields import iso
from tests.cli.stock import fill
from tests.server.db.jobs import a_job
from tests.server.db.jobs import insert as insert_jobs
from tests.server.http.conftest import Serve, client_of


@pytest.fixture
async def told(serve: Serve, history_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server whose history knows some jobs that the queue has forgotten."""
    error = msgspec.json.encode(
        JobError(type="E", message="bad", traceback="Traceback …", qualified_name="shop.E")
    )
    now = wall_clock()  # what was applied long ago is compared with the queue, and found lost
    async with Database(history_url) as database:
        await insert_jobs(
            database,
            a_job("a", submitted_at=1000, status=JobStatus.RUNNING, worker_id="w1",
                  applied_at=now),
            a_job("b", submitted_at=2000, status=JobStatus.FAILED, worker_id="w2",
                  args='{"n":1e400,"s":"é"}', error=error.decode(), reason="error"),
            a_job("c", submitted_at=3000, function="thumbnail", queue="slow", key="k",
                  applied_at=now),
            a_job("d", submitted_at=4000, status=JobStatus.COMPLETED, parent_id="a", root_id="a",
                  after=("c",)),
        )  # fmt: skip
        async with database.begin() as connection:
            await connection.execute(
                insert(tables.attempts),
                [{"job_id": "b", "fence": n, "generation": 1, "attempt": n, "worker_id": "w2",
                  "claimed_at": n, "started_at": n, "ended_at": n + 1,
                  "outcome": "failed", "reason": None,
                  "error": error.decode()} for n in (1, 2)],
            )  # fmt: skip
            await connection.execute(
                insert(tables.logs),
                [{"job_id": "b", "number": n, "at": n, "attempt": 1, "level": "info",
                  "logger": "shop", "message": f"line {n}"} for n in range(1, 6)],
            )  # fmt: skip
    async with client_of(await serve(database_url=history_url)) as client:
        yield client


async def ids(client: httpx.AsyncClient, query: str) -> str:
    answer = await client.get(f"/jobs?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == len(answer.json()["items"])
    return "".join(job["id"] for job in answer.json()["items"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "dcba"),
        ("sort=submitted_at", "abcd"),
        ("status=running", "a"),
        ("status=running&status=failed", "ba"),
        ("worker_id=w1", "a"),
        ("worker_id=w1&worker_id=w2", "ba"),
        ("function=thumbnail", "c"),
        ("queue=slow&status=queued", "c"),
        ("key=k", "c"),
        ("parent_id=a", "d"),
        ("root_id=a", "d"),
        ("q=THUMB", "c"),
        ("submitted_after=000000002000&submitted_before=1970-01-01T00:00:03.000Z", "b"),
        ("submitted_after=1970-01-01T01:00:03%2B01:00", "dc"),
    ],
)
async def test_the_list_is_filtered_and_counted_exactly(
    told: httpx.AsyncClient, query: str, expected: str
) -> None:
    assert await ids(told, query) == expected


async def test_pages_follow_each_other_by_cursor_or_by_offset(told: httpx.AsyncClient) -> None:
    first = (await told.get("/jobs?limit=3")).json()
    assert ([job["id"] for job in first["items"]], first["total"]) == (["d", "c", "b"], 4)
    rest = (await told.get("/jobs", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert ([job["id"] for job in rest["items"]], rest["next_cursor"]) == (["a"], None)
    shifted = (await told.get("/jobs?limit=2&offset=1")).json()
    assert [job["id"] for job in shifted["items"]] == ["c", "b"]
    assert (shifted["limit"], shifted["offset"], shifted["total"]) == (2, 1, 4)


async def test_words_of_sql_are_only_words(told: httpx.AsyncClient) -> None:
    words = ("'; DROP TABLE jobs; --", "%' OR '1'='1", "x' UNION SELECT 1 --", "$1 :q ? %s")
    for field in ("q", "key", "function", "queue", "worker_id", "root_id"):
        for each in words:
            answer = await told.get("/jobs", params={field: each})
            assert (answer.status_code, answer.json()["total"]) == (200, 0)
    assert (await told.get("/jobs/x' OR '1'='1")).status_code == 404
    assert await ids(told, "") == "dcba"


async def test_broken_utf_8_is_no_fault_of_the_server(told: httpx.AsyncClient) -> None:
    for path in ("/jobs?q=%ff%fe", "/jobs?key=%c3%28", "/jobs/%ff", "/jobs?%ff=1"):
        assert (await told.get(path)).status_code in (200, 404, 422)
    assert await ids(told, "") == "dcba"


@pytest.mark.parametrize(
    "query",
    [
        "status=done", "limit=0", "limit=501", "limit=1000000000", "limit=many",
        "offset=-1", "offset=x", "cursor=nonsense",
        "sort=colour", "submitted_after=yesterday",
        "submitted_after=20261125", "submitted_after=2026", "submitted_after=-1",
        "submitted_before=99999999999999999999", "q=", "q=%00", "key=a%00b", "worker_id=%00",
    ],
)  # fmt: skip
async def test_a_question_that_means_nothing_is_refused_by_name(
    told: httpx.AsyncClient, query: str
) -> None:
    answer = await told.get(f"/jobs?{query}")
    assert answer.status_code == 422
    name = query.partition("=")[0]
    assert answer.json()["errors"][0]["where"].startswith(f"query.{name}")


async def test_a_job_is_told_in_full_and_its_json_is_as_it_was(told: httpx.AsyncClient) -> None:
    answer = await told.get("/jobs/b")

    assert '"args":{"n":1e400,"s":"é"}' in answer.text
    assert answer.json()["error"]["traceback"] == "Traceback …"
    assert answer.json()["submitted_at"] == "1970-01-01T00:00:02.000Z"
    listed = (await told.get("/jobs?status=failed")).json()["items"][0]
    named = {"type": "E", "qualified_name": "shop.E"}
    assert listed["error"] == named | {"message": "bad", "traceback": None}


async def test_attempts_logs_and_relatives_are_told(told: httpx.AsyncClient) -> None:
    attempts = (await told.get("/jobs/b/attempts")).json()["items"]
    assert [(each["number"], each["outcome"]) for each in attempts] == [
        (1, "failed"),
        (2, "failed"),
    ]
    logs = (await told.get("/jobs/b/logs?after=1&limit=2")).json()
    assert [line["message"] for line in logs["items"]] == ["line 2", "line 3"]
    assert logs["next_after"] == 3
    assert (await told.get("/jobs/b/logs?after=3")).json()["next_after"] is None
    tree = (await told.get("/jobs/d/tree")).json()
    assert (tree["root_id"], [job["id"] for job in tree["items"]]) == ("a", ["a", "d"])
    graph = (await told.get("/jobs/d/graph")).json()
    assert [(node["id"], node["status"]) for node in graph["nodes"]] == [
        ("d", "completed"),
        ("c", "queued"),
        ("a", "running"),
    ]
    assert graph["nodes"][2]["submitted_at"] == "1970-01-01T00:00:01.000Z"
    assert graph["edges"] == [
        {"source": "a", "target": "d", "kind": "child"},
        {"source": "c", "target": "d", "kind": "after"},
    ]
    assert not graph["truncated"]
    assert (await told.get("/jobs/d")).json()["after"] == ["c"]


@pytest.mark.parametrize(
    "part", ["", "/attempts", "/logs", "/tree", "/graph", "/artifacts", "/artifacts/x"]
)
async def test_of_a_job_that_never_was_nothing_is_found(told: httpx.AsyncClient, part: str) -> None:
    for job_id in ("nothing", "x" * 500, "%F0%9F%98%80"):
        answer = await told.get(f"/jobs/{job_id}{part}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("job_id", ["%00", "a%0Ab", "x" * 501])
async def test_what_cannot_be_an_id_is_refused(told: httpx.AsyncClient, job_id: str) -> None:
    for part in ("", "/logs", "/tree", "/graph"):
        assert (await told.get(f"/jobs/{job_id}{part}")).status_code == 422


async def test_a_job_that_the_history_does_not_have_yet_is_told_by_the_queue(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    await fill(queue)
    job: dict[str, Any] = (await api.get("/jobs/completed")).json()
    assert (job["status"], job["result"]) == ("completed", {"paid": 100})
    assert "token" not in job
    alone = (await api.get("/jobs/queued/graph")).json()
    assert ([node["id"] for node in alone["nodes"]], alone["edges"]) == (["queued"], [])
    await api.post("/jobs/queued/cancel")
    assert (await api.get("/jobs/queued")).json()["status"] == "cancelled"


async def test_an_artifact_is_a_download_and_never_a_page(
    api: httpx.AsyncClient, queue: Queue
) -> None:
    await fill(queue)
    answer = await api.get("/jobs/completed/artifacts/receipt.txt")
    assert answer.content == b"paid"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (await api.get("/jobs/completed/artifacts/..%2f..%2fetc%2fpasswd")).status_code == 404


async def test_statistics_count_what_happened(told: httpx.AsyncClient) -> None:
    window = "after=000000000000&before=000000005000"
    stats = (await told.get(f"/stats?{window}")).json()
    assert stats["submitted"] == 4
    assert stats["statuses"]["running"] == 1
    trends = (await told.get(f"/trends?{window}&bucket=1")).json()
    assert [bucket["submitted"] for bucket in trends["items"]] == [0, 1, 1, 1, 1]
    activity = (await told.get(f"/activity?{window}&bucket=1&by=queue")).json()
    assert activity["bucket_ms"] == 1000
    for series in activity["items"].values():
        assert [len(counts) for counts in series.values()] == [5, 5, 5]


@pytest.mark.parametrize(
    "query",
    [
        "after=000000000005&before=000000000005",
        "bucket=0",
        "after=000000000000&bucket=1",
        "before=x",
        "bucket=999999999999",
    ],
)
async def test_statistics_of_no_time_are_refused(told: httpx.AsyncClient, query: str) -> None:
    for path in ("/trends", "/activity"):
        assert (await told.get(f"{path}?{query}")).status_code == 422


async def ask_apis(history_url: str) -> int:
    """Have requests in the history, and the midnight in whose first minutes they were."""
    day = 24 * 60 * MINUTE_MS
    start = wall_clock() // day * day - day  # not yet old enough to be removed
    async with Database(history_url) as database, database.begin() as connection:
        await connection.execute(
            insert(tables.api_requests),
            [{"api": "shop", "method": "GET", "route": route, "status": status,
              "minute": start + minute * MINUTE_MS,
              "count": 2, "total_ms": 10.0, "buckets": "[0,0,2]"}
             for route, status, minute in (("/o", 200, 1), ("/o", 204, 2), ("/o", 500, 1),
                                           ("/p", 200, 1), ("/p", 200, 9))],
        )  # fmt: skip
    return start


async def test_apis_are_shown_with_rates_statuses_and_percentiles(
    told: httpx.AsyncClient, history_url: str
) -> None:
    start = await ask_apis(history_url)
    # The minute in which `after` lies counts in whole.
    query = f"after={iso(start + 90_000)}&before={iso(start + 3 * MINUTE_MS)}"
    (shop,) = (await told.get(f"/apis?{query}")).json()["items"]
    assert (shop["name"], shop["requests"], shop["errors"], shop["mean_ms"]) == ("shop", 8, 2, 5.0)
    assert shop["statuses"] == {"2xx": 6, "5xx": 2}
    assert shop["per_second"] == pytest.approx(8 / 120)
    assert shop["last_minute"] == iso(start + 2 * MINUTE_MS)
    low, high = BOUNDS_MS[1:3]
    for name, quantile in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert shop["latency_ms"][name] == pytest.approx(low + (high - low) * quantile)
    assert shop["latency_ms"]["of"] == 8

    detail = (await told.get(f"/apis/shop?{query}")).json()
    assert [
        (each["method"], each["route"], each["statuses"], each["errors"], each["latency_ms"]["of"])
        for each in detail["routes"]
    ] == [("GET", "/o", {"200": 2, "204": 2, "500": 2}, 2, 6), ("GET", "/p", {"200": 2}, 0, 2)]
    assert (await told.get("/apis")).json()["items"] == []
    assert (await told.get("/apis/nothing")).status_code == 404


async def test_an_api_is_shown_over_time_also_where_nobody_asked(
    told: httpx.AsyncClient, history_url: str
) -> None:
    start = await ask_apis(history_url)
    query = f"after={iso(start)}&before={iso(start + 15 * MINUTE_MS)}"
    shop = (await told.get(f"/apis/shop?{query}&bucket=300")).json()
    assert shop["bucket_ms"] == 5 * MINUTE_MS
    assert [
        (each["at"], each["requests"], each["errors"], each["statuses"], each["latency_ms"]["of"])
        for each in shop["items"]
    ] == [
        (iso(start), 8, 2, {"2xx": 6, "5xx": 2}, 8),
        (iso(start + 5 * MINUTE_MS), 2, 0, {"2xx": 2}, 2),
        (iso(start + 10 * MINUTE_MS), 0, 0, {}, 0),
    ]
    assert shop["items"][2]["latency_ms"]["p50"] is None

    # Where nothing is said of it, no bucket is shorter than what requests are counted by.
    shop = (await told.get(f"/apis/shop?{query}")).json()
    assert (shop["bucket_ms"], len(shop["items"])) == (MINUTE_MS, 15)
    assert (await told.get(f"/apis/shop?{query}&bucket=90")).status_code == 422


@pytest.mark.parametrize("words", ["\u202f", "a\tb", "\u200d", "\ue000"])
async def test_any_text_that_can_be_stored_can_be_looked_for(
    api: httpx.AsyncClient, words: str
) -> None:
    assert (await api.get("/jobs", params={"q": words})).status_code == 200
    assert (await api.get("/jobs", params={"q": f"{words}\x00"})).status_code == 422


async def test_a_parameter_that_is_none_is_refused_by_name(api: httpx.AsyncClient) -> None:
    answer = await api.get("/jobs?stat=failed")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "query.stat"


async def test_head_answers_as_get_without_a_body(api: httpx.AsyncClient) -> None:
    for path, status in (("/jobs", 200), ("/jobs/nothing", 404), ("/jobs?stat=failed", 422)):
        answer = await api.head(path)
        assert (answer.status_code, answer.content) == (status, b"")
