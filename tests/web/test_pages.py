"""The pages as they are served: whole, usable by keyboard and screen reader, inert whatever is in them."""

import re
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from ftwatch.core.delivery import Rejected
from ftwatch.core.job import JobError, JobKey, Progress, Status
from ftwatch.core.journal import Checkpoint, Journal, Line, keyed
from ftwatch.core.known import Decision, Known
from ftwatch.core.span import HOUR
from ftwatch.store import Batch
from ftwatch.web import pages
from ftwatch.web.pages.frame import _FILES, MARK
from tests.web.looking import Answer, Element, Site
from tests.web.scene import SECRETS, Scene, SceneClock, a_day, day_in, snapshot

NOW = 1_795_712_345.0
BOT = "/jobs/openai-prod/ftjob-9Qm2vT7xYb31"
ADDRESSES = [
    "/",
    "/?show=all",
    "/?status=failed",
    "/?q=nothing-like-that",
    BOT,
    "/jobs/together/ft-02bb-77aa-10ce",
    "/jobs/openai-prod/ftjob-1pQ8vNs3tt",
    "/jobs/fireworks/tagger-lora-x81",
    "/jobs/fireworks/router-dpo-22",
    "/jobs/together/ftjob-old00001",
    "/deliveries",
    "/deliveries?notifier=pipeline",
    "/config",
    "/config?test=status%3Dfailed+labels.team%3Dsearch",
    "/config?test=typ%3Dx",
    "/nowhere",
]

# What a stranger may call a job, a model, an owner or an error.
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea></script><svg onload=alert(1)>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "\u202e\u2066gnp.exe\u2069 \u200b\ufeff",
    "a\r\nb\tc\x00\x1b[31md\x85\u2028e",
    "x" * 10_000,
    "𝖜𝖎𝖉𝖊 \U0001f469\u200d\U0001f4bb نص",
    "javascript:alert(1)",
    "&lt;b&gt; &amp; &#60;",
    "\ud7ff\ue000\ufffe\uffff",
]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path, SceneClock(NOW))
    yield scene
    scene.store.close()


@pytest.fixture(scope="module")
def made() -> dict[float, bytes]:
    return {}


@pytest.fixture
def day(tmp_path: Path, made: dict[float, bytes]) -> Iterator[Scene]:
    scene = day_in(tmp_path, SceneClock(NOW), made)
    yield scene
    scene.store.close()


# ------------------------------------------------------------------------------------------- every page


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_page_is_whole(day: Scene, address: str) -> None:
    answer = await Site(day.house).get(address)
    assert answer.status == (404 if address == "/nowhere" else 200)
    check_page(answer)
    assert all(secret not in answer.text for secret in SECRETS.values())


def title(page: Element) -> str:
    return page.one("head").one("title").text


def check_page(answer: Answer) -> None:
    """What holds of every page: its parts find each other, it can be used without eyes or mouse, and it runs
    and styles nothing by itself.
    """
    page = answer.page
    assert len(answer.body) <= 100_000
    assert page.one("html").attrs["lang"] == "en"
    assert title(page).endswith("· ftwatch")
    ids = [one.attrs["id"] for one in page.walk() if "id" in one.attrs]
    assert len(ids) == len(set(ids)), "an id twice"
    for one in page.walk():
        assert not any(name.startswith("on") or name == "style" for name in one.attrs), one.attrs
        assert one.tag not in ("style", "iframe", "object", "embed", "base"), one.tag
        for name in ("aria-labelledby", "for", "aria-describedby"):
            assert set(one.attrs.get(name, "").split()) <= set(ids), one.attrs
        href = one.attrs.get("href", "/")
        assert href.startswith(("/", "#", "http://", "https://")), href
        assert not href.startswith("//")
        if href.startswith("http"):
            assert one.attrs["rel"] == "noopener noreferrer"
        elif href.startswith("#"):
            assert href[1:] in ids
    (script,) = page.all("script")
    assert script.text == ""
    assert script.attrs["src"].startswith(f"/static/{MARK}/")
    check_landmarks(page)
    check_names(page)


