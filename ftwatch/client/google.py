"""The way in to Google's APIs: tokens that google-auth fetches, kept until they are about to expire.

google-auth is an extra, so it is imported when it is first needed. It works in a thread, with a transport of
its own: it asks token services and metadata servers that no option names.
"""

import json
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

import anyio
import anyio.to_thread

from ftwatch.client.api import Auth
from ftwatch.plugins import ProviderError, Secret

__all__ = ["GoogleToken"]

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
NOT_INSTALLED = "google-auth is not installed: install ftwatch[google]"
NOT_THERE = (
    "there are no credentials: set the option credentials_file, or the variable "
    "GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`"
)
UNUSABLE = "the credentials cannot be used: their key, or another field, is malformed"
UNREACHABLE = "Google's token service cannot be reached"
# Seconds that one request for a token may take; several may be needed for one token.
LONGEST_REQUEST = 10.0

# What a credentials file may be, by its `type`: the module and the maker of such credentials. Files that run
# programs, or ask other clouds, are left to the application default credentials.
_MAKERS = {
    "service_account": ("google.oauth2.service_account", "from_service_account_info"),
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_info"),
    "external_account": ("google.auth.identity_pool", "from_info"),
    "impersonated_service_account": (
        "google.auth.impersonated_credentials",
        "from_impersonated_service_account_info",
    ),
}


class GoogleToken(Auth):
    """A bearer token, of the credentials in `option` (JSON), else of the application default credentials.

    `timeout` is how many seconds a new token may take in all. After a refusal the credentials are looked for
    again: a key may have been exchanged since, or somebody has logged in anew.
    """

    def __init__(self, option: Secret | None, *, timeout: float) -> None:
        self._option = option
        self._timeout = timeout
        self._credentials: Any = None
        self._is_refused = False
        self._refreshing = anyio.Lock()

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """The token's header, and whom to charge where the credentials say so. One refresh at a time."""
        async with self._refreshing:
            if self._is_refused or self._credentials is None or not self._credentials.valid:
                await self._renew()
        found: dict[str, str] = {}
        self._credentials.apply(found)
        return found

    def refused(self) -> None:
        """The token does not let in: the next request needs another."""
        self._is_refused = True

    def secrets(self) -> Sequence[str]:
        """The token."""
        token = self._credentials.token if self._credentials is not None else None
        return [token] if token else []

    @property
    def account(self) -> str | None:
        """Whose credentials these are, where they have been used and say so."""
        name = getattr(self._credentials, "service_account_email", None)
        return name if isinstance(name, str) else None

    async def _renew(self) -> None:
        """Gets a new token. Raises ProviderError."""
        held = None if self._is_refused else self._credentials
        try:
            with anyio.fail_after(self._timeout):
                found = await anyio.to_thread.run_sync(self._refreshed, held, abandon_on_cancel=True)
        except TimeoutError:
            raise ProviderError(f"no token from Google within {self._timeout:g} s") from None
        except ProviderError as error:
            self._is_refused = self._is_refused or error.denied
            raise
        self._credentials, self._is_refused = found, False

    def _refreshed(self, held: Any) -> Any:
        """These credentials, or those that there are, with a new token, in a thread. Raises ProviderError."""
        try:
            exceptions = import_module("google.auth.exceptions")
            request = import_module("google.auth.transport.requests").Request()
        except ImportError:
            raise ProviderError(NOT_INSTALLED, denied=True) from None
        ask = partial(request, timeout=min(LONGEST_REQUEST, self._timeout))
        try:
            held = held if held is not None else self._made(ask)
            held.refresh(ask)
        except exceptions.DefaultCredentialsError:
            raise ProviderError(NOT_THERE if self._option is None else UNUSABLE, denied=True) from None
        except exceptions.GoogleAuthError as error:
            # A metadata server that is away is wrapped into a refusal.
            if any(isinstance(one, exceptions.TransportError) for one in (error, error.__cause__)):
                raise ProviderError(UNREACHABLE) from None
            reason = f"Google gives no token: {_sentence(error)}"
            raise ProviderError(reason, denied=not error.retryable) from None
        except (ValueError, TypeError, AttributeError, KeyError):  # google-auth takes any type for granted
            raise ProviderError(UNUSABLE, denied=True) from None
        finally:
            request.session.close()
        return held

    def _made(self, ask: partial[Any]) -> Any:
        """The credentials that the option holds, or that the environment has."""
        if self._option is None:
            return import_module("google.auth").default(scopes=SCOPES, request=ask)[0]
        try:
            found = json.loads(self._option.reveal())
        except LookupError as error:
            raise ProviderError(f"there are no credentials: {error.args[0]}", denied=True) from None
        type = found.get("type") if isinstance(found, dict) else None
        if not isinstance(type, str) or type not in _MAKERS:
            reason = "the credentials are of no type that is read here; name their file in the variable "
            raise ProviderError(f"{reason}GOOGLE_APPLICATION_CREDENTIALS instead", denied=True)
        module, maker = _MAKERS[type]
        return getattr(import_module(module).Credentials, maker)(found, scopes=SCOPES)


def _sentence(error: Exception) -> str:
    """What google-auth says, as one line; its exceptions may hold other objects, answers among them."""
    said = error.args[0] if error.args and isinstance(error.args[0], str) else type(error).__name__
    line = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return line if len(line) <= 200 else line[:199] + "…"
