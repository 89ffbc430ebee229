"""`conduit submit`: what becomes a job, and what is refused with a reason."""

from __future__ import annotations

import json
import signal

import pytest

from conduit.core.model import JobStatus
from tests.cli import stock
from tests.cli.conftest import Cli


def test_submit_prints_the_id_of_a_job_with_its_functions_settings(cli: Cli) -> None:
    cli.with_queue(stock.register)
    options = ("--delay", "3600", "--key", "k")
    done = cli("submit", "zip_up", "--args", '["a", "b"]', "--kwargs", '{"level": 9, "x": "y"}')
    keyed = cli("submit", "charge", "--args", '["o1"]', *options)
    again = cli("submit", "charge", "--args", '["o1"]', *options, "--json")
    assert (done.returncode, keyed.returncode, again.returncode) == (0, 0, 0)
    ids = [done.stdout.strip(), keyed.stdout.strip()]
    assert json.loads(again.stdout) == {"job_id": ids[1], "duplicate": True}
    zipped, charged = cli.with_queue(lambda queue: queue.get(ids))
    assert zipped is not None
    assert charged is not None
    assert json.loads(zipped.args) == {"paths": ["a", "b"], "level": 9, "labels": {"x": "y"}}
    assert (zipped.queue, zipped.status) == ("mail", JobStatus.QUEUED)
    assert json.loads(charged.args) == {"order_id": "o1"}
    assert (charged.priority, charged.key, charged.status) == (7, "k", JobStatus.SCHEDULED)


@pytest.mark.parametrize(
    ("delay", "ms"), [("1.5", 1500), ("5m", 300_000), ("2h30m", 9_000_000), ("1d 1s", 86_401_000)]
)
def test_a_delay_is_given_in_seconds_or_as_schedules_have_it(cli: Cli, delay: str, ms: int) -> None:
    cli.with_queue(stock.register)
    job_id = cli("submit", "report", "--delay", delay).stdout.strip()
    (job,) = cli.with_queue(lambda queue: queue.get([job_id]))
    assert job is not None
    assert job.run_at - job.submitted_at == ms


def test_headers_travel_with_a_job_and_are_shown(cli: Cli) -> None:
    cli.with_queue(stock.register)
    job_id = cli("submit", "charge", "--args", '["o1"]', "--headers", '{"trace": "ab"}').stdout
    assert '{"trace": "ab"}' in cli("jobs", "show", job_id.strip()).stdout
    wrong = cli("submit", "charge", "--args", '["o1"]', "--headers", '{"trace": 1}')
    assert wrong.returncode == 2
    assert "--headers must be a dict of text" in wrong.stderr


def test_a_job_comes_after_others_and_shows_how_they_are(cli: Cli) -> None:
    cli.with_queue(stock.fill)
    one = cli("submit", "report").stdout.strip()
    done = cli("submit", "report", "--after", one[:30], "--after", "completed", "--after", one)
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip()
    (job,) = cli.with_queue(lambda queue: queue.get([last]))
    assert job is not None
    assert (job.status, job.after) == (JobStatus.BLOCKED, (one, "completed"))
    shown = " ".join(cli("jobs", "show", last).stdout.split())
    assert f"after {one} queued completed completed submitted" in shown
    assert json.loads(cli("jobs", "show", last, "--json").stdout)["after"] == [one, "completed"]


