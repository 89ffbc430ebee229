"""`conduit jobs`: listings, one job's story, and what can be done to jobs."""

from __future__ import annotations

import json
import re

import pytest

from conduit.core.model import Lease, NewJob
from conduit.core.transitions import OutcomeKind
from conduit.queue.base import Claim, Note, Outcome, Queue
from tests.cli import stock
from tests.cli.conftest import Cli

STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def stocked(cli: Cli) -> Cli:
    cli.with_queue(stock.fill)
    return cli


def test_jobs_list_is_a_plain_table_in_a_pipe_and_pages_by_cursor(stocked: Cli) -> None:
    listed = stocked("jobs", "list", "--limit", "3")
    rows = [line.split() for line in listed.stdout.splitlines()]
    assert rows[0] == ["job", "function", "status", "attempt", "queue", "submitted", "took"]
    assert [row[:5] for row in rows[1:]] == [
        ["scheduled", "charge", "scheduled", "0", "default"],
        ["queued", "report", "queued", "0", "mail"],
        ["running", "charge", "running", "1", "default"],
    ]
    assert rows[1][5].endswith("Z")
    assert "\x1b" not in listed.stdout
    cursor = listed.stderr.split()[-1]
    assert "3 of 5 jobs" in listed.stderr
    rest = stocked("jobs", "list", "--cursor", cursor)
    assert [line.split()[0] for line in rest.stdout.splitlines()] == ["job", "failed", "completed"]


def test_a_narrow_terminal_gets_fewer_columns_and_whole_words(cli: Cli) -> None:
    job_id = "01a20f75-0000-7000-8000-00e2371cc778"
    cli.with_queue(lambda queue: queue.submit([NewJob(id=job_id, function="send_receipts")]))
    code, seen = cli.on_terminal("jobs", "list", columns=80)
    lines = [line.split() for line in STYLE.sub("", seen).splitlines()]
    assert code == 0
    assert lines[0] == ["job", "function", "status", "submitted", "took"]
    assert lines[1][:3] == [job_id, "send_receipts", "queued"]
    assert "no room for attempt, queue: " in seen
    _, wide = cli.on_terminal("jobs", "list", columns=200)
    assert "attempt" in wide
    assert "no room" not in wide


def test_jobs_list_filters_and_speaks_json(stocked: Cli) -> None:
    options = ("--status", "failed", "--status", "running", "--function", "charge")
    page = json.loads(stocked("jobs", "list", *options, "--worker", "orders-1", "--json").stdout)
    assert (page["total"], page["next_cursor"]) == (2, None)
    running, failed = page["items"]
    assert (running["id"], failed["id"]) == ("running", "failed")
    assert failed["args"] == {"order_id": "o1"}
    assert failed["error"]["type"] == "CardError"
    assert failed["finished_at"].endswith("Z")
    assert "token" not in running


def test_jobs_show_tells_all_that_is_known(stocked: Cli) -> None:
    completed = stocked("jobs", "show", "completed").stdout
    for fact in ("50% half way", '{"paid": 100}', "receipt.txt", "careful \\x1b[31m"):
        assert fact in completed
    assert "\x1b" not in completed
    failed = stocked("jobs", "show", "failed").stdout
    assert "CardError: card declined\nTraceback …" in failed
    story = json.loads(stocked("jobs", "show", "completed", "--json").stdout)
    assert story["result"] == {"paid": 100}
    assert story["logs"][0]["at"] == "2023-11-14T22:13:20.000Z"
    assert story["artifacts"][0]["name"] == "receipt.txt"


async def _hand_back(queue: Queue) -> None:
    await queue.submit(
        [NewJob(id="back", function="charge"), NewJob(id="later", function="charge")]
    )
    wanted = Claim(worker_id="orders-1", queues=("default",), functions=("charge",), limit=2)
    kinds = {"back": OutcomeKind.RELEASE, "later": OutcomeKind.RETRY_LATER}
    for job in await queue.claim(wanted):
        lease = Lease(job.id, job.token or "")
        await queue.record([Note(lease=lease, progress=0.5)])
        kind = kinds[job.id]
        error = stock.ERROR if kind is OutcomeKind.RETRY_LATER else None
        await queue.finish([Outcome(lease=lease, kind=kind, error=error, delay_ms=3_600_000)])


def test_a_job_that_waits_again_shows_nothing_of_the_attempt_that_is_over(cli: Cli) -> None:
    cli.with_queue(_hand_back)
    header, *rows = cli("jobs", "list").stdout.splitlines()
    assert header.split()[-1] == "took"
    assert {len(row.split()) for row in rows} == {len(header.split()) - 1}
    for job_id in ("back", "later"):
        facts = {
            line.split()[0] for line in cli("jobs", "show", job_id).stdout.splitlines() if line
        }
        assert "attempt" in facts
        assert facts.isdisjoint({"took", "worker", "progress", "started"})


