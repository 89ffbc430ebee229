"""`conduit queues`, `functions`, `crons`, `workers`, `doctor`: how things stand, and switches."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from msgspec import structs

from conduit.core.model import NewJob, Standstill, StandstillWait
from conduit.queue.base import Claim, Queue
from tests.cli import stock
from tests.cli.conftest import Cli


@pytest.fixture
def stocked(cli: Cli) -> Cli:
    cli.with_queue(stock.fill)
    return cli


def test_queues_are_listed_paused_and_resumed(stocked: Cli) -> None:
    assert stocked("queues", "pause", "mail").stdout == "mail paused\n"
    listed = json.loads(stocked("queues", "list", "--json").stdout)
    assert [(each["name"], each["paused"]) for each in listed] == [
        ("default", False),
        ("mail", True),
    ]
    assert listed[0]["running"] == 1
    table = stocked("queues", "list").stdout.splitlines()
    assert table[2].split()[:3] == ["mail", "paused", "1"]
    assert stocked("queues", "resume", "mail").returncode == 0
    assert "paused" not in stocked("queues", "list").stdout
    unused = stocked("queues", "pause", "mial")
    assert unused.returncode == 0
    assert "no job or worker uses queue 'mial' yet; did you mean 'mail'?" in unused.stderr
    nameless = stocked("queues", "pause", "")
    assert nameless.returncode == 2
    assert "the queue's name='' must be text" in nameless.stderr


def test_functions_are_listed_paused_and_resumed(stocked: Cli) -> None:
    assert stocked("functions", "pause", "zip_up").stdout == "zip_up paused\n"
    listed = json.loads(stocked("functions", "list", "--json").stdout)
    assert [(each["name"], each["queue"], each["paused"]) for each in listed] == [
        ("charge", "default", False),
        ("report", "default", False),
        ("zip_up", "mail", True),
    ]
    table = stocked("functions", "list").stdout.splitlines()
    assert table[3].split()[:4] == ["zip_up", "paused", "mail", "orders"]
    checks = {each["name"]: each for each in json.loads(stocked("doctor", "--json").stdout)}
    assert checks["paused functions"]["detail"] == "zip_up: no job of it starts"
    assert stocked("functions", "resume", "zip_up").stdout == "zip_up resumed\n"
    assert "paused" not in stocked("functions", "list").stdout
    unknown = stocked("functions", "pause", "zip_pu")
    assert unknown.returncode == 0
    assert "registered function 'zip_pu' yet; did you mean 'zip_up'?" in unknown.stderr
    assert stocked("functions", "pause", "").returncode == 2

    listed = json.loads(stocked("functions", "list", "--json").stdout)
    assert [(each["name"], each["worker"]) for each in listed if each["paused"]] == [("zip_pu", "")]
    checks = {each["name"]: each for each in json.loads(stocked("doctor", "--json").stdout)}
    assert checks["paused functions"]["detail"] == "zip_pu: no job of it starts"
    resumed = stocked("functions", "resume", "zip_pu")
    assert (resumed.stdout, resumed.stderr) == ("zip_pu resumed\n", "")


def test_crons_show_their_next_tick_and_can_be_triggered_and_paused(stocked: Cli) -> None:
    daily, often = json.loads(stocked("crons", "list", "--json").stdout)
    assert (daily["schedule"], often["schedule"]) == ("0 9 * * *", "@every 90s")
    assert datetime.fromisoformat(daily["next_tick"]) > datetime.now(UTC)
    assert daily["next_tick"].endswith(":00:00.000Z")
    job_id = stocked("crons", "trigger", "daily").stdout.strip()
    job = json.loads(stocked("jobs", "show", job_id, "--json").stdout)
    assert (job["function"], job["status"]) == ("report", "queued")
    assert stocked("crons", "pause", "daily").returncode == 0
    assert json.loads(stocked("crons", "list", "--json").stdout)[0]["next_tick"] is None
    assert "paused" in stocked("crons", "list").stdout
    assert stocked("crons", "resume", "daily").returncode == 0
    unknown = stocked("crons", "trigger", "dayly")
    assert unknown.returncode == 2
    assert "did you mean 'daily'? known: daily, often" in unknown.stderr


def test_crons_show_what_became_of_their_last_tick_and_that_ticks_are_skipped(cli: Cli) -> None:
    cli.with_queue(stock.skip)
    daily, often = json.loads(cli("crons", "list", "--json").stdout)
    assert (daily["last_job"], daily["last_status"], daily["skipped"]) == (None, None, 0)
    assert (often["last_job"], often["last_status"], often["skipped"]) == ("tick-1", "queued", 2)
    assert "queued, 2 skipped since" in cli("crons", "list").stdout


def test_crons_that_no_worker_runs_say_so(cli: Cli) -> None:
    async def stop(queue: Queue) -> None:
        await stock.register(queue)
        await queue.unregister("orders-1")

    cli.with_queue(stop)
    listed = json.loads(cli("crons", "list", "--json").stdout)
    assert [(each["alive"], each["next_tick"]) for each in listed] == [(False, None)] * 2
    assert cli("crons", "list").stdout.count("no worker") == 2


def test_a_tick_that_waits_for_the_last_ones_job_is_shown_as_next(cli: Cli) -> None:
    async def wait(queue: Queue) -> None:
        await stock.skip(queue)
        (often,) = [info for info in await queue.crons() if info.name == "often"]
        waiting = structs.replace(often, schedule="@every 100ms", fingerprint="f2", overlap="queue")
        await queue.register(
            structs.replace(stock.registration("orders", "orders-2"), crons=(waiting,))
        )
        later = await queue.now() + 200
        while await queue.now() < later:
            pass

    cli.with_queue(wait)
    assert "waits" in cli("crons", "list").stdout


def test_workers_are_listed(stocked: Cli) -> None:
    (worker,) = json.loads(stocked("workers", "list", "--json").stdout)
    assert (worker["id"], worker["queues"]) == ("orders-1", ["default", "mail"])
    assert "here:1" in stocked("workers", "list").stdout


def test_doctor_says_what_is_well_and_what_is_not(stocked: Cli) -> None:
    stocked("queues", "pause", "mail")
    healthy = stocked("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(healthy.stdout)}
    assert healthy.returncode == 0
    assert checks["queue"]["detail"].startswith("sqlite ")
    assert checks["workers"]["detail"] == "1 running (orders), 3 functions"
    assert (checks["paused"]["verdict"], checks["disk"]["verdict"]) == ("warning", "ok")
    assert "longest-waiting" in checks["backlog"]["detail"]
    assert "queue" in stocked("doctor").stdout


async def _leave_jobs_without_a_worker(queue: Queue) -> None:
    """A worker of one function, and jobs that it can't be expected to run."""
    await queue.register(stock.registration("gone", "gone-1", "only_a"))
    await queue.unregister("gone-1")
    await queue.register(stock.registration("shop", "shop-1", "charge"))
    names = ("charge", "charge", "only_a", "never_told")
    await queue.submit([NewJob(id=f"{name}{n}", function=name) for n, name in enumerate(names)])
    claim = Claim(worker_id="gone-1", queues=("default",), functions=("charge",), limit=1)
    assert await queue.claim(claim)


