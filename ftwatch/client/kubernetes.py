"""The way into a Kubernetes cluster, kept open: tokens rotate, plugins are asked again when theirs run out.

Where the cluster is and how to get in says `kubeconfig`; what to ask it for is a kind's affair.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from ftwatch.client import kubeconfig
from ftwatch.client.api import Auth, can_be_sent
from ftwatch.client.kubeconfig import Found, Plugin
from ftwatch.core.message import clean
from ftwatch.log import redacted
from ftwatch.plugins import ProviderError

__all__ = ["Cluster"]

# How long a plugin may take (seconds): some ask a slow service of their own.
PATIENCE = 60.0
# A credential is not used in its last seconds.
MARGIN = 30.0
# A refusal soon after a plugin gave a credential is no reason to ask it again.
FRESH = 60.0


@dataclass(frozen=True, kw_only=True)
class _Credential:
    """What a plugin gave: until when it is good (Unix seconds; None: until it is refused), and since when."""

    plugin: Plugin
    token: str | None = field(repr=False)
    certificate: str | None
    key: str | None = field(repr=False)
    until: float | None
    since: float


class Cluster(Auth):
    """A cluster: the one that a kubeconfig names, or (`file` None) the one that this process runs in.

    `now` gives Unix seconds. The current context is the one that was current first: who turns to another
    cluster on the command line does not turn the daemon's head.
    """

    def __init__(
        self, file: Path | None, context: str | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self._context = context
        self._now = now
        self._found: Found | None = None
        self._credential: _Credential | None = None
        self._asking = anyio.Lock()

    async def look(self) -> Found:
        """Where the cluster is, and the way in as of now. Raises ProviderError with a sentence.

        That is `denied` before the first way in was found; later on, somebody may be rewriting the file.
        """
        try:
            found = await anyio.to_thread.run_sync(self._read)
            if found.plugin is not None:
                async with self._asking:
                    found = _with(found, await self._credential_of(found.plugin))
        except ProviderError as error:
            raise ProviderError(error.reason, denied=self._found is None) from None
        if found.token is not None and not can_be_sent(found.token):
            raise ProviderError("the cluster's token holds a character that no header can carry", denied=True)
        self._found = found
        return found

    def refused(self, found: Found) -> bool:
        """After the cluster refused this way in: whether another look finds another one.

        So it is where a plugin gave it, unless just now; and where somebody else was refused before.
        """
        held = self._credential
        if found.plugin is None or held is None or _with(found, held) != found:
            return found.plugin is not None
        if self._now() < held.since + FRESH:
            return False
        self._credential = None
        return True

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """The token that the last look found, if there is one: a certificate lets in as well."""
        found = self._found or await self.look()
        return {"authorization": f"Bearer {found.token}"} if found.token else {}

    def secrets(self) -> Sequence[str]:
        """The token."""
        return [self._found.token] if self._found and self._found.token else []

    # ---------------------------------------------------------------------------------------- the file

    def _read(self) -> Found:
        if self._file is None:
            return kubeconfig.from_pod()
        found = kubeconfig.from_file(self._file, self._context)
        self._context = found.context
        return found

    # -------------------------------------------------------------------------------------- the plugin

    async def _credential_of(self, plugin: Plugin) -> _Credential:
        """The plugin's credential, as long as it is good."""
        held = self._credential
        ends = held.until if held is not None else None
        if held is None or held.plugin != plugin or (ends is not None and self._now() >= ends - MARGIN):
            self._credential = held = self._credential_in(await _printed(plugin), plugin)
        return held

    def _credential_in(self, printed: bytes, plugin: Plugin) -> _Credential:
        try:
            said = json.loads(printed)["status"]
            given = {key: said.get(key) for key in ("token", "clientCertificateData", "clientKeyData")}
            until = said.get("expirationTimestamp")
            ends = datetime.fromisoformat(until).timestamp() if until else None
            if not any(given.values()) or not all(isinstance(v, str | None) for v in given.values()):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise _failed(plugin, "what it prints is no ExecCredential with a token or certificate") from None
        return _Credential(
            plugin=plugin,
            token=given["token"],
            certificate=given["clientCertificateData"],
            key=given["clientKeyData"],
            until=ends,
            since=self._now(),
        )


def _with(found: Found, held: _Credential) -> Found:
    """A way in with what a plugin gave."""
    trust = found.trust
    if held.certificate:
        trust = replace(trust, certificate=held.certificate, key=held.key)
    return replace(found, trust=trust, token=held.token or found.token)


async def _printed(plugin: Plugin) -> bytes:
    """What a plugin prints. Raises ProviderError(denied)."""
    try:
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(
                plugin.argv,
                input=b"",
                check=False,
                env={**os.environ, **dict(plugin.environment)},
                start_new_session=True,
            )
    except TimeoutError:
        raise _failed(plugin, f"it did not end within {PATIENCE:g} s") from None
    except OSError as error:
        raise _failed(plugin, f"cannot run it: {(error.strerror or 'no such command').lower()}") from None
    except ValueError:
        raise _failed(plugin, "its command cannot be run") from None
    if done.returncode != 0:
        complaint = clean(redacted(done.stderr.decode("utf-8", "replace")[-400:]), 200)
        raise _failed(plugin, f"exit code {done.returncode}{f': {complaint}' if complaint else ''}")
    return done.stdout


def _failed(plugin: Plugin, why: str) -> ProviderError:
    return ProviderError(f"the exec plugin {clean(plugin.argv[0], 100)} failed: {why}", denied=True)
