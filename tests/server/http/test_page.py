"""The dashboard as the server serves it: known files alone, with caching and a strict policy."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from conduit.server.http import dashboard_files as page
from conduit.server.service import ServerService
from tests.server.http.conftest import Serve

INDEX = '<meta name="csp-nonce" content="" /><script src="/theme.js"></script>the dashboard'
SCRIPT = b"console.log('a script of some length');" * 20


@pytest.fixture
async def root(server: ServerService) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle beside a file that isn't part of it."""
    (tmp_path / "secret.js").write_text("a secret")
    built = tmp_path / "bundle"
    (built / "assets").mkdir(parents=True)
    (built / "stamp").write_text("0")
    (built / "index.html").write_text(INDEX)
    (built / "theme.js").write_text("// the theme")
    (built / "assets/app-1a2b.js").write_bytes(SCRIPT)
    (built / "assets/app-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    monkeypatch.setattr(page, "BUNDLE", built)
    return built


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "path",
    [
        "/", "/jobs", "/jobs/0199-a.b", "/functions/a%2Fb", "/index.html", "/api", "/%00",
        "//etc/hostname", "/../../etc/hostname", "/..%2f..%2fetc%2fhostname", "/file:///etc/passwd",
    ],
)  # fmt: skip
async def test_every_page_is_the_index(root: httpx.AsyncClient, path: str) -> None:
    answer = await root.get(path)
    assert (answer.status_code, "the dashboard" in answer.text) == (200, True)
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.usefixtures("folder")
async def test_scripts_come_from_the_server_alone_and_styles_need_this_answers_nonce(
    root: httpx.AsyncClient,
) -> None:
    nonces = set[str]()
    for _ in range(2):
        answer = await root.get("/")
        policy = answer.headers["content-security-policy"]
        (nonce,) = re.findall(r'name="csp-nonce" content="([^"]+)"', answer.text)
        assert "default-src 'none'; script-src 'self';" in policy
        assert f"style-src 'self' 'nonce-{nonce}';" in policy
        assert "unsafe" not in policy
        nonces.add(nonce)
    assert len(nonces) == 2


@pytest.mark.usefixtures("folder")
async def test_a_file_with_a_hash_in_its_name_is_kept_for_good(root: httpx.AsyncClient) -> None:
    answer = await root.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert answer.content == SCRIPT
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert "content-encoding" not in answer.headers


@pytest.mark.usefixtures("folder")
async def test_a_file_comes_compressed_to_those_who_can_read_that(root: httpx.AsyncClient) -> None:
    for accepted, encoding in (("br;q=0, gzip", "gzip"), ("br, gzip;q=0", None), ("", None)):
        headers = {"Accept-Encoding": accepted}
        answer = await root.get("/assets/app-1a2b.js", headers=headers)
        assert (answer.headers.get("content-encoding"), answer.content) == (encoding, SCRIPT)
        assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.usefixtures("folder")
async def test_what_the_browser_has_is_not_sent_again(root: httpx.AsyncClient) -> None:
    first = await root.get("/theme.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await root.get("/theme.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await root.get("/theme.js", headers={"If-None-Match": '"another"'})
    assert other.status_code == 200
    anything = await root.get("/theme.js", headers={"If-None-Match": "*"})
    assert anything.status_code == 304


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "path",
    ["/../secret.js", "/%2e%2e/secret.js", "/assets/../../secret.js", "/stamp", "//secret.js"],
)
async def test_no_path_leads_to_other_files(root: httpx.AsyncClient, path: str) -> None:
    answer = await root.get(path)
    assert "a secret" not in answer.text
    assert answer.status_code == 404 or "the dashboard" in answer.text


@pytest.mark.usefixtures("folder")
async def test_a_part_of_another_version_is_not_found(root: httpx.AsyncClient) -> None:
    answer = await root.get("/assets/app-of-old.js")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_without_a_bundle_the_page_says_how_to_build_it_and_what_went_wrong(
    root: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "BUNDLE", tmp_path)
    (tmp_path / "failure.txt").write_text("npm <could> not reach & so on")
    answer = await root.get("/")
    assert answer.status_code == 200
    assert "make dashboard" in answer.text
    assert "npm &lt;could&gt; not reach &amp; so on" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]


async def test_what_went_wrong_on_this_machine_is_not_told_to_strangers(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "BUNDLE", tmp_path)
    (tmp_path / "failure.txt").write_text("npm could not reach")
    server = await serve(api_keys="admin:a-key-of-the-right-length")
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        answer = await client.get("/")
    assert "make dashboard" in answer.text
    assert "npm could" not in answer.text
    assert "conduit/server/dashboard/failure.txt" in answer.text