def check_landmarks(page: Element) -> None:
    skip = page.one("a", class_="skip")
    assert skip.attrs["href"] == "#main"
    assert page.one("main").attrs["id"] == "main"
    page.one("header")
    assert all("aria-label" in nav.attrs for nav in page.all("nav"))
    levels = [int(one.tag[1]) for one in page.walk() if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    for section in page.all("section"):
        named = "aria-label" in section.attrs or "aria-labelledby" in section.attrs
        assert named or section.attrs.get("id") == "document"
    assert {one.attrs.get("aria-live") for one in page.walk()} >= {"polite"}


def check_names(page: Element) -> None:
    """Whatever can be used says what it is."""
    labels = {label.attrs["for"] for label in page.all("label")}
    for one in page.walk():
        if one.tag in ("a", "button", "summary", "h1", "h2", "h3", "th"):
            assert one.text or one.attrs.get("aria-label"), (one.tag, one.attrs)
        if one.tag in ("input", "select") and one.attrs.get("type") != "hidden":
            assert one.attrs["id"] in labels
        if one.tag == "table":
            assert one.children[0].tag == "caption"
            assert one.children[0].text
        if one.tag == "th":
            assert one.attrs["scope"] in ("row", "col")
        if one.tag == "svg":
            assert one.attrs.get("aria-hidden") == "true" or one.attrs.get("role") == "img"
        if one.tag == "time":
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one.attrs["datetime"])
        if one.tag == "button" and "data-send" in one.attrs:
            assert "hidden" in one.attrs, "what only a script can do appears with it"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_page_keeps_the_strict_headers(day: Scene, address: str) -> None:
    headers = (await Site(day.house).get(address)).headers
    assert headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"


async def test_the_title_tells_the_state(day: Scene) -> None:
    site = Site(day.house)
    said = {address: title((await site.get(address)).page) for address in ("/", BOT, "/deliveries")}
    assert said == {
        "/": "2 running · ftwatch",
        BOT: "running 47 % · support-bot-v8 · ftwatch",
        "/deliveries": "2 dead letters · ftwatch",
    }


# ------------------------------------------------------------------------------------------------- jobs


async def test_what_goes_on_comes_first_then_what_ended_within_a_day(day: Scene) -> None:
    page = (await Site(day.house).get("/")).page
    rows = page.one("tbody", id="rows").all("tr")
    assert [row.one("th").one("a").text for row in rows] == [
        "intent-mini",
        "support-bot-v8",
        "router-dpo",
        "sql-assistant-70b",
        "tagger-lora",
        "summariser-v3",
        "ranker-13b",
        "support-bot-v7",
        "translate-eu",
        "experiment-41",
    ]
    bot = rows[1]
    assert bot.one("span", class_="pill").text == "running"
    assert bot.one("progress").attrs["value"] == "47"
    assert "564/1,200 · 2h 14m left" in bot.text
    assert bot.one("svg", class_="spark")
    assert (
        bot.one("a", href="https://platform.openai.com/finetune/ftjob-9Qm2vT7xYb31").text
        == "Open at openai-prod"
    )
    assert rows[4].one("span", class_="is-warn").text == "stuck"
    assert "ack ben" in rows[2].text
    assert "invalid data" in rows[5].text
    assert "silenced" in rows[9].text


async def test_an_empty_list_says_what_is_recorded_and_when_the_next_look_is(scene: Scene) -> None:
    scene.watched_since(NOW - HOUR)
    page = (await Site(scene.house).get("/")).page
    assert "Nothing is running." in page.text
    assert "No job has been seen yet, and the next look is in 42s." in page.text
    for number in range(1204):
        job = snapshot(f"old-{number}", "together", Status.SUCCEEDED, finished_at=int(NOW - 40 * 86400))
        scene.look(job, NOW - 60, baseline=True)
    page = (await Site(scene.house).get("/")).page
    assert "1,204 finished jobs are recorded, and the next look is in 42s." in page.text
    assert title(page) == "Nothing is running · ftwatch"
    leads = page.one("div", class_="empty").one("a").attrs["href"]
    assert len((await Site(scene.house).get(leads)).page.one("tbody", id="rows").all("tr")) == 32


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=failed", {"summariser-v3", "ranker-13b"}),
        ("provider=together&status=succeeded", {"translate-eu"}),
        ("owner=ben", {"router-dpo"}),
        ("label=team%3Dsandbox", {"experiment-41"}),
        ("q=BOT-V", {"support-bot-v7", "support-bot-v8"}),
        ("q=mixtral", {"ranker-13b"}),
        ("q=100%25", set()),
        ("status=gone", set()),
    ],
)
async def test_filters_stand_in_the_address(day: Scene, query: str, names: set[str]) -> None:
    page = (await Site(day.house).get(f"/?{query}")).page
    rows = page.all("tbody", id="rows")
    assert {row.one("th").one("a").text for body in rows for row in body.all("tr")} == names