def test_the_beginning_of_an_id_names_a_job_if_no_other_job_has_it(cli: Cli) -> None:
    first, second = ("01a20f75-0000-7000-8000-00e2371cc778", "01a20f75-0000-7000-9000-00e2371cc778")
    cli.with_queue(
        lambda queue: queue.submit(
            [NewJob(id=first, function="a"), NewJob(id=second, function="b")]
        )
    )
    assert json.loads(cli("jobs", "show", second[:20], "--json").stdout)["id"] == second
    several = cli("jobs", "cancel", first[:8])
    assert several.returncode == 2
    assert first in several.stderr
    assert second in several.stderr
    assert cli("jobs", "cancel", first[:20]).stdout == f"{first} cancelled\n"
    short = cli("jobs", "show", first[:4])
    assert short.returncode == 1
    assert "ids are 36 characters" in short.stderr
    none = cli("jobs", "retry", "01ffffff")
    assert none.returncode == 1
    assert "ids are 36 characters" in none.stderr
    assert cli("jobs", "retry", first[:20], "--dry-run").stdout == (
        f"{first}  a  cancelled from the command line\n"
    )
    assert cli("jobs", "delete", first[:20], "--yes").stdout == f"{first} deleted\n"


def test_an_artifact_is_printed_or_written_to_a_file(stocked: Cli) -> None:
    assert stocked("jobs", "artifact", "completed", "receipt.txt").stdout == "paid"
    written = stocked("jobs", "artifact", "completed", "receipt.txt", "--output", "copy.txt")
    assert (written.returncode, written.stdout) == (0, "")
    assert (stocked.folder / "copy.txt").read_bytes() == b"paid"
    for arguments, words in (
        (("nope", "receipt.txt"), "no job 'nope'"),
        (("completed", "receipt"), "did you mean 'receipt.txt'?"),
        (("queued", "receipt.txt"), "it has kept none"),
        (("completed", "receipt.txt", "--output", "no/such/folder"), "can't be written"),
    ):
        refused = stocked("jobs", "artifact", *arguments)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert words in refused.stderr


def test_an_empty_list_says_which_filter_names_nothing_known(stocked: Cli) -> None:
    none = stocked("jobs", "list", "--function", "charg", "--queue", "mial")
    assert none.returncode == 0
    assert "no function 'charg' is known; did you mean 'charge'?" in none.stderr
    assert "no queue 'mial' is known; did you mean 'mail'?" in none.stderr
    assert "no function" not in stocked("jobs", "list", "--function", "zip_up").stderr


def test_an_unknown_job_a_foreign_cursor_and_a_wrong_status_are_refused(stocked: Cli) -> None:
    unknown = stocked("jobs", "show", "nope")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no job 'nope'" in unknown.stderr
    cursor = stocked("jobs", "list", "--cursor", "xyz")
    assert cursor.returncode == 2
    assert "--cursor" in cursor.stderr
    status = stocked("jobs", "list", "--status", "done")
    assert status.returncode == 2
    assert '"completed"' in status.stderr


def test_each_job_named_by_id_gets_its_answer(stocked: Cli) -> None:
    done = stocked("jobs", "cancel", "queued", "running", "completed", "nope")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "queued cancelled",
        "running is running; its worker was asked to stop it",
    ]
    assert "completed: it is completed; only" in done.stderr
    assert "nope: no such job" in done.stderr
    retried = stocked("jobs", "retry", "queued", "failed")
    assert (retried.returncode, retried.stderr) == (0, "")
    assert _statuses(stocked)["failed"] == "queued"


def test_bulk_actions_and_deletes_need_a_yes_off_a_terminal(stocked: Cli) -> None:
    before = _statuses(stocked)
    dry = stocked("jobs", "retry", "--status", "failed", "--function", "charge", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "failed  charge  CardError: card declined\n")
    assert "would retry 1 job" in dry.stderr
    for refused in (
        stocked("jobs", "cancel", "--queue", "mail"),
        stocked("jobs", "delete", "completed"),
    ):
        assert refused.returncode == 2
        assert "--yes" in refused.stderr
    assert _statuses(stocked) == before
    cancelled = stocked("jobs", "cancel", "--all", "--yes")
    assert cancelled.returncode == 0
    assert "2 jobs cancelled, 1 asked to stop, 0 refused" in cancelled.stderr
    assert stocked("jobs", "delete", "--status", "cancelled", "--yes").returncode == 0
    assert _statuses(stocked).keys() == {"completed", "failed", "running"}


def test_a_terminal_is_asked_before_jobs_are_forgotten(stocked: Cli) -> None:
    code, seen = stocked.on_terminal("jobs", "delete", "completed", answer="n\n")
    assert code == 1
    assert "delete 1 job? [y/N]" in seen
    assert "nothing was done" in seen
    assert stocked.on_terminal("jobs", "delete", "completed", answer="y\n")[0] == 0
    assert "completed" not in _statuses(stocked)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cancel"], "--all"),
        (["cancel", "queued", "--status", "queued"], "don't combine"),
        (["delete", "--status", "running"], "a running job can't be deleted"),
    ],
)
def test_a_bulk_action_that_makes_no_sense_is_explained(
    stocked: Cli, arguments: list[str], words: str
) -> None:
    refused = stocked("jobs", *arguments, "--yes")
    assert refused.returncode == 2
    assert words in refused.stderr


def _statuses(cli: Cli) -> dict[str, str]:
    page = json.loads(cli("jobs", "list", "--json").stdout)
    return {job["id"]: job["status"] for job in page["items"]}
