"""Who may do what, and what is refused at the door."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from conduit.core.errors import ConfigurationError
from conduit.server.http.access import Role, check_binding, parse_keys
from conduit.server.service import ServerOptions, ServerService
from tests.server.http.conftest import API, Serve, client_of

ADMIN, OPERATOR, READER = "a" * 32, "o" * 32, "r" * 32
KEYS = f"{ADMIN}, operate:{OPERATOR}, visitor:read:{READER}"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
async def locked(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that asks for keys."""
    async with client_of(await serve(api_keys=KEYS)) as client:
        yield client


# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), {"Authorization": "Basic abc"}, {"X-API-Key": "wrong"}]
)
@pytest.mark.parametrize("path", ["/jobs", "/jobs/x/logs", "/stream", "/nothing", "/session"])
async def test_without_a_known_key_nothing_is_told(
    locked: httpx.AsyncClient, headers: dict[str, str], path: str
) -> None:
    answer = await locked.get(path, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_key_comes_as_bearer_or_as_a_header_of_its_own(locked: httpx.AsyncClient) -> None:
    for headers in (bearer(READER), {"X-API-Key": READER}):
        answer = await locked.get("/session", headers=headers)
        assert answer.json() == {"role": "read", "name": "visitor", "keys_required": True}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/jobs", (READER, OPERATOR, ADMIN)),
        ("GET", "/queues", (READER, OPERATOR, ADMIN)),
        ("POST", "/jobs/x/cancel", (OPERATOR, ADMIN)),
        ("POST", "/jobs/x/retry", (OPERATOR, ADMIN)),
        ("POST", "/queues/x/pause", (OPERATOR, ADMIN)),
        ("POST", "/functions/x/pause", (OPERATOR, ADMIN)),
        ("POST", "/functions/x/resume", (OPERATOR, ADMIN)),
        ("POST", "/crons/x/trigger", (OPERATOR, ADMIN)),
        ("POST", "/events/x.y", (OPERATOR, ADMIN)),
        ("DELETE", "/jobs/x", (ADMIN,)),
    ],
)
async def test_each_role_may_do_its_part(
    locked: httpx.AsyncClient, method: str, path: str, allowed: tuple[str, ...]
) -> None:
    for key in (READER, OPERATOR, ADMIN):
        answer = await locked.request(method, path, headers=bearer(key))
        assert (answer.status_code == 403) == (key not in allowed), answer.text


async def test_an_operator_may_not_delete_in_bulk(locked: httpx.AsyncClient) -> None:
    wanted = {"action": "delete", "all": True}
    refused = await locked.post("/jobs/bulk", json=wanted, headers=bearer(OPERATOR))
    assert refused.status_code == 403
    done = await locked.post("/jobs/bulk", json=wanted, headers=bearer(ADMIN))
    assert done.status_code == 200


async def test_whether_it_lives_is_no_secret_and_where_its_stores_are_is(
    locked: httpx.AsyncClient,
) -> None:
    assert (await locked.get("/health")).status_code == 200
    stranger = (await locked.get("/ready")).json()
    assert stranger["checks"]["queue"] == {"status": "ok", "address": None, "detail": None}
    known = (await locked.get("/ready", headers=bearer(READER))).json()
    assert known["checks"]["queue"]["address"]
    assert (await locked.get(str(locked.base_url.copy_with(path="/metrics")))).status_code == 401