async def test_a_chip_leads_to_its_filter_and_away_from_it(day: Scene) -> None:
    site = Site(day.house)
    chips = (await site.get("/")).page.one("nav", id="filters")
    failed = next(chip for chip in chips.all("a") if chip.text == "failed 2")
    assert failed.attrs["href"] == "/?status=failed"
    chips = (await site.get(failed.attrs["href"])).page.one("nav", id="filters")
    (on,) = [chip for chip in chips.all("a", class_="on") if "failed" in chip.text]
    assert on.attrs["href"] == "/"
    together = next(chip for chip in chips.all("a") if chip.text.startswith("together"))
    assert together.attrs["href"] == "/?provider=together&status=failed"


@pytest.mark.parametrize(
    "query",
    [
        "status=finished",
        "label=team",
        "after=%00",
        "after=!!!!",
        "after=W10",
        "q=" + "x" * 201,
        "after=" + "A" * 5000,
    ],
)
async def test_an_address_that_asks_for_what_cannot_be_says_so(day: Scene, query: str) -> None:
    answer = await Site(day.house).get(f"/?{query}")
    assert answer.status == 400
    check_page(answer)


async def test_page_by_page_every_job_comes_once_and_no_page_is_large(scene: Scene) -> None:
    decisions = [
        Decision(
            known=Known(
                snapshot=snapshot(
                    f"ftjob-{number:05d}" + "y" * 80,
                    ("openai-prod", "together")[number % 2],
                    Status.RUNNING if number < 300 else Status.SUCCEEDED,
                    created_at=int(NOW - 10_000),
                    # Many ended in the same second.
                    finished_at=int(NOW - number % 50) if number >= 300 else None,
                    name=f"job {number} " + '<"&' * 40,
                    model="m" * 200,
                    fine_tuned_model="f" * 200,
                    owner="o" * 200,
                    progress=Progress(step=1, total_steps=3),
                ),
                status_since=NOW - number % 7,
                sequence=1,
                alerts={"stuck": ("x", ())},
            ),
        )
        for number in range(1_500)
    ]
    scene.store.commit(Batch(decisions=decisions), NOW)
    site, address, seen = Site(scene.house), "/?show=all", list[str]()
    while address:
        answer = await site.get(address)
        assert answer.status == 200
        assert len(answer.body) <= 100_000
        # Reading all of them as HTML would take its time.
        seen += re.findall(r'<tr role="row" id="(\w+)">', answer.text)
        address = unescape("".join(re.findall(r'href="([^"]+)" rel="next"', answer.text)))
    assert len(seen) == len(set(seen)) == 1_500


# ---------------------------------------------------------------------------------------------- one job


async def test_a_job_page_tells_how_it_went(day: Scene) -> None:
    page = (await Site(day.house).get(BOT)).page
    assert [one.text for one in page.one("ol", class_="stages").all("span", class_="stage-word")] == [
        "validating",
        "queued",
        "running",
    ]
    assert "noticed 12s later" in page.one("ol", class_="stages").text
    charts = page.all("svg", class_="chart")
    assert len(charts) == 3, "the loss wide and narrow, and the accuracy"
    assert "train 0.41" in charts[0].text
    assert len(charts[0].all("g", class_="ch-checkpoint")) == 2
    assert "2 checkpoints" in charts[0].one("desc").text
    story = page.one("ol", class_="story").children
    assert [one.one("span", class_="story-title").text for one in story] == [
        "Checkpoint at step 400",
        "Checkpoint at step 200",
        "Running",
        "Queued",
        "Validating its files",
    ]
    assert "pipeline waits, one try so far: connection refused" in story[2].text
    assert "because of route 1" in story[2].text
    assert "oncall no route matches" in story[2].text
    assert "gave up after one try: HTTP 422" in story[3].text
    assert page.one("section", id="document").one("pre").text.startswith('{ "id": "ftjob-9Qm2vT7xYb31"')


async def test_a_failure_is_told_in_plain_words(day: Scene) -> None:
    page = (await Site(day.house).get("/jobs/openai-prod/ftjob-5zTrWq81xC")).page
    note = page.one("div", class_="is-bad")
    assert "invalid data" in note.text
    assert note.one("blockquote").text.endswith("line 1,742 is no JSON.")
    assert [
        one.text for one in page.all("button", data_send="/api/v1/jobs/openai-prod/ftjob-5zTrWq81xC/ack")
    ] == ["Acknowledge"]


