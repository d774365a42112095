"""The golden files as people see them: sheets of pictures of letters, and of Slack's messages.

python bench/gallery.py [folder] [part of a name]

All is drawn by Chromium, as wide as a phone and as a desk, in the light and in the dark. Slack's blocks are
drawn by a page of our own that knows as much of Block Kit as is sent: sections and their fields, buttons,
contexts, the bar of an attachment, and of mrkdwn what Slack makes of it.
"""

import html
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

GOLDEN = Path(__file__).parents[1] / "tests" / "data" / "golden"
WIDTHS = {"phone": 390, "desk": 900}
# So many messages to a sheet, so many beside each other.
PER_SHEET, COLUMNS = {"phone": 12, "desk": 8}, {"phone": 4, "desk": 2}
THEMES = ("light", "dark")


def main() -> None:
    """Draws all sheets, or those whose name has the word in it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/gallery")
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, pages in collections():
            for width in WIDTHS:
                for theme in THEMES:
                    if word in f"{name}-{width}-{theme}":
                        draw(browser, folder, name, pages, width, theme)
        browser.close()


def collections() -> Iterator[tuple[str, dict[str, str]]]:
    """What there is to draw: the name, and a page for each sort of event."""
    yield "email", json.loads((GOLDEN / "email-html.json").read_text("utf-8"))
    webhook = json.loads((GOLDEN / "slack-webhook.json").read_text("utf-8"))
    yield "slack-webhook", {name: slack(what) for name, what in webhook.items()}
    bot = json.loads((GOLDEN / "slack-bot.json").read_text("utf-8"))
    yield "slack-bot", {name: slack(*calls) for name, calls in bot.items()}


def draw(browser: Browser, folder: Path, name: str, pages: dict[str, str], width: str, theme: str) -> None:
    """The sheets of one collection, at one width and in one light."""
    context = browser.new_context(color_scheme=theme, viewport={"width": 1800, "height": 900})
    tab = context.new_page()
    told = list(pages.items())
    step = PER_SHEET[width]
    for number, start in enumerate(range(0, len(told), step)):
        tab.set_content(sheet(told[start : start + step], WIDTHS[width], COLUMNS[width], theme))
        tab.wait_for_function("window.drawn === document.querySelectorAll('iframe').length")
        overflowing = tab.evaluate("window.wide")
        file = folder / f"{name}-{width}-{theme}-{number}.png"
        tab.screenshot(path=file, full_page=True)
        print(file, f"wider than the screen: {', '.join(overflowing)}" if overflowing else "")
    context.close()


def sheet(told: list[tuple[str, str]], width: int, columns: int, theme: str) -> str:
    """Several pages in frames of one width, each as high as it is."""
    ground, ink = ("#ddd", "#333") if theme == "light" else ("#000", "#ccc")
    frames = "".join(
        f"<figure><figcaption>{html.escape(name)}</figcaption>"
        f'<iframe width="{width}" name="{html.escape(name)}" srcdoc="{html.escape(page)}" onload="fit(this)">'
        "</iframe></figure>"
        for name, page in told
    )
    return f"""<!doctype html><meta charset="utf-8"><style>
body {{ margin: 10px; background: {ground}; color: {ink}; font: 13px sans-serif; columns: {columns};
  column-gap: 12px; width: {columns * (width + 16)}px }}
