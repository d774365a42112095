"""Providers and notifiers: what all have in common, and the options that each kind brings along.

A kind is a guest: whatever its module or its options' class may do, it becomes a sentence at its block.
"""

import dataclasses
import os
import re
from collections.abc import Iterator
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ftwatch import plugins
from ftwatch.config import shape, values
from ftwatch.config.build import build, fields, mapping
from ftwatch.config.model import HookConfig, NotifierConfig, ProviderConfig
from ftwatch.config.report import Broken, Desk
from ftwatch.config.slips import shown_key
from ftwatch.config.templates import wording
from ftwatch.config.yaml import List, Map, Node, Place
from ftwatch.core.delivery import RetryPolicy
from ftwatch.core.event import Event
from ftwatch.core.route import Recipient, did_you_mean
from ftwatch.core.route.hold import Digest, Holding, Quiet
from ftwatch.core.signature import BadSecret, signing_key
from ftwatch.plugins import Audience, HookScheme, Secret

__all__ = ["address_of", "mention_problem", "mentions", "names_of", "notifier", "notifiers", "providers"]

# Requests per second to an account, where neither the file nor the kind says otherwise.
USUAL_RATE = 10.0
SHORTEST_SECRET = 16

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAMES = "letters, digits, - _ and . (at most 64)"

Socket = Literal["provider", "notifier"]


def providers(node: Node | None, desk: Desk) -> dict[str, ProviderConfig]:
    """The section `providers`, and who is in it as the rest of the file may name them."""
    found: dict[str, ProviderConfig] = {}
    former: list[tuple[str, Place]] = []
    for name, at, block in _named("providers", node, desk):
        try:
            kind, common, options = _plugin("provider", name, at, block, desk)
            members = _members(name, kind, options, at, desk)
        except Broken:
            continue
        watch, since = common.watch or (None, None)
        one = ProviderConfig(
            name=name,
            kind=kind.name,
            labels=common.labels,
            poll=common.poll,
            discover=common.discover,
            rate=common.rate if common.rate is not None else kind.rate,
            baseline=common.baseline,
            watch=watch,
            since=since,
            degraded_after=common.degraded_after,
            settle=common.settle,
            job_log=common.job_log,
            was=common.was,
            hook=_hook(name, kind, common, options, block, desk),
            options=options,
        )
        many = [_member(one, added, own, kind.member_label) for added, own in members.items()] or [one]
        for each in many:
            if members and (each.name in found or each.name in names_of(node)):
                desk.error(at, f"{name!r} makes a provider {each.name!r}, and another one has that name")
            found[each.name] = each
            if each.was is not None:
                former.append((each.was, block.entries["was"][1].at))
        if members:
            desk.groups[name] = tuple(each.name for each in many)
    # Who names a block that could not be read makes no second mistake.
    desk.providers = (*found, *(name for name in names_of(node) if name not in found | desk.groups))
    for was, place in former:
        if was in desk.providers:
            desk.error(place, f"was: {was!r} is the name of a provider in this file")
    return found


def _hook(
    name: str, kind: "_Kind", common: shape.Provider, options: Any, block: Map, desk: Desk
) -> HookConfig | None:
    """How the provider's webhooks prove whose they are; None where none are accepted."""
    own = getattr(options, kind.hook_secret, None) if kind.hook_secret else None
    given = common.webhook_secret or own
    if kind.hook_secret and (given is None or (own is not None and common.webhook_secret is not None)):
        desk.error(block.at, f"{name!r} needs {kind.hook_secret} or webhook_secret: one of them lets it in")
        return None
    scheme = common.scheme or kind.hook_scheme
    if (scheme == "header") != (common.scheme_header is not None):
        place = block.place("scheme_header" if common.scheme_header is not None else "scheme")
        desk.error(place, "scheme: header and scheme_header (the header's name) are of use only together")
        return None
    if given is None:
        for key in ("scheme", "scheme_header"):
            if block.get(key) is not None:
                desk.error(block.place(key), f"{name!r} needs a webhook_secret beside {key}")
        return None
    secrets = given if isinstance(given, tuple) else (given,)
    if scheme == "standard":
        desk.checks.append(lambda: _judge_secrets(secrets, block, desk))
    elif scheme in ("bearer", "header"):
        desk.checks.append(lambda: _judge_length(secrets, block, desk))
    header = (common.scheme_header or "").lower()
    return HookConfig(secrets=secrets, scheme=scheme, header=header, tolerance=common.tolerance)


