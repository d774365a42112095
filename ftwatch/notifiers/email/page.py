"""A letter's face: the HTML of a message. Pure.

Mail programs drop scripts and what lies elsewhere, and some of them style sheets; so nothing is fetched, and
every style stands at its element. Only the rows of a digest have theirs in common: each with its own, 200 of
them are more than the 102 kB that some programs show. Without it they are merely plain. No colour is set that
has to fit another one of the reader's: text has the colour that the program gives it, on the ground that it
gives, in the dark as well. Every value is escaped.
"""

from collections.abc import Iterator
from html import escape

from ftwatch.core.message import Fact, Message, Row, Tone, is_web

__all__ = ["page"]

COLOURS = {Tone.GOOD: "#1a7f4b", Tone.BAD: "#c62839", Tone.WARN: "#9a6700", Tone.NEUTRAL: "#57606a"}

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
# A grey that is seen on white and on black.
VEIL, LINE = "rgba(127,127,127,.14)", "1px solid rgba(127,127,127,.3)"
# A job's name or a model's id has no blanks to break at.
WRAP = "overflow-wrap:anywhere;word-break:break-word"

ROWS = (
    f"<style>.rows td{{padding:7px 0;vertical-align:top;border-top:{LINE};line-height:22px}}"
    ".rows td:first-child{padding-right:12px;font-size:13px;opacity:.7}"
    ".rows small{display:block;font-size:13px;line-height:19px;opacity:.7}</style>"
)


def page(message: Message) -> str:
    """The whole page, for a phone as well as for a desk."""
    colour = COLOURS[message.tone]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="supported-color-schemes" content="light dark">'
        f"{ROWS if message.rows else ''}</head>"
        f'<body style="margin:0;padding:16px;font:15px/1.5 {FONT}">'
        f'<div style="max-width:600px;margin:0 auto;border-top:4px solid {colour};padding-top:14px">'
        f"{''.join(_parts(message, colour))}</div></body></html>\n"
    )


def _parts(message: Message, colour: str) -> Iterator[str]:
    yield (
        f'<h1 style="margin:0 0 14px;font-size:19px;line-height:1.3;text-wrap:balance;{WRAP}">'
        f"{escape(message.title)}</h1>"
    )
    if message.quote:
        yield (
            f'<p style="margin:0 0 16px;padding:8px 12px;border-left:3px solid {colour};background:{VEIL};'
            f'{WRAP}">{escape(message.quote)}</p>'
        )
    if message.rows:
        yield _table("".join(map(_row, message.rows)), 'class="rows" cellpadding="4" ')
    elif message.lines:
        lines = "<br>".join(map(escape, message.lines))
        yield f'<p style="margin:0 0 16px;{WRAP}">{lines}</p>'
    if message.facts:
        yield _table("".join(map(_fact, message.facts)))
    links = [link for link in message.links if is_web(link[1])]
    if links:
        yield f'<p style="margin:18px 0 0">{"".join(_links(links, colour))}</p>'
    if message.footer:
        yield (
            f'<p style="margin:18px 0 0;padding-top:8px;border-top:{LINE};font-size:12px;opacity:.7;{WRAP}">'
            f"{escape(message.footer)}</p>"
        )


def _table(rows: str, attributes: str = "") -> str:
    return (
        f'<table role="presentation" {attributes}'
        f'style="width:100%;border-collapse:collapse;margin:0 0 4px;{WRAP}">{rows}</table>'
    )


def _fact(fact: Fact) -> str:
    value = escape(fact.value)
    if fact.is_code:
        # One touch takes the whole of it.
        value = (
            f'<code style="font:13px/1.5 {MONO};padding:1px 4px;border-radius:4px;background:{VEIL};'
            f'-webkit-user-select:all;user-select:all">{value}</code>'
        )
    return (
        f'<tr><td style="width:96px;padding:3px 12px 3px 0;vertical-align:top;opacity:.7">'
        f'{escape(fact.label)}</td><td style="padding:3px 0;vertical-align:top">{value}</td></tr>'
    )


def _row(row: Row) -> str:
    said = f"<br><small>{escape(row.said)}</small>" if row.said else ""
    return f"<tr><td nowrap>{escape(row.at)}</td><td>{escape(row.title)}{said}</td></tr>"


def _links(links: list[tuple[str, str]], colour: str) -> Iterator[str]:
    """The first one as a button, the others as words beside it."""
    (text, url), *others = links
    yield (
        f'<a href="{escape(url)}" style="display:inline-block;margin:0 18px 8px 0;padding:8px 16px;'
        f'border-radius:6px;background:{colour};color:#ffffff;text-decoration:none">{escape(text)}</a>'
    )
    for text, url in others:
        yield (
            f'<a href="{escape(url)}" style="display:inline-block;margin:0 18px 8px 0;color:inherit">'
            f"{escape(text)}</a>"
        )
