"""Who gets in: by a token, a session begun with it, a proxy that vouches, or being on this machine."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.web.house import TOKEN, TestHouse, house

BASE = 'providers:\n  oa: {kind: openai, base_url: "http://127.0.0.1:9/v1"}\nnotifiers: {console: {}}\n'
CLOSED = BASE + f'web: {{listen: "127.0.0.1:0", token: {TOKEN}, public_url: "https://ft.example.com"}}\n'
OPEN = BASE + 'web: {listen: "127.0.0.1:0"}\n'
PROXIED = BASE + 'web: {listen: "127.0.0.1:0", user_header: X-User, trusted_proxies: [127.0.0.0/8]}\n'
STRANGE = BASE + 'web: {listen: "127.0.0.1:0", user_header: X-User, trusted_proxies: [10.0.0.1]}\n'
HTML = {"accept": "text/html"}


async def status(made: TestHouse, path: str = "/nowhere", method: str = "GET", **more: Any) -> int:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return (await client.request(method, f"{made.url}{path}", **more)).status_code


async def test_a_token_lets_in(tmp_path: Path) -> None:
    async with house(tmp_path, CLOSED) as it:
        assert await status(it) == 401
        assert await status(it, headers={"authorization": f"Bearer {TOKEN}"}) == 404
        assert await status(it, headers={"authorization": f"bearer  {TOKEN}"}) == 404
        for wrong in ("", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff", TOKEN):
            assert await status(it, headers=[(b"authorization", wrong.encode("latin-1"))]) == 401, wrong


async def test_a_session_begins_with_the_token_and_ends(tmp_path: Path) -> None:
    async with house(tmp_path, CLOSED) as it, httpx2.AsyncClient(trust_env=False, base_url=it.url) as client:
        door = await client.get("/nowhere", headers=HTML)
        assert door.status_code == 401
        assert 'action="/login"' in door.text
        assert (await client.post("/login", data={"token": "wrong"})).status_code == 401
        answer = await client.post("/login", data={"token": TOKEN, "next": "/deliveries"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/deliveries")
        cookie = answer.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"))
        assert TOKEN not in cookie
        session = {"cookie": cookie.partition(";")[0]}
        assert await status(it, headers=session) == 404
        # A page's write has to prove that it is one of ours.
        assert await status(it, "/logout", "POST", headers=session) == 403
        it.clock.at += 8 * 86400
        assert await status(it, headers=session) == 401
        for forged in ("ftwatch=", "ftwatch=1.ab", "ftwatch=٣.ab", f"ftwatch={int(it.clock.at)}.{'0' * 64}"):
            assert await status(it, headers=[(b"cookie", forged.encode())]) == 401


@pytest.mark.parametrize(
    "after", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:x"]
)
async def test_nobody_is_sent_elsewhere_after_the_door(after: str, tmp_path: Path) -> None:
    async with house(tmp_path, CLOSED) as it, httpx2.AsyncClient(trust_env=False, base_url=it.url) as client:
        answer = await client.post("/login", data={"token": TOKEN, "next": after})
        assert answer.headers["location"] == "/"


async def test_a_link_in_a_chat_finds_its_session(tmp_path: Path) -> None:
    async with house(tmp_path, CLOSED) as it, httpx2.AsyncClient(trust_env=False, base_url=it.url) as client:
        # The cookie does not come along from another site; the page that is shown asks once more by itself.
        door = await client.get("/jobs/x", headers={**HTML, "sec-fetch-site": "cross-site"})
        assert 'http-equiv="refresh"' in door.text
        again = await client.get("/jobs/x", headers={**HTML, "sec-fetch-site": "same-origin"})
        assert 'http-equiv="refresh"' not in again.text


async def test_this_machine_needs_no_token_on_loopback_but_no_page_may_misuse_that(tmp_path: Path) -> None:
    async with house(tmp_path, OPEN) as it:
        assert await status(it) == 404
        assert await status(it, headers={"host": "evil.example"}) == 421
        assert await status(it, headers={"origin": "http://evil.example"}) == 403
        assert await status(it, headers={"origin": "null"}) == 403
        assert await status(it, "/x", "POST", headers={"sec-fetch-site": "cross-site"}) == 403
        assert await status(it, "/x", "POST", headers={"sec-fetch-site": "same-origin"}) == 403
        assert await status(it, "/x", "POST", headers={"origin": it.url}) == 403
        # A program is no page.
        assert await status(it, "/x", "POST") == 404


async def test_a_proxy_vouches_for_its_user_if_it_is_trusted(tmp_path: Path) -> None:
    async with house(tmp_path, PROXIED) as it:
        assert await status(it) == 401
        assert await status(it, headers={"x-user": "anna"}) == 404
        assert await status(it, headers={"x-user": ""}) == 401
    async with house(tmp_path, STRANGE) as it:
        assert await status(it, headers={"x-user": "anna"}) == 401


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("localhost", 404),
        ("LOCALHOST:8787", 404),
        ("127.0.0.1", 404),
        ("[::1]:80", 404),
        ("ft.example.com", 404),
        ("ft.example.com.evil.example", 421),
        ("evil.example", 421),
        ("10.0.0.1", 421),
        ("", 421),
        ("localhost@evil.example", 421),
        ("localhost/evil", 421),
        ("localhost:port", 421),
        ("[::1", 421),
    ],
)
async def test_only_our_own_names_are_answered(host: str, wanted: int, tmp_path: Path) -> None:
    async with house(tmp_path, CLOSED) as it:
        assert await status(it, headers={"host": host, "authorization": f"Bearer {TOKEN}"}) == wanted
        assert await status(it, "/healthz", headers={"host": host}) == 200


async def test_every_answer_is_dressed(tmp_path: Path) -> None:
    async with house(tmp_path, CLOSED) as it, httpx2.AsyncClient(trust_env=False, base_url=it.url) as client:
        for path in ("/healthz", "/", "/hooks/oa", "/api/v1/none"):
            headers = (await client.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in headers
            assert headers["date"].endswith("GMT")


async def test_what_is_shown_at_the_door_is_inert(tmp_path: Path) -> None:
    async with house(tmp_path, CLOSED) as it, httpx2.AsyncClient(trust_env=False, base_url=it.url) as client:
        door = await client.get("/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", headers=HTML)
        assert "<script>" not in door.text