def _judge_secrets(secrets: tuple[Secret, ...], block: Map, desk: Desk) -> None:
    """Secrets of the scheme `standard` that are none."""
    place = next((block.place(key) for key in block.entries if key.startswith("webhook_secret")), block.at)
    for secret in secrets:
        try:
            signing_key(secret.reveal())
        except LookupError:
            continue  # Who needs the secret says so.
        except BadSecret as error:
            desk.error(place, f"webhook_secret: {error}; another sender may need scheme: github, stripe, …")


def _judge_length(secrets: tuple[Secret, ...], block: Map, desk: Desk) -> None:
    """Secrets that come along as they are, and are short enough to be guessed."""
    for secret in secrets:
        try:
            if len(secret.reveal()) < SHORTEST_SECRET:
                sentence = f"what lets webhooks in is shorter than {SHORTEST_SECRET} characters"
                desk.warning(block.at, f"{sentence}: it can be guessed")
        except LookupError:
            pass  # Who needs the secret says so.


def _members(name: str, kind: "_Kind", options: Any, at: Place, desk: Desk) -> dict[str, Any]:
    """The accounts that a block stands for, by what is added to its name; none where it is itself one."""
    try:
        members = dict(options.members()) if hasattr(options, "members") else {}
    except Exception as error:  # a guest's options may fail in any way
        raise _guest(kind.name, error, desk, at) from None
    fine = True
    for added in members:
        if not _NAME.fullmatch(f"{name}-{added}"):
            fine = False
            desk.error(at, f"{name!r} makes {f'{name}-{added}'[:70]!r}, which is no name: use {NAMES}")
    if not fine:
        raise Broken
    return members


def _member(block: ProviderConfig, added: str, options: Any, label: str | None) -> ProviderConfig:
    """One account of a block that stands for several."""
    return dataclasses.replace(
        block,
        name=f"{block.name}-{added}",
        labels={label: added, **block.labels} if label else block.labels,
        was=f"{block.was}-{added}" if block.was else None,
        options=options,
    )


def notifiers(node: Node | None, desk: Desk) -> tuple[dict[str, NotifierConfig], tuple[Recipient, ...]]:
    """The section `notifiers`, and its notifiers as routing sees them."""
    found: dict[str, NotifierConfig] = {}
    recipients = []
    for name, at, block in _named("notifiers", node, desk):
        try:
            found[name], recipient = notifier(name, at, block, desk)
        except Broken:
            continue
        recipients.append(recipient)
    return found, tuple(recipients)


def notifier(
    name: str, at: Place, block: Map, desk: Desk, *, is_target: bool = False
) -> tuple[NotifierConfig, Recipient]:
    """One notifier, and as routing sees it. Raises Broken where it cannot be used."""
    kind, common, options = _plugin("notifier", name, at, block, desk)
    policy = kind.retry
    if common.retry is not None:
        said = {key: value for key, value in vars(common.retry).items() if value is not None}
        for key in said.keys() & {"waits", "slow"}:
            said[key] = tuple(wait.total_seconds() for wait in said[key])
        if said.get("fold") and kind.folds < 2:
            desk.error(block.entries["retry"][1].at, f"fold: {kind.name} sends every event on its own")
        said["fold"] = said.get("fold", policy.fold) or None
        policy = dataclasses.replace(policy, **said)
    if common.template is not None and kind.audience == "machines":
        sentence = f"template: {kind.name} sends no message, but the event itself"
        raise desk.error(block.place("template"), sentence)
    config = NotifierConfig(
        name=name,
        kind=kind.name,
        options=options,
        retry=policy,
        closure=common.closure,
        throttle=common.throttle,
        template=wording(common.template, block, desk, partial(_samples, name, desk)),
        shows_messages=kind.audience == "people",
        report=Digest(at=common.report.at, days=common.report.days) if common.report is not None else None,
        zone=common.timezone or local_zone(),
    )
    recipient = Recipient(
        name=name,
        kind=kind.name,
        audience=kind.audience,
        closure=common.closure,
        holding=_holding(common),
        is_target=is_target,
        reports=common.report is not None,
    )
    return config, recipient


