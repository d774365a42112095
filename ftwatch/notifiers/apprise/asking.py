"""How Apprise is asked to send a message, in a thread, and what is learnt of the service's answer.

Apprise itself never retries here (the outbox does), keeps nothing on disk, and its log stays silent: it would
show whole URLs, and those hold passwords. It says no more than whether it worked; what an HTTP service
answered is overheard (`client.overheard`).
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.client.overheard import overhearing
from ftwatch.core.delivery import Outcome, Rejected, Retry, Sent
from ftwatch.core.message import Message, Tone, clean
from ftwatch.notifiers.apprise.services import form_of, has_title, signs_in
from ftwatch.wire.markup import Form, dressed, heading, units

__all__ = ["Told", "shown", "summed", "tell"]

_TYPES = {Tone.GOOD: "success", Tone.BAD: "failure", Tone.WARN: "warning", Tone.NEUTRAL: "info"}
# The least room that is worth writing for: some services say 0 for "any".
SMALLEST = 40


class Told(Struct, frozen=True):
    """What came of sending to one URL, and which of its addresses have taken the message by now."""

    outcome: Outcome
    taken: tuple[int, ...] = ()


def tell(url: str, message: Message, taken: Sequence[int] = ()) -> Told:
    """Sends to all addresses of one URL but those that have `taken` it; runs in a thread.

    One that fails does not keep it from the others, unless all of the service has no time or is out of reach.
    """
    library = _library()
    plugins = _apart(library, url, _plugins(library, url))
    if not plugins:
        said = "no URL that Apprise knows, or its service needs a package that is not installed"
        return Told(Rejected(said))
    done, outcomes, pace = list(taken), list[Outcome](), _Pace()
    for place, plugin in enumerate(plugins):
        if place in taken:
            continue
        plugin.throttle = partial(pace.wait, plugin.throttle)
        outcomes.append(_tell(library, plugin, message))
        if isinstance(outcomes[-1], Sent):
            done.append(place)
        elif isinstance(outcomes[-1], Retry) and (outcomes[-1].throttled or outcomes[-1].unreachable):
            break
    outcome, missing = summed(outcomes), len(plugins) - len(done)
    if isinstance(outcome, Retry | Rejected) and len(plugins) > 1:
        outcome = replace(outcome, reason=f"{missing} of {len(plugins)} addresses: {outcome.reason}")
    return Told(outcome, tuple(done))


def summed(outcomes: Sequence[Outcome]) -> Outcome:
    """What several outcomes come to: all that failed is tried again, as soon as it may be for some of it."""
    said = "; ".join(dict.fromkeys(filter(None, map(_said, outcomes))))
    if retries := [one for one in outcomes if isinstance(one, Retry)]:
        waits = [one.after for one in retries if one.after is not None]
        return Retry(
            said,
            after=max(waits, default=None),
            throttled=all(one.throttled for one in retries),
            unreachable=all(one.unreachable for one in retries),
        )
    refused = next((one for one in outcomes if isinstance(one, Rejected)), None)
    return replace(refused, reason=said) if refused is not None else Sent(said)


def _said(outcome: Outcome) -> str:
    return outcome.note if isinstance(outcome, Sent) else outcome.reason


class _Pace:
    """One pace for all addresses of a service; Apprise has one for each of its plug-ins."""

    def __init__(self) -> None:
        self._last: datetime | None = None

    def wait(self, throttle: Callable[..., None], /, *how: Any, **more: Any) -> None:
        """Waits as the plug-in would, had it sent to the address before."""
        throttle(*how, **{"last_io": self._last, **more})
        # Apprise's own clock knows no zone.
        self._last = datetime.now()  # noqa: DTZ005


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
    return [_behaving(library, plugin) for plugin in service]


def _apart(library: Any, url: str, plugins: list[Any]) -> list[Any]:
    """The plug-ins of a URL, one for each address where that can be: Apprise does not say which failed.

    Where they would not be the same addresses, or each would have to sign in, it stays as it is.
    """
    whole = plugins[0] if len(plugins) == 1 else None
    if whole is None or len(whole) < 2 or signs_in(whole):
        return plugins
    targets = (library.plugins.url_to_dict(url) or {}).get("targets")
    if not isinstance(targets, list) or not all(isinstance(one, str) for one in targets):
        return plugins
    parts = [
        library.Apprise.instantiate(
            {**library.plugins.url_to_dict(url), "targets": [address]}, asset=whole.asset
        )
        for one in targets
        for address in one.split(",")
        if address.strip()
    ]
    if len(parts) != len(whole) or not all(part is not None and len(part) == 1 for part in parts):
        return plugins
    return [_behaving(library, part) for part in parts]


def _behaving(library: Any, plugin: Any) -> Any:
    """A plug-in as it is to behave here."""
    # What did not arrive is tried again by the outbox, which has to know of it.
    plugin.retry, plugin.optional = 0, False
    if plugin.overflow_mode == library.OverflowMode.UPSTREAM:
        # What is too long after all comes in two parts, and is not left to the service to refuse or cut.
        plugin.overflow_mode = library.OverflowMode.SPLIT
    return plugin


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