figure {{ margin: 0 0 14px; break-inside: avoid }}
iframe {{ border: 0; display: block; background: {"#fff" if theme == "light" else "#121212"} }}
</style><script>
window.drawn = 0; window.wide = [];
function fit(frame) {{
  const root = frame.contentDocument.documentElement;
  frame.style.height = root.scrollHeight + 'px';
  if (root.scrollWidth > frame.clientWidth) window.wide.push(frame.name);
  window.drawn++;
}}
</script>{frames}"""


# ------------------------------------------------------------------------------------------ as Slack draws it

STYLE = """
:root { color-scheme: light dark }
body { margin: 0; padding: 8px 16px 12px; font: 15px/1.466 Lato, 'Noto Sans', Arial, sans-serif;
  color: #1d1c1d; background: #fff; overflow-wrap: anywhere }
.message { display: flex; gap: 8px; margin: 8px 0 }
.message.answer { margin-left: 44px }
.face { flex: 0 0 36px; height: 36px; border-radius: 8px; background: #4a154b; color: #fff;
  text-align: center; line-height: 36px; font-weight: 900 }
.answer .face { flex-basis: 24px; height: 24px; line-height: 24px; font-size: 11px }
.who { font-weight: 900 } .who i { font: 700 10px sans-serif; background: #e8e8e8; color: #616061;
  padding: 1px 3px; border-radius: 2px; margin: 0 4px }
.who span { font-weight: 400; font-size: 12px; color: #616061 }
.rest { flex: 1; min-width: 0 }
.attachment { border-left: 4px solid; border-radius: 4px; padding-left: 12px; margin-top: 4px;
  max-width: 600px }
.section { margin: 4px 0 8px; white-space: pre-wrap }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 16px; margin: 4px 0 8px }
@media (max-width: 500px) { .fields { grid-template-columns: 1fr } }
.fields div { white-space: pre-wrap }
blockquote { margin: 4px 0; padding-left: 12px; border-left: 4px solid #ddd }
code { font: 12px monospace; color: #e01e5a; background: rgba(29,28,29,.04);
  border: 1px solid rgba(29,28,29,.13); border-radius: 3px; padding: 2px 3px }
.actions { display: flex; flex-wrap: wrap; gap: 8px; margin: 4px 0 8px }
.actions a { border: 1px solid rgba(29,28,29,.3); border-radius: 4px; padding: 0 10px 1px; line-height: 28px;
  font-size: 13px; font-weight: 700; color: inherit; text-decoration: none }
.context { font-size: 12px; color: #616061; margin: 4px 0 }
.called { color: #1264a3; background: #e8f5fa; border-radius: 3px; padding: 0 2px }
.sent-too { font-size: 12px; color: #616061 }
@media (prefers-color-scheme: dark) {
  body { background: #1a1d21; color: #d1d2d3 } .who span, .context, .sent-too { color: #ababad }
  .actions a { border-color: #565856 } blockquote { border-color: #4d4d50 }
  code { color: #e8912d; background: #222529; border-color: #3c3e41 }
}
"""


def slack(*calls: dict[str, Any]) -> str:
    """One message, or a message and the answers in its thread."""
    shown = "".join(_message(call, number > 0) for number, call in enumerate(calls))
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{shown}'


def _message(call: dict[str, Any], is_answer: bool) -> str:
    attachments = "".join(map(_attachment, call.get("attachments", ())))
    # Beside blocks `text` is a mere notification; without any, Slack shows it above the attachments.
    blocks = "".join(map(_block, call.get("blocks", ())))
    text = blocks or f'<div class="section">{mrkdwn(call.get("text", ""))}</div>'
    too = '<div class="sent-too">also sent to the channel</div>' if call.get("reply_broadcast") else ""
    method = call.get("method", "").partition(".")[2]
    kind = "message answer" if is_answer else "message"
    return (
        f'<div class="{kind}"><div class="face">ft</div><div class="rest">{too}'
        f'<div class="who">ftwatch<i>APP</i><span>08:20 {method}</span></div>{text}{attachments}</div></div>'
    )


def _attachment(one: dict[str, Any]) -> str:
    blocks = "".join(map(_block, one["blocks"]))
    return f'<div class="attachment" style="border-color:{one["color"]}">{blocks}</div>'


def _block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "section" if "fields" in block:
            return (
                f'<div class="fields">{"".join(f"<div>{_text(one)}</div>" for one in block["fields"])}</div>'
            )
        case "section":
            return f'<div class="section">{_text(block["text"])}</div>'
        case "actions":
            buttons = (
                f'<a href="{html.escape(one["url"])}">{_text(one["text"])}</a>' for one in block["elements"]
            )
            return f'<div class="actions">{"".join(buttons)}</div>'
        case "context":
            return f'<div class="context">{" ".join(map(_text, block["elements"]))}</div>'
        case "image":
            return f'<div class="section"><b>[{html.escape(block.get("alt_text", "picture"))}]</b></div>'
    raise ValueError(f"no block that is drawn here: {block['type']}")


def _text(text: dict[str, Any]) -> str:
    return mrkdwn(text["text"]) if text["type"] == "mrkdwn" else html.escape(text["text"])


def mrkdwn(text: str) -> str:
    """What Slack makes of its own markup; all else is text, already escaped the way Slack wants it."""
    text = re.sub(r"<[@!](?:subteam\^)?(\w+)>", r'<span class="called">@\1</span>', text)
    text = re.sub(r"<!date\^\d+\^[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<(https?://[^|>]+)\|([^>]*)>", r'<a href="\1">\2</a>', text)
    text = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", text)
    text = re.sub(r"(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?![\w*])", r"<b>\1</b>", text)
    text = re.sub(r"(?<![\w_])_(\S(?:[^_\n]*\S)?)_(?![\w_])", r"<i>\1</i>", text)
    text = re.sub(r"(?<![\w~])~(\S(?:[^~\n]*\S)?)~(?![\w~])", r"<s>\1</s>", text)
    return re.sub(r"(?:^|\n)(?:&gt;|>) ?([^\n]*)", r"<blockquote>\1</blockquote>", text)


if __name__ == "__main__":
    main()
