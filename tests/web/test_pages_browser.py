"""The pages in a browser: they live without being loaded anew, and can be used by keyboard and on a phone.

Needs the package `playwright` and a Chromium of the system's; where one is missing, these are left out.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.world import World, until

PAGES = [
    "/",
    "/?show=all",
    "/jobs/sim/ftjob-curves",
    "/jobs/sim/ftjob-failed",
    "/deliveries",
    "/config",
    "/nowhere",
]

ARGUMENTS = [
    f"--{name}"
    for name in (
        *("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync"),
    )
]

# How well each text can be read where it stands: its contrast, and what it says.
CONTRASTS = """() => {
  const parts = (colour) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const one = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * one(r) + 0.7152 * one(g) + 0.0722 * one(b);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found[3] > 250) return found;
    }
    return parts(getComputedStyle(document.documentElement).backgroundColor);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, element = text.parentElement;
    if (!text.textContent.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest(".sr, noscript, desc, title")) continue;
    const style = getComputedStyle(element);
    const ink = parts(element.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
    found.push([Math.round(((a + 0.05) / (b + 0.05)) * 100) / 100, text.textContent.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement);
  return [style.outlineStyle, style.outlineWidth];
}"""

# What is to be pressed and is smaller than a thumb can hit (24 px, as WCAG 2.2 has it).
SMALL = """() => [...document.querySelectorAll("a.chip, button, .menu > summary, nav a, input, select")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24)
  .map((one) => one.outerHTML)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.skip("LEFT OUT: `playwright` is not installed; `make oracles` brings it")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("LEFT OUT: no Chromium is installed; `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    world.steps["ftjob-curves"] = 90
    more = {"user_provided_suffix": "support-bot", "model": "gpt-4.1-mini", "metadata": {"team": "search"}}
    world.put("ftjob-old", "succeeded", user_provided_suffix="old-one")
    try:
        world.start()
        world.knows(1)
        world.put("ftjob-curves", "running", **more)
        world.put("ftjob-live", "running", user_provided_suffix="live-one")
        error = {"code": "invalid_training_file", "message": "Line 17 is no JSON.", "param": "training_file"}
        world.put("ftjob-failed", "failed", user_provided_suffix="broken", error=error)
        world.knows(4)
        yield world
    finally:
        world.close()


Open = Callable[..., Any]


@pytest.fixture
def look(browser: Any, world: World) -> Iterator[Open]:
    """Opens an address in a window of its own; at the end nothing may have gone wrong in any of them."""
    contexts, wrong = [], []

    def open(path: str, *, width: int = 1280, errors: bool = False, **more: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, timezone_id="Asia/Tokyo", **more
        )
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        if not errors:
            page.on(
                "console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None
            )
            page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(world.url) else wrong.append(asked.url))
        page.goto(world.url + path)
        return page

    yield open
    for context in contexts:
        context.close()
    assert wrong == []


def row(page: Any, name: str) -> Any:
    return page.locator("#rows > tr").filter(has=page.get_by_role("link", name=name, exact=True))


# --------------------------------------------------------------------------------------------- it lives


def test_a_status_changes_before_ones_eyes(look: Open, world: World) -> None:
    page = look("/")
    page.locator("#live.on").wait_for()
    row(page, "live-one").locator(".pill", has_text="running").wait_for()
    page.evaluate("document.body.dataset.same = 'page'")
    title = page.title()
    world.put("ftjob-live", "paused")
    row(page, "live-one").locator(".pill", has_text="paused").wait_for()
    assert page.evaluate("document.body.dataset.same") == "page", "it was not loaded anew"
    assert page.title() != title
    until(lambda: page.locator("#said").text_content() == "live-one: paused")
    world.put("ftjob-new", "queued", user_provided_suffix="new-one")
    row(page, "new-one").wait_for()
    assert "fresh" in row(page, "new-one").get_attribute("class")
    world.put("ftjob-live", "running")
    row(page, "live-one").locator(".pill", has_text="running").wait_for()


def test_what_is_unfolded_and_where_the_focus_is_outlive_a_change(look: Open, world: World) -> None:
    page = look("/jobs/sim/ftjob-live")
    page.locator("#live.on").wait_for()
    page.locator("#trust-more > summary").click()
    page.locator("#document-more > summary").click()
    page.get_by_role("link", name="Why").focus()
    world.put("ftjob-live", "running", metadata={"note": "changed"})
    page.locator("#facts", has_text="note=changed").wait_for()
    assert page.locator("#trust-more").get_attribute("open") is not None
    assert page.locator("#document-more").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.textContent") == "Why"


def test_a_page_says_when_ftwatch_no_longer_answers(look: Open) -> None:
    page = look("/", errors=True)
    page.locator("#live.on").wait_for()
    page.context.set_offline(True)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.locator("#live.lost", has_text="no answer since").wait_for()
    with page.expect_event("requestfailed", lambda request: request.resource_type == "eventsource"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(200)
    assert page.locator("#live.lost").count() == 1, "a stream that fails says less"
    page.context.set_offline(False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.locator("#live.on").wait_for()


def test_times_are_those_of_the_wall_and_go_on(look: Open) -> None:
    page = look("/jobs/sim/ftjob-live")
    created = page.locator("#facts time").first
    iso, shown = created.get_attribute("datetime"), created.text_content()
    hour = (int(iso[11:13]) + 9) % 24
    assert shown.endswith(f"{hour:02}:{iso[14:16]}"), "Tokyo is nine hours ahead, summer and winter"
    lasting = page.locator("#job-head time").first
    before = lasting.text_content()
    until(lambda: lasting.text_content() != before)


# ---------------------------------------------------------------------------------------------- finding


def test_filters_narrow_the_list_and_stand_in_the_address(look: Open) -> None:
    page = look("/")
    page.locator("#filters").get_by_role("link", name="failed").click()
    page.wait_for_url("**/?status=failed")
    assert page.locator("#rows > tr").count() == 1
    row(page, "broken").wait_for()
    page.locator("#filters").get_by_role("link", name="failed").click()
    page.get_by_role("searchbox").fill("support")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=support")
    assert page.locator("#rows > tr").count() == 1
    row(page, "support-bot").wait_for()


def test_a_job_page_has_curves_and_a_story(look: Open) -> None:
    page = look("/")
    row(page, "support-bot").locator("svg.spark").wait_for()
    row(page, "support-bot").get_by_role("link", name="support-bot").click()
    page.get_by_role("heading", name="support-bot", level=1).wait_for()
    chart = page.get_by_role("img", name="Loss", exact=False)
    assert chart.count() == 1, "the one for this width"
    assert re.search(
        r"train: from 2\.\d+ at step 1 to 0\.7\d* at step 90", chart.locator("desc").text_content()
    )
    assert chart.bounding_box()["width"] > 500
    assert page.locator("ol.stages .stage-word").all_text_contents()[-1] == "running"
    assert page.locator("ol.story").get_by_text("because of route 2").count() >= 1
    assert "no JSON" not in page.locator("main").text_content()


# ----------------------------------------------------------------------------------------------- acting


def test_a_dead_letter_is_replayed_and_another_dropped(look: Open, world: World) -> None:
    world.takes = False
    world.put("ftjob-dead", "failed", user_provided_suffix="dead-one")
    page = look("/deliveries")
    dead = page.locator("#dead tbody > tr", has_text="dead-one")
    failed = dead.filter(has_text="dead-one failed")
    failed.wait_for()
    assert dead.count() == 2
    failed.locator("details.tries > summary").click()
    assert "HTTP 404" in failed.text_content()
    world.takes = True
    failed.get_by_role("button", name="Replay").click()
    page.locator("#toast", has_text="once more").wait_for()
    failed.wait_for(state="detached")
    until(lambda: any(one["data"]["id"] == "ftjob-dead" for one in world.received))
    dead.get_by_role("button", name="Drop").click()
    sure = dead.get_by_role("button", name="Drop it for good?")
    sure.wait_for()
    assert dead.count() == 1, "what cannot be undone is asked first"
    sure.click()
    dead.wait_for(state="detached")


def test_a_job_is_silenced_from_the_list_and_the_silence_ended(look: Open) -> None:
    page = look("/")
    wanted = row(page, "support-bot")
    wanted.locator(".menu > summary").click()
    assert wanted.get_by_role("button").all_text_contents() == ["Silence 2 h"]
    wanted.get_by_role("button", name="Silence 2 h").click()
    page.locator("#toast", has_text="It is silent for two hours").wait_for()
    row(page, "support-bot").locator(".tag", has_text="silenced").wait_for()
    page.get_by_role("link", name="Config").click()
    silence = page.locator("#silences tbody > tr", has_text="ftjob-curves")
    assert "in 1h 59m" in silence.text_content() or "in 2h" in silence.text_content()
    silence.get_by_role("button", name="Expire").click()
    page.locator("#silences", has_text="Nothing is silent.").wait_for()


def test_a_failure_is_acknowledged(look: Open) -> None:
    page = look("/jobs/sim/ftjob-failed")
    page.get_by_role("button", name="Acknowledge").click()
    page.locator(".tag", has_text="acknowledged by").wait_for()
    assert page.get_by_role("button", name="Acknowledge").count() == 0


def test_a_silence_is_asked_for_by_a_form_that_says_what_is_wrong(look: Open) -> None:
    page = look("/config", errors=True)
    page.get_by_label("What", exact=True).fill("labls.team=x")
    page.get_by_role("button", name="Silence").click()
    page.locator("form.silence [role=alert]", has_text="labls").wait_for()
    page.get_by_label("What", exact=True).fill('labels.team="nobody"')
    page.get_by_label("Why", exact=True).fill("a test")
    page.get_by_label("For", exact=True).select_option("1 day")
    page.get_by_role("button", name="Silence").click()
    silence = page.locator("#silences tbody > tr", has_text="nobody")
    silence.wait_for()
    assert "a test" in silence.text_content()
    silence.get_by_role("button", name="Expire").click()
    page.locator("#silences", has_text="Nothing is silent.").wait_for()


# ------------------------------------------------------------------------------------- without a mouse


def focused(page: Any) -> str:
    said: str = page.evaluate(
        "(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()"
    )
    return said


def test_everything_is_reached_by_keyboard(look: Open) -> None:
    page = look("/")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    assert page.locator(".skip").bounding_box()["y"] >= 0, "it shows once it has the focus"
    seen = []
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.append(focused(page))
        outline = page.evaluate(OUTLINE)
        if page.evaluate("document.activeElement === document.body"):
            break
        assert outline == ["solid", "2px"], seen[-1]
    words = " | ".join(seen)
    assert seen[:4] == ["ftwatch", "Jobs", "Deliveries", "Config"]
    for reached in ("failed", "Everything", "support-bot", "Actions for support-bot"):
        assert reached in words
    page.get_by_label("Actions for support-bot").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "Who was told, and why"
    page.keyboard.press("Escape")
    assert page.locator("details.menu[open]").count() == 0
    assert focused(page) == "Actions for support-bot"


def test_the_way_past_the_top_leads_to_the_content(look: Open) -> None:
    page = look("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_shows_it_whole(look: Open, path: str) -> None:
    page = look(path, width=360, errors=path == "/nowhere")
    page.locator("#trust-more > summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(SMALL) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_everything_can_be_read_by_day_and_by_night(look: Open, path: str, scheme: str) -> None:
    page = look(path, color_scheme=scheme, reduced_motion="reduce", errors=path == "/nowhere")
    page.locator("#trust-more > summary").click()
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    level = sum(map(int, re.findall(r"\d+", back)[:3])) / 3
    assert (level > 200) is (scheme == "light")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 5
    assert [one for one in found if one[0] < 4.5] == []


def test_without_scripts_everything_is_shown(look: Open) -> None:
    page = look("/", java_script_enabled=False)
    row(page, "support-bot").wait_for()
    assert page.get_by_role("button").all_text_contents() == ["Find"]
    assert "as of" in page.locator("#live").text_content()
    page.locator("#filters").get_by_role("link", name="failed").click()
    row(page, "broken").get_by_role("link", name="broken").click()
    assert "invalid data" in page.locator("main").text_content()


# --------------------------------------------------------------------------------------------- strangers


def test_a_hostile_name_stays_a_name(look: Open, world: World) -> None:
    name = "<img src=x onerror=document.title='caught'><script>document.title='caught'</script>"
    page = look("/")
    page.locator("#live.on").wait_for()
    world.put("ftjob-hostile", "running", user_provided_suffix=name, metadata={"<b>": name})
    page.locator("#rows > tr", has_text="onerror").wait_for()
    page.locator("#rows > tr", has_text="onerror").get_by_role("link").first.click()
    page.locator("h1", has_text="onerror").wait_for()
    assert page.title() == f"running · {name[:63]}… · ftwatch"
    assert page.locator("main img, main script").count() == 0
    world.put("ftjob-hostile", "cancelled")
    page.locator(".pill", has_text="cancelled").first.wait_for()


# ----------------------------------------------------------------------------------------------- a session


def test_a_session_begins_with_the_token_and_can_write_and_end(browser: Any, tmp_path: Path) -> None:
    world = World(tmp_path, web=", token: a-token-of-some-length")
    world.put("ftjob-a", "failed", user_provided_suffix="secret-one")
    context = browser.new_context()
    context.set_default_timeout(60_000)
    try:
        world.start()
        world.knows(1)
        page = context.new_page()
        page.goto(world.url + "/jobs/sim/ftjob-a")
        assert "secret-one" not in page.content()
        page.get_by_label("Token").fill("a-token-of-some-length")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="secret-one", level=1).wait_for()
        page.get_by_role("button", name="Acknowledge").click()
        page.locator(".tag", has_text="acknowledged by token").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Token").wait_for()
        assert "secret-one" not in page.content()
        answer = context.request.post(
            world.url + "/api/v1/silences", data=json.dumps({"matchers": ["type=*"]})
        )
        assert answer.status == 401
    finally:
        context.close()
        world.close()
