"""How Apprise is asked to send a message, in a thread, and what is learnt of the service's answer.

Apprise itself never retries here (the outbox does), keeps nothing on disk, and its log stays silent: it would
show whole URLs, and those hold passwords. It says no more than whether it worked; what an HTTP service
answered is overheard (`client.overheard`).
"""

import logging
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ftwatch.client.overheard import overhearing
from ftwatch.core.delivery import Outcome, Rejected, Retry, Sent
from ftwatch.core.message import Message, Tone, clean
from ftwatch.notifiers.apprise.services import form_of, has_title
from ftwatch.wire.markup import Form, dressed, heading, units

__all__ = ["shown", "tell"]

_TYPES = {Tone.GOOD: "success", Tone.BAD: "failure", Tone.WARN: "warning", Tone.NEUTRAL: "info"}
# The least room that is worth writing for: some services say 0 for "any".
SMALLEST = 40


def tell(url: str, message: Message) -> Outcome:
    """Sends to one URL; runs in a thread. Of several services in it, all have to take it."""
    library = _library()
    plugins = _plugins(library, url)
    if not plugins:
        return Rejected("no URL that Apprise knows, or its service needs a package that is not installed")
    notes: list[str] = []
    for plugin in plugins:
        outcome = _tell(library, plugin, message)
        if not isinstance(outcome, Sent):
            return outcome
        if outcome.note and outcome.note not in notes:
            notes.append(outcome.note)
    return Sent("; ".join(notes))


def shown(url: str | None, message: Message) -> str:
    """What the services at a URL would be given, as title and text. Asks nobody."""
    library = _library()
    plugins = _plugins(library, url) if url is not None else []
    if not plugins:
        return f"{message.title}\n\n{dressed(message, Form.TEXT, 1 << 20, titled=False)}"
    told = []
    for plugin in plugins:
        title, body, _ = _words(library, plugin, message)
        picture = message.picture if plugin.attachment_support else None
        attached = f"[{picture.name}: {picture.alt}]" if picture is not None else ""
        told.append("\n\n".join(part for part in (title, body, attached) if part))
    return "\n\n".join(told)


def _plugins(library: Any, url: str) -> list[Any]:
    """Apprise's plug-ins for a URL, as they are to behave here."""
    # Without a time-out of its own it stays in this thread: its pool is one for all, also for what hangs.
    asset = library.AppriseAsset(
        async_mode=False, storage_mode="memory", interpret_emojis=False, service_timeout=0
    )
    service = library.Apprise(asset=asset)
    if not service.add(url):
        return []
    for plugin in service:
        # What did not arrive is tried again by the outbox, which has to know of it.
        plugin.retry, plugin.optional = 0, False
        if plugin.overflow_mode == library.OverflowMode.UPSTREAM:
            # What is too long after all comes in two parts, and is not left to the service to refuse or cut.
            plugin.overflow_mode = library.OverflowMode.SPLIT
    return list(service)


def _words(library: Any, plugin: Any, message: Message) -> tuple[str, str, Any]:
    """Title and text for one service, within its limits, and the format that Apprise is told they have."""
    form, declared = form_of(plugin, library.NotifyFormat)
    title, is_whole = _title(plugin, form, message) if has_title(plugin) else ("", False)
    body = dressed(
        message,
        form,
        max(int(plugin.body_maxlen), SMALLEST),
        # A title that had to be cut stands above the text once more.
        titled=not is_whole,
        measure=lambda text: units(plugin.dialect_convert(text, declared)),
        lines=plugin.body_max_line_count or None,
    )
    return title, body or message.title, declared


def _title(plugin: Any, form: Form, message: Message) -> tuple[str, bool]:
    """What stands in the title's own place, and whether that is all of it."""
    most = int(plugin.title_maxlen)
    # Elsewhere no markup counts in it.
    read_as = form if form is Form.CARD else Form.TEXT
    title = heading(message.title, read_as)
    if len(title) <= most:
        return title, True
    # Every sign may have an escape of its own.
    return heading(clean(message.headline, most if read_as is Form.TEXT else most // 2), read_as), False


def _tell(library: Any, plugin: Any, message: Message) -> Outcome:
    """Sends to one service. What it does not take with its picture is tried once more without."""
    title, body, declared = _words(library, plugin, message)
    said = {
        "title": title,
        "body": body,
        "body_format": declared,
        "notify_type": library.NotifyType(_TYPES[message.tone]),
        "interpret_escapes": False,
    }
    note = ""
    if message.picture is not None and plugin.attachment_support:
        try:
            # Many of Apprise's services open a file by its path, and take nothing from memory.
            with tempfile.TemporaryDirectory(prefix="ftwatch-") as folder:
                file = Path(folder, message.picture.name)
                file.write_bytes(message.picture.png)
                outcome = _asked(library, plugin, {**said, "attach": str(file)})
            if isinstance(outcome, Sent) or (isinstance(outcome, Retry) and outcome.throttled):
                return outcome
            note = "without its picture: the service did not take it"
        except OSError as error:
            note = f"without its picture: {error.strerror or type(error).__name__}"
    outcome = _asked(library, plugin, said)
    return Sent(note) if isinstance(outcome, Sent) else outcome


def _asked(library: Any, plugin: Any, said: Mapping[str, Any]) -> Outcome:
    alone = library.Apprise(asset=plugin.asset)
    alone.add(plugin)
    with overhearing() as heard:
        # In the place of its own wait between two requests: none follows a 429 at once.
        plugin.throttle = partial(heard.pace, plugin.throttle)
        done = alone.notify(**said)
    if done:
        return Sent()
    return heard.outcome or Retry("the service did not take it (Apprise does not say why)")


def _library() -> Any:
    """Apprise, with its log switched off before it can say anything."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    import apprise

    return apprise