async def test_a_success_names_its_model(day: Scene) -> None:
    page = (await Site(day.house).get("/jobs/openai-prod/ftjob-1pQ8vNs3tt")).page
    assert page.one("p", id="result").text == "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:C3pQ8vNs"
    assert "took 2 h 24 m (queued 10 m)" in page.text
    assert page.all("button", data_copy="result")


async def test_a_job_of_the_baseline_says_that_nothing_was_told(day: Scene) -> None:
    page = (await Site(day.house).get("/jobs/together/ftjob-old00001")).page
    assert "Nothing was told of this job" in page.text


@pytest.mark.parametrize("id", ["a/b/c", "a//b", "../x", "x/../y", "a b?c#d%", "ü\n"])
async def test_whatever_a_job_is_called_its_page_is_found(scene: Scene, id: str) -> None:
    scene.look(snapshot(id, "together", Status.RUNNING), NOW)
    site = Site(scene.house)
    href = (await site.get("/")).page.one("tbody", id="rows").one("th").one("a").attrs["href"]
    assert not any(part in ("", ".", "..") for part in href.split("/")[3:])
    answer = await site.get(href)
    assert answer.status == 200
    check_page(answer)


async def test_an_alert_stands_in_the_picture_where_it_was_told(scene: Scene) -> None:
    key = JobKey("together", "j")
    lines = keyed(
        Line(step=step, at=int(NOW - 1000 + step), metrics={"train_loss": 1.0}) for step in range(0, 1000, 10)
    )
    job = snapshot("j", "together", Status.RUNNING, created_at=int(NOW - 90_000))
    scene.look(job, NOW - 90_000)
    scene.look(job, NOW - 10, journal=Journal(lines=lines))
    scene.look(replace(job, status=Status.PAUSED), NOW - 500)
    scene.time_goes_by(key, NOW + 90_000)
    chart = (await Site(scene.house).get("/jobs/together/j")).page.all("svg", class_="chart")[0]
    (alert,) = chart.all("g", class_="ch-alert")
    assert alert.one("title").text == "Alert: stuck: paused for more than 1d"


# ------------------------------------------------------------------------------------------- deliveries


async def test_dead_letters_can_be_replayed_and_dropped(day: Scene) -> None:
    page = (await Site(day.house).get("/deliveries")).page
    rows = page.one("section", id="dead").one("tbody").all("tr")
    assert len(rows) == 2
    assert "HTTP 422: unknown field data.labels.ticket" in rows[0].text
    id = rows[0].attrs["id"]
    buttons = rows[0].all("button")
    assert [(one.text, one.attrs["data-send"]) for one in buttons] == [
        ("Replay", f"/api/v1/deliveries/{id}/retry"),
        ("Drop", f"/api/v1/deliveries/{id}/drop"),
    ]
    assert buttons[1].attrs["data-sure"]
    everything = page.one("section", id="dead").one("div", class_="buttons").one("button")
    assert everything.attrs["data-body"] == '{"notifier": "pipeline", "since": 0, "dead": true}'
    assert "pipeline is out of reach for 12m; 7 wait" in page.one("section", id="failing").text
    assert [one.text for one in page.one("dl", id="tiles").all("dd")][::2] == ["7", "2", "1"]


async def test_dead_letters_come_page_by_page(scene: Scene) -> None:
    job = snapshot("j", "openai-prod", Status.QUEUED, labels={"team": "search"})
    for number in range(130):
        scene.look(replace(job, id=f"j{number}"), NOW)
    for _ in range(3):
        scene.deliver("pipeline", NOW, lambda claim: Rejected("no", final=True))
    site, address, seen = Site(scene.house), "/deliveries", list[str]()
    while True:
        answer = await site.get(address)
        check_page(answer)
        seen += [row.attrs["id"] for row in answer.page.one("section", id="dead").one("tbody").all("tr")]
        more = answer.page.all("a", rel="next")
        if not more:
            break
        address = more[0].attrs["href"]
    assert len(seen) == len(set(seen)) == 130
    assert (await site.get("/deliveries?before=x")).status == 400


# ----------------------------------------------------------------------------------------------- config