async def test_a_load_balancer_may_ask_with_head(server: ServerService) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        for path in ("/health", "/ready", f"{API}/health", f"{API}/ready"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")


async def test_requests_are_counted_by_the_route_as_it_is_served(server: ServerService) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        for path in (f"{API}/jobs/secret-1", f"{API}/health", "/health", f"{API}/none", "/page"):
            await client.get(path)
        told = (await client.get("/metrics")).text
    routes = set(re.findall(r'conduit_http_requests_total\{.*route="([^"]*)"', told))
    assert routes == {f"{API}/jobs/{{job_id}}", f"{API}/health", "/health", "other"}


def test_keys_are_read_with_and_without_names_and_roles() -> None:
    keys = parse_keys(f"{ADMIN},read:{READER}, ci:operate:{OPERATOR},,a:b:c{ADMIN}")
    assert [(key.name, key.role) for key in keys] == [
        ("key 1", Role.ADMIN),
        ("key 2", Role.READ),
        ("ci", Role.OPERATE),
        ("key 5", Role.ADMIN),
    ]


@pytest.mark.parametrize("text", ["read:", "ci:read:", "a b" * 10, "ä" * 20])
def test_an_entry_that_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_keys(text)
    assert text not in str(raised.value)


def test_a_key_that_can_be_guessed_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    parse_keys("ci:read:short")
    assert "ci of CONDUIT_API_KEYS has fewer than 16 characters" in caplog.text
    assert "short" not in caplog.text


# --- sessions --------------------------------------------------------------------------------


async def test_a_browser_signs_in_once_and_scripts_cannot_read_its_cookie(
    locked: httpx.AsyncClient,
) -> None:
    answer = await locked.post("/session", json={"key": OPERATOR})
    assert answer.json()["role"] == "operate"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert OPERATOR not in cookie

    assert (await locked.get("/jobs")).status_code == 200
    assert (await locked.post("/jobs/x/cancel")).status_code == 404
    assert (await locked.delete("/jobs/x")).status_code == 403

    kept = dict(locked.cookies)
    assert (await locked.delete("/session")).status_code == 204
    locked.cookies.update(kept)
    assert (await locked.get("/jobs")).status_code == 401


async def test_a_wrong_key_opens_no_session(locked: httpx.AsyncClient) -> None:
    answer = await locked.post("/session", json={"key": "wrong"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("way", ["session", "bearer"])
async def test_who_guesses_keys_is_turned_away_and_sessions_go_on(serve: Serve, way: str) -> None:
    server = await serve(api_keys=KEYS)
    async with client_of(server) as known, client_of(server) as guesser:
        assert (await known.post("/session", json={"key": READER})).status_code == 200

        async def attempt(key: str) -> httpx.Response:
            if way == "session":
                return await guesser.post("/session", json={"key": key})
            return await guesser.get("/jobs", headers=bearer(key))

        statuses = [(await attempt(f"guess-{number}")).status_code for number in range(11)]
        assert statuses == [401] * 10 + [429]
        answer = await attempt(ADMIN)
        assert (answer.status_code, answer.json()["type"]) == (
            429,
            "urn:conduit:too-many-wrong-keys",
        )
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await known.get("/jobs")).status_code == 200


async def test_an_old_key_sent_over_and_over_locks_no_right_one_out(
    locked: httpx.AsyncClient,
) -> None:
    for _ in range(11):
        assert (await locked.get("/jobs", headers=bearer("old-key"))).status_code == 401
    assert (await locked.get("/jobs", headers=bearer(READER))).status_code == 200


async def test_behind_a_proxy_of_this_machine_callers_are_told_apart(
    locked: httpx.AsyncClient,
) -> None:
    async def attempt(key: str, address: str) -> int:
        headers = {"X-Forwarded-For": address}
        return (await locked.post("/session", json={"key": key}, headers=headers)).status_code

    for number in range(10):
        assert await attempt(f"guess-{number}", "192.0.2.1") == 401
    assert await attempt(ADMIN, "192.0.2.1") == 429
    assert await attempt(ADMIN, "192.0.2.2") == 200


async def test_a_session_ends_with_the_key_that_opened_it(serve: Serve) -> None:
    async with client_of(await serve(api_keys=KEYS)) as client:
        await client.post("/session", json={"key": READER})
        cookies = dict(client.cookies)
    async with client_of(await serve(api_keys=KEYS), cookies=cookies) as client:
        assert (await client.get("/jobs")).status_code == 200
    async with client_of(await serve(api_keys=ADMIN), cookies=cookies) as client:
        assert (await client.get("/jobs")).status_code == 401


# --- browsers --------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_page_of_another_origin_can_do_nothing(api: httpx.AsyncClient, origin: str) -> None:
    answer = await api.post("/jobs/x/cancel", headers={"Origin": origin})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:conduit:bad-origin")


async def test_the_servers_own_page_can(api: httpx.AsyncClient) -> None:
    origin = f"http://{api.base_url.host}:{api.base_url.port}"
    assert (await api.post("/jobs/x/cancel", headers={"Origin": origin})).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[", ""])
async def test_a_name_that_was_pointed_here_is_refused_without_keys(
    api: httpx.AsyncClient, host: str
) -> None:
    answer = await api.get("/jobs", headers={"Host": host})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:conduit:bad-host")


async def test_with_keys_any_name_will_do(locked: httpx.AsyncClient) -> None:
    headers = bearer(READER) | {"Host": "conduit.example"}
    assert (await locked.get("/jobs", headers=headers)).status_code == 200


async def test_answers_carry_the_headers_of_safety_and_nothing_for_other_origins(
    api: httpx.AsyncClient,
) -> None:
    for path in ("/jobs", "/jobs/none", "/nothing"):
        headers = (await api.get(path, headers={"Origin": "https://evil.example"})).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")]


async def test_a_request_keeps_the_id_that_it_came_with_or_gets_one(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.get("/jobs/none", headers={"X-Request-Id": "trace-1"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-1"
    answer = await api.get("/jobs/none", headers={"X-Request-Id": "no good <script>"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] != "no good <script>"


@pytest.mark.parametrize("path", [f"{API}/nothing", f"{API}/", f"{API}/jobs/", "/api/v2/jobs"])
async def test_under_the_api_an_unknown_path_is_a_problem(server: ServerService, path: str) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


# --- starting --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "conduit.example"])
def test_the_server_does_not_open_itself_to_strangers(host: str) -> None:
    urls = {"database_url": "sqlite:///x.db", "queue_url": "sqlite:///q.db", "queue_shown": ""}
    urls["artifacts_url"] = "file:///artifacts"
    with pytest.raises(ConfigurationError, match="CONDUIT_API_KEYS"):
        ServerService(ServerOptions(host=host, **urls))
    check_binding(host, parse_keys(ADMIN), insecure=False)
    check_binding(host, (), insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machine_alone_needs_no_key(host: str) -> None:
    check_binding(host, (), insecure=False)


async def test_no_key_is_ever_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with client_of(await serve(api_keys=KEYS)) as client:
            await client.get("/jobs", headers=bearer(READER))
            await client.get("/jobs", headers=bearer("guess-of-a-key"))
            await client.post("/session", json={"key": OPERATOR})
            await client.post("/session", json={"key": 1})
    for secret in (ADMIN, OPERATOR, READER, "guess-of-a-key"):
        assert secret not in caplog.text
