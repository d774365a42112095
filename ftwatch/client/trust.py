"""Whom a client believes, and what it shows of itself: authorities, and a certificate of its own."""

import ssl
import tempfile
from dataclasses import dataclass, field
from typing import NoReturn

__all__ = ["SYSTEM", "Trust", "context_of"]


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What an account believes and shows that the others do not; each is PEM text.

    `authorities` count instead of the system's. `certificate` (with what leads up to it) and its `key`, not
    encrypted, are shown to a server that asks for them.
    """

    authorities: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)


SYSTEM = Trust()
"""The system's authorities, and nothing to show."""


def context_of(trust: Trust, ca_file: str | None = None) -> ssl.SSLContext:
    """A TLS context; `ca_file` is believed as well as the system's authorities.

    Raises OSError where the file is none, ValueError with a sentence where the trust is none.
    """
    if trust.authorities is None:
        context = ssl.create_default_context()
        if ca_file is not None:
            # As well as the system's: a company's own authority does not sign the public services.
            context.load_verify_locations(cafile=ca_file)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=trust.authorities)
        except (ssl.SSLError, ValueError):
            raise ValueError("the certificate authority is no PEM certificate") from None
    if trust.certificate is not None:
        _show(context, trust.certificate, trust.key or "")
    return context


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # The library reads files only: this one is ours alone, and gone at once.
    with tempfile.NamedTemporaryFile(mode="w", encoding="utf-8", prefix="ftwatch-") as file:
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=_never)
        except (ssl.SSLError, ValueError):
            raise ValueError(
                "the client certificate and its key are no pair of PEM texts, or the key is encrypted"
            ) from None


def _never() -> NoReturn:
    """Nobody is asked for a passphrase: it would be on the daemon's terminal."""
    raise ValueError("the key is encrypted")