async def test_the_config_page_says_who_gets_what(day: Scene) -> None:
    page = (await Site(day.house).get("/config")).page
    cards = {card.one("h3").text: card.text for card in page.all("article")}
    assert "jobs: failed" in cards["oncall email"]
    assert "where labels.team" in cards["pipeline webhook"]
    assert "404 finished, 1 running, 1 validating" in cards["openai-prod openai"]
    rows = page.one("section", id="routes").one("tbody").all("tr")
    assert [row.text for row in rows][1] == 'Route 2 type="fine_tuning.job.failed", from detail on oncall'
    assert "nobody minds the sandbox" in page.one("div", id="silences").text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("status=failed labels.team=search", {"team-slack": "yes", "oncall": "yes", "pipeline": "yes"}),
        ("status=running labels.team=data", {"team-slack": "yes", "oncall": "no", "pipeline": "no"}),
        ("status=failed labels.team=sandbox", {"team-slack": "no", "oncall": "no", "pipeline": "no"}),
    ],
)
async def test_labels_can_be_tried(day: Scene, words: str, said: dict[str, str]) -> None:
    page = (await Site(day.house).get(f"/config?test={quote(words)}")).page
    rows = page.one("form", class_="test").one("tbody").all("tr")
    assert {row.one("th").text: row.all("td")[0].text for row in rows} == said
    assert page.one("input", id="test").attrs["value"] == words


async def test_a_stored_silence_counts_in_a_test_and_can_be_ended(day: Scene) -> None:
    from ftwatch.core.silence import make_silence

    silence = make_silence(
        ["labels.team=data"], until=NOW + HOUR, until_end=False, comment="move", author="lars",
        providers=day.config.providers, now=NOW,
    )  # fmt: skip
    day.store.silences.add(silence, NOW)
    page = (await Site(day.house).get("/config?test=status%3Dfailed+labels.team%3Ddata")).page
    assert "silenced by move" in page.one("form", class_="test").text
    row = next(row for row in page.one("div", id="silences").one("tbody").all("tr") if "lars" in row.text)
    button = row.one("button")
    assert (button.attrs["data-method"], button.attrs["data-send"]) == (
        "DELETE",
        f"/api/v1/silences/{silence.id}",
    )
    assert "in 1h" in row.text


@pytest.mark.parametrize(
    "words", ["typ=x", "status", "status=nope", "'", "status=re:x", "x" * 3000, "labels.=1"]
)
async def test_words_that_mean_nothing_are_answered_with_a_sentence(day: Scene, words: str) -> None:
    answer = await Site(day.house).get(f"/config?test={quote(words)}")
    assert answer.status == 200
    check_page(answer)
    assert answer.page.one("form", class_="test").one("p", role="alert").text


# ---------------------------------------------------------------------------------------------- strangers


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_what_strangers_write_is_text_everywhere(scene: Scene, text: str) -> None:
    """A hostile word in every place that a stranger can write to, on every page that shows it."""
    job = snapshot(
        "id " + text[:300],
        "openai-prod",
        Status.RUNNING,
        name=text,
        owner=text,
        model=text,
        phase=text,
        url=text,
        training_file=text,
        organization_id=text,
        labels={text[:100]: text, "team": "search"},
        metadata={text[:100]: text},
        hyperparameters={text: text},
        created_at=int(NOW - 3000),
        estimated_finish=10**15,
    )
    lines = keyed([Line(at=int(NOW), message=text, level=text, step=1, metrics={"train_loss": 1.0})])
    saved = Checkpoint(id=text, step=1, model=text, metrics={"train_loss": 1.0, text: 2.0})
    scene.look(job, NOW - 2000)
    scene.look(
        replace(job, metadata={"x": text}, phase="y"),
        NOW - 1500,
        journal=Journal(lines=lines, checkpoints=(saved,)),
    )
    failed = replace(
        job, status=Status.FAILED, error=JobError(code=text, message=text, param=text), fine_tuned_model=text
    )
    scene.look(failed, NOW - 100)
    scene.look(replace(job, id="second " + text[:200], status=Status.UNKNOWN, raw_status=text), NOW - 90)
    scene.store.acks.add(job.key, f"a{text}"[:300], text, NOW)
    scene.deliver("pipeline", NOW, lambda claim: Rejected(text, final=True))
    scene.house.pollers["together"].problem = text
    site = Site(scene.house)
    listed = await site.get("/?show=all")
    hrefs = [row.one("th").one("a").attrs["href"] for row in listed.page.one("tbody", id="rows").all("tr")]
    asked = quote(text[:150].encode("utf-8", "ignore"))
    addresses = [*hrefs, "/deliveries", "/config", f"/?q={asked}", f"/?owner={asked}", f"/?provider={asked}",
                 f"/?label=a%3D{asked}", f"/config?test=name%3D{asked}", f"/deliveries?notifier={asked}",
                 f"/jobs/{asked}/{asked}"]  # fmt: skip
    assert len(hrefs) == 2
    for answer in [listed, *[await site.get(address) for address in addresses]]:
        assert answer.status in (200, 400, 404)
        check_inert(answer)