def _holding(common: shape.Notifier) -> Holding | None:
    """When a notifier wants to be told; None: whenever there is something to tell."""
    quiet, digest = common.quiet_hours, common.digest
    if quiet is None and digest is None:
        return None
    return Holding(
        zone=common.timezone or local_zone(),
        quiet=Quiet(begin=quiet.begin, end=quiet.end, days=quiet.days, passes=quiet.passes)
        if quiet is not None
        else None,
        digest=Digest(at=digest.at, days=digest.days, passes=digest.passes) if digest is not None else None,
    )


def local_zone() -> tzinfo:
    """The zone of this machine's clock on the wall."""
    named = os.environ.get("TZ") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    try:
        return ZoneInfo(named.removeprefix(":"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def names_of(node: Node | None) -> tuple[str, ...]:
    """The names that a section defines, readable or not."""
    return tuple(node.entries) if isinstance(node, Map) else ()


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What of a plug-in class matters here."""

    name: str
    options: type
    retry: RetryPolicy
    audience: Audience
    folds: int
    member_label: str | None
    rate: float
    hook_scheme: HookScheme
    hook_secret: str
    address: str | None


def address_of(name: str, block: Map, desk: Desk) -> str | None:
    """The option of a notifier that says where it goes, if it has one. Raises Broken."""
    return _kind("notifier", name, block.at, block, desk).address


def mentions(one: NotifierConfig) -> bool:
    """Whether messages of a notifier can notify anybody by name."""
    return hasattr(one.options, "mention_problem")


def mention_problem(one: NotifierConfig, word: str, desk: Desk, at: Place) -> str | None:
    """Why messages of a notifier cannot notify whom `word` names; None where they can. Raises Broken."""
    try:
        problem: str | None = one.options.mention_problem(word)
    except Exception as error:  # a guest's options may fail in any way
        raise _guest(one.kind, error, desk, at) from None
    return problem


def _named(section: str, node: Node | None, desk: Desk) -> Iterator[tuple[str, Place, Map]]:
    """The blocks of a section, by name."""
    if node is None:
        return
    try:
        block = mapping(node, desk, section)
    except Broken:
        return
    for name, (written, inner) in block.entries.items():
        if not _NAME.fullmatch(name):
            desk.error(written.at, f"{name[:70]!r} is no name: use {NAMES}")
            continue
        try:
            yield name, written.at, mapping(inner, desk, name)
        except Broken:
            continue


def _plugin(socket: Socket, name: str, at: Place, block: Map, desk: Desk) -> tuple[_Kind, Any, Any]:
    """A provider's or notifier's kind, what it has in common with all, and its own options."""
    kind = _kind(socket, name, at, block, desk)
    common_shape = shape.Provider if socket == "provider" else shape.Notifier
    what = f"{socket} {name!r}"
    try:
        common_keys = {form for field in fields(common_shape) for form in field.forms}
        own_keys = {form for field in fields(kind.options) for form in field.forms}
    except Exception as error:
        raise _guest(kind.name, error, desk, at) from None
    fine = True
    # A key that neither side knows is told once, by the side that knows the kind's own.
    common = options = None
    shared = Map(block.at, {key: entry for key, entry in block.entries.items() if key in common_keys})
    rest = Map(block.at, {key: entry for key, entry in block.entries.items() if key not in common_keys})
    try:
        common = build(common_shape, shared, at, desk, what)
    except Broken:
        fine = False
    try:
        later = [key for key in shape.LATER[socket] if key not in own_keys]
        options = build(kind.options, rest, at, desk, what, later=later, others=common_keys)
    except Broken:
        fine = False
    except Exception as error:
        raise _guest(kind.name, error, desk, at) from None
    if not fine:
        raise Broken
    if hasattr(options, "problems") or hasattr(options, "objections"):
        desk.checks.append(lambda: _ask(options, name, kind, block, at, desk))
    return kind, common, options


def _kind(socket: Socket, name: str, at: Place, block: Map, desk: Desk) -> _Kind:
    written = block.get("kind")
    kind, place = name, at
    if written is not None:
        kind, place = values.value("kind", str, written, desk), written.at
    installed = plugins.kinds(socket)
    if kind not in installed:
        known = ", ".join(sorted(installed)) or "none"
        if written is None:
            near = did_you_mean(kind, installed) or f"; give it a kind: {known}"
            sentence = f"{name!r} is no kind of {socket}{near}"
        else:
            near = did_you_mean(kind, installed) or f"; installed: {known}"
            sentence = f"no {socket} is of kind {kind!r}{near}"
        raise desk.error(place, sentence)
    try:
        found = plugins.load_kind(socket, kind)
        audience: Audience = found.audience if socket == "notifier" else "people"
        retry, folds = getattr(found, "retry", RetryPolicy()), getattr(found, "folds", 0)
        member_label = getattr(found.Options, "member_label", None)
        return _Kind(
            name=kind,
            options=found.Options,
            retry=retry,
            audience=audience,
            folds=folds,
            member_label=member_label,
            rate=getattr(found, "rate", USUAL_RATE),
            hook_scheme=getattr(found, "hook_scheme", "standard"),
            hook_secret=getattr(found, "hook_secret", ""),
            address=getattr(found, "address", None),
        )
    except Exception as error:  # a guest's module may fail in any way
        raise _guest(kind, error, desk, place) from None


def _guest(kind: str, error: Exception, desk: Desk, at: Place) -> Broken:
    reason = f"{type(error).__name__}: {error}"[:200]
    return desk.error(at, f"the plug-in of kind {kind!r} cannot be used: {reason}")


def _ask(options: Any, name: str, kind: _Kind, block: Map, at: Place, desk: Desk) -> None:
    """What a plug-in itself has against its options. Skipped where a secret that it needs is not here."""
    try:
        if hasattr(options, "problems"):
            for option, sentence in options.problems():
                _tell(option, sentence, kind, block, at, desk)
        if hasattr(options, "objections"):
            for option, sentence in options.objections(_samples(name, desk)):
                _tell(option, sentence, kind, block, at, desk)
    except LookupError:
        return
    except Exception as error:
        _guest(kind.name, error, desk, at)


def _samples(name: str, desk: Desk) -> dict[str, Event]:
    """Those that can reach a notifier by what the routes say, by their names."""
    # Imported late: hardly any kind wants them.
    from ftwatch.core.reach import conditions
    from ftwatch.core.sample import SAMPLES, sample

    (recipient,) = (one for one in desk.routing.recipients if one.name == name)
    events = {each: sample(each) for each in SAMPLES}
    return {each: event for each, event in events.items() if conditions(event, recipient, desk.routing)}


def _tell(
    option: str | tuple[str | int, ...], sentence: str, kind: _Kind, block: Map, at: Place, desk: Desk
) -> None:
    steps = tuple(option.split(".")) if isinstance(option, str) else option
    key, place = _placed(steps, kind.options, block, at)
    desk.error(place, f"{key}: {sentence}")


def _placed(steps: tuple[str | int, ...], options: type, block: Map, at: Place) -> tuple[str, Place]:
    """The key that gives an option, and its place; further steps lead into its block, or into a form.

    What was not given is placed at the block that it is missing from.
    """
    outer, *inner = steps
    field = next((field for field in fields(options) if field.name == outer), None)
    given = next((form for form in field.forms if form in block.entries), None) if field else None
    if field is None or given is None:
        return _joined(steps), at
    node = block.entries[given][1]
    if inner and field.is_block and isinstance(node, Map):
        shape: Any = next(part for part in values.members(field.hint) if dataclasses.is_dataclass(part))
        key, place = _placed(tuple(inner), shape, node, node.at)
        return f"{given}.{key}", place
    for step in inner:
        if isinstance(node, Map) and step in node.entries:
            node = node.entries[str(step)][1]
        elif isinstance(node, List) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            break
    return _joined((given, *inner)), node.at


def _joined(steps: tuple[str | int, ...]) -> str:
    """The way to a value as a sentence may tell it."""
    first, *rest = steps
    return shown_key(str(first)) + "".join(
        f"[{step}]" if isinstance(step, int) else f".{shown_key(step)}" for step in rest
    )