def test_doctor_finds_jobs_that_no_running_worker_has(cli: Cli) -> None:
    cli.with_queue(_leave_jobs_without_a_worker)
    checks = json.loads(cli("doctor", "--json").stdout)
    warnings = [check for check in checks if check["verdict"] == "warning"]
    (abandoned,) = (each["detail"] for each in warnings if each["name"] == "abandoned")
    assert abandoned.startswith("1 job runs on a worker that was not heard of for a minute")
    assert [each["detail"] for each in warnings if each["name"] == "unserved"] == [
        "1 job of only_a, which no running worker has",
        "1 job of functions that no worker has registered",
    ]


def test_doctor_counts_functions_and_failed_jobs(stocked: Cli) -> None:
    checks = {check["name"]: check for check in json.loads(stocked("doctor", "--json").stdout)}
    assert checks["failed"]["verdict"] == "ok"
    assert checks["failed"]["detail"].startswith("1 job failed in the last day")
    assert not {"abandoned", "unserved"} & checks.keys()


def test_doctor_counts_one_function_as_one(cli: Cli) -> None:
    cli.with_queue(lambda queue: queue.register(stock.registration("shop", "shop-1", "charge")))
    checks = {check["name"]: check for check in json.loads(cli("doctor", "--json").stdout)}
    assert checks["workers"]["detail"] == "1 running (shop), 1 function"
    assert "failed" not in checks


def test_doctor_ends_with_4_without_a_queue_and_with_3_for_a_wrong_setting(cli: Cli) -> None:
    unmade = cli("doctor")
    assert unmade.returncode == 4
    assert "there is no queue at .conduit/queue.db yet" in unmade.stdout
    secret = cli("doctor", CONDUIT_QUEUE_URL="carrier://me:secret@pigeon")
    assert secret.returncode == 3
    assert "carrier://me:***@pigeon" in secret.stdout
    assert "secret" not in secret.stdout


@pytest.mark.parametrize("group", ["jobs", "queues", "functions", "crons", "workers"])
def test_looking_makes_no_queue(cli: Cli, group: str) -> None:
    looked = cli(group, "list")
    assert (looked.returncode, looked.stdout) == (4, "")
    assert "conduit run FILE" in looked.stderr
    assert not (cli.folder / ".conduit").exists()


def test_a_file_that_is_no_queue_ends_with_3(cli: Cli) -> None:
    cli.write("notes.txt", "not a database, but long enough to look like something else\n" * 20)
    refused = cli("jobs", "list", "--queue-url", "sqlite:///notes.txt")
    assert refused.returncode == 3
    assert "notes.txt" in refused.stderr


def test_doctor_looks_at_a_store_of_artifacts(stocked: Cli, objects_url: str) -> None:
    def look(url: str) -> tuple[int, dict[str, str]]:
        done = stocked("doctor", "--json", CONDUIT_ARTIFACTS_URL=url)
        (found,) = (each for each in json.loads(done.stdout) if each["name"] == "artifacts")
        return done.returncode, found

    code, found = look(objects_url)
    assert (code, found["verdict"], found["detail"]) == (0, "ok", f"kept in {objects_url}")
    code, found = look(objects_url.replace("s3://test-", "s3://other-"))
    assert (code, found["verdict"]) == (3, "error")
    assert "NoSuchBucket" in found["detail"]


async def stand_still(queue: Queue) -> None:
    """The worker's slots are all held by jobs that wait for what only it can run."""
    await stock.fill(queue)
    (worker,) = await queue.workers()
    wait = StandstillWait(waiter="report", awaited="charge", queue="default")
    standstill = Standstill(places=2, functions=("charge", "report", "zip_up"), waits=(wait,))
    await queue.update_worker(structs.replace(worker, standstills=(standstill,)))


def test_doctor_tells_of_slots_held_by_jobs_that_wait_for_a_slot(cli: Cli) -> None:
    cli.with_queue(stand_still)
    checks = {each["name"]: each for each in json.loads(cli("doctor", "--json").stdout)}
    assert checks["deadlock"]["verdict"] == "warning"
    assert checks["deadlock"]["detail"].startswith("all 2 slots of worker ")
    assert "report waits for charge" in checks["deadlock"]["detail"]