def check_inert(answer: Answer) -> None:
    check_page(answer)
    page = answer.page
    tags = {one.tag for one in page.walk()}
    assert "img" not in tags
    assert len(page.all("script")) == 1
    assert "49 " not in answer.text
    # What a form or a button sends has to be exact; what people read must not trick them.
    read = [page.text, *(one.attrs.get(name, "") for one in page.walk() for name in ("title", "aria-label"))]
    assert not set("".join(read)) & set("\x00\x1b\x85\u2028\u202e\u2066\u200b\ufeff")
    assert not page.all("a", href="javascript:alert(1)")


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "ftp://x/y", " https://x/"]
)
async def test_only_an_address_of_the_web_becomes_a_link(scene: Scene, url: str) -> None:
    scene.look(snapshot("j", "together", Status.RUNNING, url=url), NOW)
    for address in ("/", "/jobs/together/j"):
        page = (await Site(scene.house).get(address)).page
        assert not [one for one in page.all("a") if one.text.startswith("Open at")]


# ------------------------------------------------------------------------------------------------ files


async def test_files_are_kept_by_their_mark_and_asked_for_again_without_it(scene: Scene) -> None:
    site = Site(scene.house)
    page = (await site.get("/")).page
    sheet = page.one("link", rel="stylesheet").attrs["href"]
    answer = await site.get(sheet)
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = await site.get(sheet, if_none_match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    old = await site.get("/static/0123456789ab/style.css")
    assert (old.status, old.headers["cache-control"]) == (200, "no-cache")
    for wrong in ("/static/x/nothing.css", "/static/x/..%2f__init__.py", "/static/style.css"):
        assert (await site.get(wrong)).status == 404
    icon = await site.get("/favicon.ico")
    assert (await site.get(icon.headers["location"])).headers["content-type"] == "image/svg+xml"


def test_all_files_of_a_page_are_small() -> None:
    assert {"style.css", "ftwatch.js", "mark.svg"} <= _FILES.keys()
    assert sum(map(len, _FILES.values())) < 60_000


def test_scripts_and_styles_are_ours_alone() -> None:
    for name, content in _FILES.items():
        text = content.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert "@import" not in text
        for risky in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert risky not in text, risky


# ----------------------------------------------------------------------------------------------- access


async def test_without_the_token_nothing_is_shown_but_the_way_in(tmp_path: Path) -> None:
    scene = Scene(tmp_path, SceneClock(NOW), web=", token: a-token-of-some-length")
    try:
        a_day(scene)
        site = Site(scene.house)
        for address in [*ADDRESSES, f"/static/{MARK}/style.css", "/favicon.ico"]:
            answer = await site.get(address)
            assert answer.status == 401
            assert "support-bot" not in answer.text
        answer = await site.ask(
            "POST",
            "/login",
            b"token=a-token-of-some-length",
            content_type="application/x-www-form-urlencoded",
        )
        cookie = answer.headers["set-cookie"].partition(";")[0]
        page = (await site.get("/", cookie=cookie)).page
        form = page.one("form", action="/logout")
        assert form.one("input").attrs["value"] == page.one("meta", name="csrf").attrs["content"] != ""
        answer = await site.ask(
            "POST", "/logout", f"csrf={form.one('input').attrs['value']}".encode(),
            cookie=cookie, content_type="application/x-www-form-urlencoded",
        )  # fmt: skip
        assert answer.status == 303
    finally:
        scene.store.close()


async def test_who_needs_no_session_is_not_asked_to_leave(day: Scene) -> None:
    assert not (await Site(day.house).get("/")).page.all("form", action="/logout")


async def test_a_program_that_asks_for_nothing_gets_json(day: Scene) -> None:
    answer = await Site(day.house).get("/nowhere", accept="application/json")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    answer = await Site(day.house).get("/api/v1/nowhere")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")


def test_every_route_of_the_pages_is_one_of_those_that_are_tested() -> None:
    assert [route.path for route in pages.routes] == [  # type: ignore[attr-defined]
        "/",
        "/jobs/{provider}/{id:anything}",
        "/deliveries",
        "/config",
        "/favicon.ico",
        "/static/{mark}/{name}",
    ]
