"""The picture of a run, at every kind that can show one: it is there, and never costs anybody the message."""

import base64
import json
import tempfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.responses import JSONResponse, PlainTextResponse

from ftwatch.core.delivery import Retry, Sent
from ftwatch.core.message import Picture
from ftwatch.core.sample import sample
from ftwatch.plugins import Secret
from tests.notifiers.test_email import mail_server, options
from tests.notifiers.test_slack_bot import at, botting, heads

PICTURE = Picture(b"\x89PNG\r\n\x1a\n" + b"loss" * 500, "Loss", 'train: from 2 to "1" <b>', 420, 250)
HISTORY = "chat:write,channels:history,channels:read"


# -------------------------------------------------------------------------------------------- Slack, by a bot


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("name", ["succeeded", "stuck"])
async def test_it_stands_in_the_jobs_thread_below_what_it_belongs_to(name: str, direct: bool) -> None:
    async with botting(direct=direct) as (world, bot):
        await bot.tell(at("created", 1))
        outcome = await bot.tell(at(name, 2), picture=PICTURE)
    assert outcome == Sent("HTTP 200")
    (root,) = world.roots
    *_, answer, shown = world.thread(root)
    assert answer["metadata"]["event_payload"] == {"id": sample(name).id}
    assert "files" in shown
    (file,) = world.shared()
    assert file["content"] == PICTURE.png
    assert (file["title"], file["alt"]) == ("Loss of support-bot-v7", PICTURE.alt)
    assert world.refused == []


async def test_without_the_scope_the_message_goes_out_and_says_why_it_has_no_picture() -> None:
    async with botting() as (world, bot):
        world.scopes = HISTORY
        outcome = await bot.tell(at("failed", 1), picture=PICTURE)
        introduced = await bot.slack.introduce()
    assert isinstance(outcome, Sent)
    assert "without its picture: files.getUploadURLExternal: missing_scope" in outcome.note
    assert "files:write" in outcome.note
    assert heads(world.thread(world.roots[0])) == ["❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)"]
    assert introduced.lacks == "without the scope files:write its messages have no pictures"


STEPS = ("files.getUploadURLExternal", "upload", "files.completeUploadExternal")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("mood", [7, "internal_error", PlainTextResponse("oops", 502)])
@pytest.mark.parametrize("scopes", ["chat:write,files:write", "chat:write,files:write,channels:history"])
async def test_what_could_not_be_uploaded_is_tried_again_and_nothing_else(
    step: str, mood: Any, scopes: str
) -> None:
    async with botting() as (world, bot):
        world.scopes = scopes
        world.mood = lambda method: mood if method == step else None
        assert isinstance(await bot.tell(at("failed", 1), picture=PICTURE), Retry)
        world.mood = lambda method: None
        outcome = await bot.tell(at("failed", 1), picture=PICTURE, again=True)
    assert outcome == Sent("it had arrived before")
    assert len(world.shared()) == 1
    assert len(heads(world.thread(world.roots[0]))) == 2, "one answer, one picture"


async def test_a_message_waits_for_its_picture_only_so_long() -> None:
    async with botting() as (world, bot):
        world.mood = lambda method: "internal_error" if method.startswith("files") else None
        outcomes = [await bot.tell(at("failed", 1), picture=PICTURE, again=bool(i)) for i in range(3)]
        assert [type(one) for one in outcomes] == [Retry, Retry, Sent]
        assert "without its picture: files.getUploadURLExternal: internal_error" in outcomes[-1].note
        # The next one is tried as often as any.
        assert isinstance(await bot.tell(at("stuck", 2), picture=PICTURE), Retry)


async def test_after_a_crash_it_is_not_uploaded_a_second_time() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("running", 1))
        before = dict(bot.memory)
        await bot.tell(at("failed", 2), picture=PICTURE)
        bot.memory = before
        outcome = await bot.tell(at("failed", 2), picture=PICTURE, again=True)
    assert outcome == Sent("it had arrived before")
    assert world.count("files.completeUploadExternal") == 1


@pytest.mark.parametrize(
    "url", ["https://elsewhere.example/upload", "file:///etc/passwd", "", None, 7, "//x/y"]
)
async def test_an_address_of_another_sort_is_not_called(url: Any) -> None:
    told = JSONResponse({"ok": True, "upload_url": url, "file_id": "F1"})
    async with botting() as (world, bot):
        world.mood = lambda method: told if method == "files.getUploadURLExternal" else None
        outcome = await bot.tell(at("failed", 1), picture=PICTURE)
    assert outcome == Sent("HTTP 200; without its picture: Slack gave no http address for the upload")
    assert world.count("upload") == 0


async def test_a_place_for_files_that_refuses_them_is_named() -> None:
    async with botting() as (world, bot):
        world.mood = lambda method: PlainTextResponse("too large", 413) if method == "upload" else None
        outcome = await bot.tell(at("failed", 1), picture=PICTURE)
    assert outcome == Sent("HTTP 200; without its picture: the upload: HTTP 413: too large")


