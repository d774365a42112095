"""Where a cluster is and the way in, as a kubeconfig says, or the folder that Kubernetes puts into each pod.

Blocking: it reads files, and each time anew, because tokens rotate. What is not supported is refused by name,
so that nobody talks to a cluster in another way than the file says.
"""

import base64
import binascii
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftwatch.client.api import url_problem
from ftwatch.client.trust import Trust
from ftwatch.plugins import ProviderError

__all__ = ["Found", "Plugin", "from_file", "from_pod"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LARGEST_FILE = 1024 * 1024
NO_POD = "this process runs in no pod of a cluster: set the option kubeconfig"
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

# What would change to whom, or as whom, requests go, with what to do instead.
NOT_SUPPORTED = {
    "cluster": {
        "insecure-skip-tls-verify": "name the cluster's certificate-authority",
        "tls-server-name": "name the server as its certificate does",
        "proxy-url": "set `proxy` in the config's section `client`",
    },
    "user": {
        "username": "use a token",
        "password": "use a token",
        "auth-provider": "use an exec plugin",
        "as": "bind the role to the user itself",
        "as-uid": "bind the role to the user itself",
        "as-groups": "bind the role to the user itself",
        "as-user-extra": "bind the role to the user itself",
    },
}


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A command that prints a credential; `environment` is added to this process's own."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A cluster and the way in, as of now: a token, a certificate (in `trust`), or a plugin that has one."""

    context: str | None = None
    server: str
    namespace: str | None = None
    trust: Trust
    token: str | None = field(default=None, repr=False)
    plugin: Plugin | None = None


def from_pod() -> Found:
    """The cluster around this process. Raises ProviderError(denied) where there is none."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise _refused(NO_POD)
    return Found(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=_text(SERVICE_ACCOUNT / "namespace").strip(),
        trust=Trust(authorities=_text(SERVICE_ACCOUNT / "ca.crt")),
        token=_text(SERVICE_ACCOUNT / "token").strip(),
    )


def from_file(path: Path, wanted: str | None) -> Found:
    """The cluster of the context `wanted`, else of the current one. Raises ProviderError(denied)."""
    # Imported late: every kind is loaded by commands that read no kubeconfig.
    import yaml

    try:
        # A loader that makes nothing but text, lists and maps: a token may well look like a number.
        said = yaml.load(_text(path), yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        raise _refused(f"{path} is no YAML") from None
    if not isinstance(said, dict):
        raise _refused(f"{path} is no kubeconfig")
    name = wanted or _word(said, "current-context")
    if not name:
        raise _refused(f"{path} has no current-context: set the option context")
    context = _named(said, "context", name, path)
    cluster = _named(said, "cluster", _word(context, "cluster"), path)
    login = _word(context, "user")
    user = _named(said, "user", login, path) if login else {}
    for sort, entry in (("cluster", cluster), ("user", user)):
        for key, instead in NOT_SUPPORTED[sort].items():
            if entry.get(key) not in (None, "", "false", [], {}):
                raise _refused(f"{path}: {key} is not supported: {instead}")
    server = _word(cluster, "server") or ""
    if problem := url_problem(server, "https://10.0.0.1:6443"):
        raise _refused(f"{path}: server {problem}")
    token_file = _word(user, "tokenFile")
    return Found(
        context=name,
        server=server,
        namespace=_word(context, "namespace"),
        trust=Trust(
            authorities=_material(cluster, "certificate-authority", path),
            certificate=_material(user, "client-certificate", path),
            key=_material(user, "client-key", path),
        ),
        token=_text(path.parent / token_file).strip() if token_file else _word(user, "token"),
        plugin=_plugin(user["exec"], cluster, path) if user.get("exec") else None,
    )


def _word(entry: dict[str, Any], key: str) -> str | None:
    """What an entry says, if that is text."""
    found = entry.get(key)
    return found if found and isinstance(found, str) else None


def _listed(entry: dict[str, Any], key: str) -> list[Any]:
    """What an entry lists, if it does."""
    found = entry.get(key)
    return found if isinstance(found, list) else []


def _named(said: dict[str, Any], sort: str, name: str | None, path: Path) -> dict[str, Any]:
    """One entry of `contexts`, `clusters` or `users`."""
    entries = [entry for entry in _listed(said, f"{sort}s") if isinstance(entry, dict)]
    for entry in entries:
        found = entry.get(sort)
        if entry.get("name") == name and isinstance(found, dict):
            return found
    known = ", ".join(str(entry.get("name")) for entry in entries) or "none"
    raise _refused(f"{path} has no {sort} {name!r}; it has: {known}")


def _plugin(said: object, cluster: dict[str, Any], path: Path) -> Plugin:
    entry = said if isinstance(said, dict) else {}
    command, version = _word(entry, "command"), _word(entry, "apiVersion")
    if command is None:
        raise _refused(f"{path}: exec names no command")
    if version not in EXEC_VERSIONS:
        raise _refused(f"{path}: exec of {version} is not supported: {' or '.join(EXEC_VERSIONS)} is")
    if _word(entry, "interactiveMode") == "Always":
        raise _refused(f"{path}: an exec plugin that wants a terminal is not supported")
    spec: dict[str, Any] = {"interactive": False}
    if _word(entry, "provideClusterInfo") == "true":
        about = {key: _word(cluster, key) for key in ("server", "certificate-authority-data")}
        spec["cluster"] = {key: value for key, value in about.items() if value}
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    pairs = [pair for pair in _listed(entry, "env") if isinstance(pair, dict)]
    return Plugin(
        argv=(str(path.parent / command) if "/" in command else command, *map(str, _listed(entry, "args"))),
        environment=(
            *((str(pair.get("name")), str(pair.get("value"))) for pair in pairs),
            ("KUBERNETES_EXEC_INFO", json.dumps(info)),
        ),
    )


def _material(entry: dict[str, Any], key: str, path: Path) -> str | None:
    """PEM text that stands in the file, or in one that it names; paths start where the file is."""
    inside, beside = _word(entry, f"{key}-data"), _word(entry, key)
    if inside is None:
        return _text(path.parent / beside) if beside else None
    try:
        return base64.b64decode(inside, validate=True).decode()
    except (binascii.Error, ValueError):
        raise _refused(f"{path}: {key}-data is no base64 of a PEM text") from None


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            found = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _refused(f"cannot read {path}: {(error.strerror or type(error).__name__).lower()}") from None
    except ValueError:
        raise _refused(f"{path} is no text") from None
    if len(found) > LARGEST_FILE:
        raise _refused(f"{path} is larger than {LARGEST_FILE:,} bytes")
    return found


def _refused(sentence: str) -> ProviderError:
    return ProviderError(sentence, denied=True)
