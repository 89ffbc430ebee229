"""Every service in examples/, run for real."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

from tests.examples.support import CONDUIT, EXAMPLES, output_of, service
from tests.servers.process import free_port


def submit(folder: Path, function: str, *arguments: object) -> object:
    command = [*CONDUIT, "submit", function, "--args", json.dumps(arguments), "--wait"]
    return json.loads(output_of(command, folder))


def test_hello_greets_from_the_command_line_and_from_a_script(tmp_path: Path) -> None:
    with service(EXAMPLES / "hello.py", folder=tmp_path):
        assert submit(tmp_path, "hello", "world") == "Hello, world!"

        told = output_of([sys.executable, str(EXAMPLES / "from_a_script.py")], tmp_path)

    assert "Hello, script!" in told
    assert "['Hello, Ada!', 'Hello, Grace!', 'Hello, Edsger!']" in told


def test_catalogue_builds_an_index_that_can_be_searched(tmp_path: Path) -> None:
    with service(EXAMPLES / "catalogue.py", folder=tmp_path):
        index = submit(tmp_path, "build_index")
        hits = submit(tmp_path, "find_pages", "retry")
        thumbnail = submit(tmp_path, "make_thumbnail", str(EXAMPLES / "images" / "dawn.jpg"))

    assert isinstance(index, dict)
    assert index["pages"] > 5
    assert isinstance(hits, list)
    assert hits[0]["times"] >= hits[-1]["times"] > 0
    assert isinstance(thumbnail, dict)
    assert thumbnail["width"] == 240
    assert (tmp_path / thumbnail["file"]).exists()


def test_shop_takes_an_order_over_http_once(tmp_path: Path) -> None:
    port = free_port()
    order = json.dumps({"id": "A-1", "cents": 1250}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/orders", order, {"content-type": "application/json"}
    )

    with service(EXAMPLES / "shop.py", folder=tmp_path, PORT=str(port)):
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202
            job_id = json.load(answer)["job_id"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/orders/{job_id}") as answer:
            assert json.load(answer)["status"] in ("queued", "running", "completed")
        receipt = submit(tmp_path, "charge", {"id": "A-2", "cents": 990})

    assert isinstance(receipt, dict)
    assert (receipt["order"], receipt["cents"]) == ("A-2", 990)
    jobs = json.loads(output_of([*CONDUIT, "jobs", "list", "--json"], tmp_path))
    functions = sorted(job["function"] for job in jobs["items"])
    assert functions == ["charge", "charge", "count", "send_mail"]


def test_resumable_imports_every_row(tmp_path: Path) -> None:
    with service(EXAMPLES / "resumable.py", folder=tmp_path):
        assert submit(tmp_path, "import_rows", 20) == 20
