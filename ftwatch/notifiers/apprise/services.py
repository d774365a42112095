"""How the services behind Apprise read what they are sent: what its plug-ins declare, and what they do not.

No service is asked for here, and none is talked to.
"""

from typing import Any

from ftwatch.wire.markup import Form

__all__ = ["form_of", "has_title", "signs_in"]

# By the names of Apprise's classes, which tell services apart that share a schema.
#
# The format to ask for, of plug-ins that take several and would take another by themselves: what is read
# best, or (Slack) what has an escape for everything.
_BETTER = {
    "NotifyDiscord": "markdown",
    "NotifyGuilded": "markdown",
    "NotifyDingTalk": "markdown",
    "NotifyMatrix": "html",
    "NotifyPushover": "html",
    "NotifySlack": "text",
}
# Services that read Markdown whatever they are told, so that plain text would not stay plain.
_ALWAYS_MARKDOWN = frozenset(
    {
        *("NotifyDiscord", "NotifyFluxer", "NotifyGuilded", "NotifyHumHub", "NotifyMattermost"),
        *("NotifyMisskey", "NotifyNextcloudTalk", "NotifyRevolt", "NotifyRyver", "NotifyServerChan"),
        "NotifyZulip",
    }
)
# What these call Markdown knows no backslash.
_NO_ESCAPE = frozenset({"NotifyCliq", "NotifyEvolution", "NotifyGoogleChat", "NotifySlack", "NotifyWhapi"})
# What these call Markdown is an adaptive card's; the title has a place of its own, where it is one, too.
_CARDS = frozenset({"NotifyWorkflows"})
# Telegram's Markdown comes in two versions; `?mdv=v2` in the URL asks for the new one.
_NEW_MARKDOWN = "MarkdownV2"
# Their plug-ins put the title before the text, where markup counts.
_JOINED = frozenset({"NotifyDiscord", "NotifyFluxer", "NotifyGuilded", "NotifyRevolt"})
# These sign in before they send, which their servers do not let them do once for each of many addresses.
_SIGNING_IN = frozenset(
    {
        *("NotifyBlueSky", "NotifyEmby", "NotifyKakaoTalk", "NotifyMatrix", "NotifyReddit"),
        *("NotifyRingCentral", "NotifyRocketChat", "NotifySendPulse", "NotifyTwist"),
    }
)


def form_of(plugin: Any, formats: Any) -> tuple[Form, Any]:
    """How to write for a service, and what Apprise is to be told that this is.

    `formats` is Apprise's NotifyFormat. A `?format=` in the URL counts where the service takes it.
    """
    name = type(plugin).__name__
    if name == "NotifyTelegram" and plugin.markdown_ver != _NEW_MARKDOWN:
        # The old one knows no escape within what is bold.
        plugin.notify_format = formats.HTML
    wanted = _BETTER.get(name)
    declared = plugin.resolve_format(formats(wanted) if wanted else None)
    form = Form(declared.value)
    if name in _ALWAYS_MARKDOWN:
        form = Form.MARKDOWN
    if form is Form.MARKDOWN:
        form = Form.CHAT if name in _NO_ESCAPE else Form.CARD if name in _CARDS else form
    return form, declared


def has_title(plugin: Any) -> bool:
    """Whether the service shows a title in a place of its own."""
    return int(plugin.title_maxlen) > 0 and type(plugin).__name__ not in _JOINED


def signs_in(plugin: Any) -> bool:
    """Whether a service is signed in to for each message."""
    return type(plugin).__name__ in _SIGNING_IN