async def test_a_deleted_thread_gets_message_and_picture_in_a_new_one() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("running", 1))
        world.delete(world.roots[0])
        await bot.tell(at("failed", 2), picture=PICTURE)
    (root,) = world.roots
    assert [bool(one.get("files")) for one in world.thread(root)] == [False, True]


# ----------------------------------------------------------------------------------------------------- e-mail


async def letters(kit: Any, *told: Any) -> list[EmailMessage]:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as email:
        for event in told:
            assert isinstance((await email.send([event], {}, picture=PICTURE)).outcome, Sent)
    return box.letters


async def test_a_letter_holds_it_and_shows_it_where_it_belongs(kit: Any) -> None:
    (letter,) = await letters(kit, sample("succeeded"))
    text, related = letter.iter_parts()
    assert (text.get_content_type(), related.get_content_type()) == ("text/plain", "multipart/related")
    assert related.get_param("type") == "text/html"
    html, image = related.iter_parts()
    assert image.get_content_type() == "image/png"
    assert image.get_content() == PICTURE.png
    assert image.get_content_disposition() == "inline"
    assert image.get_filename() == "loss.png"
    page = html.get_content()
    assert f'src="cid:{image["Content-ID"].strip("<>")}"' in page
    assert 'alt="train: from 2 to &quot;1&quot; &lt;b&gt;"' in page
    assert letter.get_body(("plain",)) is text, "who reads no HTML gets the text"


async def test_no_two_letters_of_a_thread_name_it_alike(kit: Any) -> None:
    first, second = await letters(kit, sample("stuck"), sample("failed"))
    names = {part["Content-ID"] for one in (first, second) for part in one.walk() if part["Content-ID"]}
    assert len(names) == 2


async def test_a_letter_without_one_is_as_it_was(kit: Any) -> None:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as email:
        await email.send([sample("succeeded")], {})
    assert [part.get_content_type() for part in box.letters[0].iter_parts()] == ["text/plain", "text/html"]


# ---------------------------------------------------------------------------------------------------- Apprise


def to(url: str, service: str = "json") -> Secret:
    return Secret(url.replace("http://", f"{service}://user:hunter2@"))


@pytest.fixture
def attic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_service_that_takes_files_gets_it_and_nothing_is_left(kit: Any, attic: Path) -> None:
    async with kit.receiving() as there, kit.made("apprise", url=to(there.url)) as apprise:
        outcome = (await apprise.send([sample("failed")], {}, picture=PICTURE)).outcome
    assert outcome == Sent()
    (attached,) = json.loads(there.requests[0][2])["attachments"]
    assert (attached["filename"], attached["mimetype"]) == ("loss.png", "image/png")
    assert base64.b64decode(attached["base64"]) == PICTURE.png
    assert left(attic) == []


async def test_a_service_that_takes_none_gets_the_message_alone(kit: Any, attic: Path) -> None:
    async with kit.receiving() as there, kit.made("apprise", url=to(there.url, "kodi")) as apprise:
        there.answer = there.say(200, b'{"result": "OK"}')
        outcome = (await apprise.send([sample("failed")], {}, picture=PICTURE)).outcome
    assert outcome == Sent()
    assert len(there.requests) == 1


async def test_what_is_refused_with_it_goes_out_without(kit: Any, attic: Path) -> None:
    async with kit.receiving() as there:

        async def picky(writer: Any) -> None:
            large = len(there.requests[-1][2]) > 2000
            writer.write(there.say(413 if large else 200))
            await writer.drain()

        there.answer = picky
        async with kit.made("apprise", url=to(there.url)) as apprise:
            outcome = (await apprise.send([sample("failed")], {}, picture=PICTURE)).outcome
    assert outcome == Sent("without its picture: the service did not take it")
    assert json.loads(there.requests[-1][2])["attachments"] == []
    assert left(attic) == []


async def test_where_no_file_can_be_written_the_message_goes_out(
    kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**more: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    async with kit.receiving() as there, kit.made("apprise", url=to(there.url)) as apprise:
        outcome = (await apprise.send([sample("failed")], {}, picture=PICTURE)).outcome
    assert outcome == Sent("without its picture: No space left on device")


# ------------------------------------------------------------------------------------------- what is rendered


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("slack", {"bot_token": Secret("xoxb-hunter2"), "channel": "#ml"}),
        ("apprise", {"url": Secret("json://localhost")}),
        ("email", options(25)),
    ],
)
async def test_what_is_shown_tells_of_it(kit: Any, kind: str, how: dict[str, Any]) -> None:
    async with kit.made(kind, **how) as made:
        assert made.shows_pictures
        shown, without = (
            made.render(sample("failed"), picture=PICTURE),
            made.render(sample("failed")),
        )
    assert ".png" in shown
    assert ".png" not in without


async def test_a_webhook_of_slacks_takes_none(kit: Any) -> None:
    async with kit.made("slack", webhook_url=Secret("https://hooks.slack.com/services/T0/B0/x")) as slack:
        assert not slack.shows_pictures


def test_its_file_is_named_after_what_it_shows() -> None:
    assert replace(PICTURE, title="Learning rate").name == "learning-rate.png"