def test_a_job_that_is_not_there_is_not_waited_for(cli: Cli) -> None:
    cli.with_queue(stock.register)
    refused = cli("submit", "report", "--after", "nowhere")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "'nowhere', which isn't in this queue" in refused.stderr
    assert cli.with_queue(_count) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chrge"], "did you mean 'charge'? known: charge, report, zip_up"),
        (["charge"], "missing argument 'order_id'"),
        (["charge", "--args", '["a", 1, 2]'], "takes 2 arguments by position, got 3"),
        (["charge", "--args", '["a"]', "--kwargs", '{"order_id": "b"}'], "'order_id' twice"),
        (["charge", "--kwargs", '{"order": "b"}'], "no argument 'order'"),
        (["charge", "--args", "[1, 2"], "--args is not JSON: Expecting ',' delimiter at line 1"),
        (["charge", "--args", "{}"], "--args must be a JSON array"),
        (["charge", "--args", "[NaN]"], "NaN is not a JSON value"),
        (["charge", "--kwargs", "[]"], "--kwargs must be a JSON object"),
        (["charge", "--args", '["a", "b"]'], "argument 'cents' of function 'charge': expected int"),
        (["charge", "--kwargs", '{"order_id": null}'], "argument 'order_id' of function 'charge'"),
        (["charge", "--args", '["\\ud800"]'], "arguments.order_id holds a lone surrogate"),
        (["charge", "--args", f'["a", {"1" * 5000}]'], "--args has a number that is too long"),
        (["charge", "--delay=-1"], "--delay=-1.0 must be 0 or more"),
        (["charge", "--delay", "nan"], "--delay=nan must be 0 or more"),
        (["charge", "--delay", "inf"], "--delay=inf must be 0 or more"),
        (["charge", "--delay", "soon"], "--delay=soon isn't a span of time: give seconds, or a"),
        (["charge", "--delay", "1h5"], "--delay=1h5 isn't a span of time"),
        (["charge", "--delay", "1e30"], "a hundred years at most"),
        (["charge", "--priority", "101"], "--priority=101 must be a whole number, from -100"),
        (["charge", "--queue", ""], "--queue='' must be text"),
        (["charge", "--queue", "a\nb"], "--queue='a\\nb' must be text"),
        (["charge", "--queue", "q" * 9000], "must be text, 1 to 255 printable characters"),
        (["charge", "--key", ""], "--key='' must be text"),
        (["charge", "--key", "k" * 9000], "must be text, 1 to 255 printable characters"),
        (["charge", "--timeout", "1"], "add --wait"),
        (["charge", "--wait", "--timeout=-1"], "--timeout=-1.0 must be 0 or more"),
    ],
)
def test_a_submit_that_cannot_work_is_explained_and_leaves_no_job(
    cli: Cli, arguments: list[str], words: str
) -> None:
    cli.with_queue(stock.register)
    refused = cli("submit", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert cli.with_queue(_count) == 0


def test_submit_says_that_a_worker_must_have_run_once(cli: Cli) -> None:
    unmade = cli("submit", "charge")
    assert unmade.returncode == 4
    assert "there is no queue at .conduit/queue.db yet" in unmade.stderr
    assert not (cli.folder / ".conduit").exists()
    cli.with_queue(_count)
    unused = cli("submit", "charge")
    assert unused.returncode == 2
    assert "conduit run FILE" in unused.stderr


def test_ctrl_c_ends_a_wait_with_130_and_leaves_the_job(cli: Cli) -> None:
    cli.with_queue(stock.register)
    waiting = cli.start("submit", "report", "--wait")
    waiting.until("waiting for")
    waiting.send(signal.SIGINT)
    assert waiting.end() == 130
    assert "Traceback" not in waiting.seen
    assert cli.with_queue(_count) == 1


async def _count(queue: stock.Queue) -> int:
    return sum(info.queued + info.scheduled + info.blocked for info in await queue.queues())


# --- middleware of the settings --------------------------------------------------------------

MIDDLEWARE = """
from conduit import SubmitRefusedError

async def marks(submission, call_next):
    for job in submission.jobs:
        if job.priority < 0:
            raise SubmitRefusedError("nothing is that unimportant")
        job.metadata["from"] = submission.origin
        if "order_id" in job.arguments:
            job.arguments["order_id"] += "!"
    await call_next()

async def garbles(submission, call_next):
    submission.jobs[0].arguments = {"order_id": 7}
    await call_next()
"""


def test_a_submit_passes_the_middleware_of_the_settings(cli: Cli) -> None:
    cli.with_queue(stock.register)
    cli.write("shop_tracing.py", MIDDLEWARE)
    done = cli(
        "submit", "charge", "--args", '["o"]', CONDUIT_SUBMIT_MIDDLEWARE="shop_tracing:marks"
    )
    cli.write("pyproject.toml", "[tool.conduit]\nsubmit_middleware = 'shop_tracing:marks'\n")
    triggered = cli("crons", "trigger", "daily")
    assert (done.returncode, triggered.returncode) == (0, 0), done.stderr + triggered.stderr
    ids = [done.stdout.strip(), triggered.stdout.strip()]
    charged, daily = cli.with_queue(lambda queue: queue.get(ids))
    assert charged is not None
    assert daily is not None
    assert json.loads(charged.args) == {"order_id": "o!"}
    assert json.loads(charged.metadata) == json.loads(daily.metadata) == {"from": "cli"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("marks", "nothing is that unimportant"), ("garbles", "argument 'order_id'")],
)
def test_what_a_middleware_refuses_is_told_in_its_words(cli: Cli, name: str, words: str) -> None:
    cli.with_queue(stock.register)
    cli.write("shop_tracing.py", MIDDLEWARE)
    options = ("--args", '["o"]', "--priority", "-1")
    refused = cli("submit", "charge", *options, CONDUIT_SUBMIT_MIDDLEWARE=f"shop_tracing:{name}")
    assert (refused.returncode, refused.stdout) == (1 if name == "marks" else 2, "")
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("nonsense", "write module:name"),
        ("nowhere:f", "there is no module 'nowhere' here"),
        ("json:nothing", "'json' has no 'nothing'"),
        ("broken:f", "'broken' can't be imported: NameError"),
    ],
)
def test_a_wrong_name_of_a_middleware_ends_with_3(cli: Cli, ref: str, words: str) -> None:
    cli.with_queue(stock.register)
    cli.write("broken.py", "nonsense\n")
    refused = cli("submit", "charge", "--args", '["o"]', CONDUIT_SUBMIT_MIDDLEWARE=ref)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert words in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    "command",
    [("crons", "trigger", "daily"), ("run", "service.py"), ("server", "start", "--port", "0")],
    ids=" ".join,
)
def test_every_command_that_submits_tells_it(cli: Cli, command: tuple[str, ...]) -> None:
    cli.with_queue(stock.register)
    cli.write("service.py", "import conduit\nw = conduit.Worker('w')\n@w.task\ndef f(): ...\n")
    refused = cli(*command, CONDUIT_SUBMIT_MIDDLEWARE="nonsense")
    assert (refused.returncode, refused.stdout) == (3, ""), refused.stderr
    assert "write module:name" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
