"""Whom a client believes, and what it shows of itself: authorities, and a certificate of its own."""

import ssl
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["SYSTEM", "Trust", "context_of", "pem_text", "trust_from"]

LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What an account believes and shows that the others do not; each is PEM text.

    `authorities` count instead of the system's. `certificate` (with what leads up to it) and its `key`, which
    may stand in the same text, are shown to a server that asks for them. `password` opens an encrypted key.
    """

    authorities: str | None = None
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


SYSTEM = Trust()
"""The system's authorities, and nothing to show."""


def context_of(trust: Trust, ca_file: str | None = None) -> ssl.SSLContext:
    """A TLS context; `ca_file` is believed as well as the system's authorities.

    Raises OSError where the file is none, ValueError with a sentence where the trust is none.
    """
    context: ssl.SSLContext
    if trust.authorities is None:
        context = _System()
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
        _show(context, trust)
    return context


class _System(ssl.SSLContext):
    """Believes the system's authorities, which are read when the first connection needs them.

    They are 20 ms and three megabytes: who speaks plainly to a neighbour, or believes an authority of its
    own, never needs them. The settings are those of `ssl.create_default_context`, which would
    also write each connection's keys to the file that `SSLKEYLOGFILE` names.
    """

    _is_read = False

    def __new__(cls) -> "_System":
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        if sys.version_info >= (3, 13):
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
        return context

    def wrap_bio(self, *args: Any, **more: Any) -> ssl.SSLObject:
        """What asyncio and AnyIO make a connection's TLS of."""
        if not self._is_read:
            self.load_default_certs(ssl.Purpose.SERVER_AUTH)
            self._is_read = True
        return super().wrap_bio(*args, **more)


def trust_from(
    *, authorities: Path | None, certificate: Path | None, key: Path | None, password: str | None = None
) -> Trust:
    """What stands in these PEM files now; `key` None: it stands in the certificate's. Blocking.

    Raises ValueError, with a sentence, where one cannot be read.
    """
    return Trust(
        authorities=pem_text(authorities) if authorities else None,
        certificate=pem_text(certificate) if certificate else None,
        key=pem_text(key) if key else None,
        password=password,
    )


def pem_text(path: Path) -> str:
    """What stands in a file. Blocking. Raises ValueError, with a sentence, where it cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            found = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {(error.strerror or type(error).__name__).lower()}") from None
    except ValueError:
        raise ValueError(f"{path} is no PEM text") from None
    if len(found) > LARGEST_FILE:
        raise ValueError(f"{path} is larger than {LARGEST_FILE:,} bytes")
    return found


def _show(context: ssl.SSLContext, trust: Trust) -> None:
    # The library reads files only: this one is ours alone, and gone at once.
    with tempfile.NamedTemporaryFile(mode="w", encoding="utf-8", prefix="ftwatch-") as file:
        file.write(f"{trust.certificate}\n{trust.key or ''}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=trust.password or _never)
        except (ssl.SSLError, ValueError):
            secret = "its password is another one" if trust.password else "the key is encrypted"
            raise ValueError(
                f"the client certificate and its key are no pair of PEM texts, or {secret}"
            ) from None


def _never() -> NoReturn:
    """Nobody is asked for a passphrase: it would be on the daemon's terminal."""
    raise ValueError("the key is encrypted")
