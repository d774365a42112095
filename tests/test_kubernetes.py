"""The way into a cluster: kubeconfigs as people have them, the folder of a pod, plugins that give a token."""

import base64
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from ftwatch.client import Trust, kubeconfig, kubernetes
from ftwatch.client.kubernetes import Cluster
from ftwatch.plugins import ProviderError

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
SERVER = "https://10.0.0.1:6443"
EXPIRES = "2026-09-21T14:13:20Z"
EXPIRES_AT = 1_790_000_000.0


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(user: Any = None, cluster: Any = None, **more: Any) -> dict[str, Any]:
    """A kubeconfig with two clusters, of which the first is the current one."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "prod", "cluster": {"server": SERVER, **(cluster or {})}},
            {"name": "test", "cluster": {"server": "https://test.example.com"}},
        ],
        "users": [{"name": "watcher", "user": {"token": "token-of-prod"} if user is None else user}],
        "contexts": [
            {"name": "prod", "context": {"cluster": "prod", "user": "watcher", "namespace": "ml"}},
            {"name": "test", "context": {"cluster": "test"}},
        ],
        "current-context": "prod",
        **more,
    }


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a kubeconfig; gives its path."""

    def put(content: Any) -> Path:
        file = tmp_path / "config"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    return put


async def bearer(cluster: Cluster) -> str | None:
    await cluster.look()
    return (await cluster.headers("GET", SERVER, b"")).get("authorization")


# ---------------------------------------------------------------------------------------- the kubeconfig


async def test_the_current_context_leads_to_its_cluster(write: Any) -> None:
    cluster = Cluster(write(config()))
    found = await cluster.look()
    assert (found.server, found.namespace, found.trust) == (SERVER, "ml", Trust())
    assert await bearer(cluster) == "Bearer token-of-prod"
    assert cluster.secrets() == ["token-of-prod"]
    assert "token-of-prod" not in repr(found)


async def test_another_context_may_be_wanted(write: Any) -> None:
    cluster = Cluster(write(config()), "test")
    found = await cluster.look()
    assert (found.server, found.namespace) == ("https://test.example.com", None)
    assert await bearer(cluster) is None
    assert cluster.secrets() == []


async def test_who_turns_to_another_cluster_does_not_turn_the_daemons_head(write: Any) -> None:
    cluster = Cluster(write(config()))
    await cluster.look()
    write(config(**{"current-context": "test"}))
    assert (await cluster.look()).server == SERVER


async def test_tokens_rotate(write: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    cluster = Cluster(write(config({"tokenFile": "token", "token": "older"})))
    assert await bearer(cluster) == "Bearer first"
    file.write_text("second\n")
    assert await bearer(cluster) == "Bearer second"
    write(config({"token": 1234567890}))
    assert await bearer(cluster) == "Bearer 1234567890"


async def test_a_token_that_has_been_exchanged_is_forgotten(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = set[str]()
    monkeypatch.setattr("ftwatch.log._secrets", hidden)
    file = tmp_path / "token"
    cluster = Cluster(write(config({"tokenFile": "token"})))
    for number in range(3):
        file.write_text(f"rotating-{number}")
        await cluster.look()
    assert cluster.secrets() == ["rotating-2"], "what answers and complaints are struck of"
    assert hidden == set()


async def test_certificates_stand_in_the_file_or_beside_it(write: Any, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(PEM)
    (tmp_path / "key.pem").write_text("a key")
    user = {"client-certificate-data": encoded(PEM), "client-key": "key.pem"}
    found = await Cluster(write(config(user, {"certificate-authority": "ca.pem"}))).look()
    assert found.trust == Trust(authorities=PEM, certificate=PEM, key="a key")
    user = {"client-certificate": "gone.pem", "client-certificate-data": encoded("inside")}
    assert (await Cluster(write(config(user))).look()).trust.certificate == "inside", "what is inside counts"


@pytest.mark.parametrize("junk", [[], {}, [1], {"a": "b"}, "", None])
async def test_junk_anywhere_is_a_sentence_or_nothing(junk: Any, write: Any) -> None:
    plugin = {"command": "true", "apiVersion": "x", "args": [], "env": []}
    whole = config({"token": "t", "tokenFile": None, "client-key": None, "exec": plugin})
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            places.append((part, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(whole)
    for part, key in places:
        kept, part[key] = part[key], junk
        with suppress(ProviderError):
            await Cluster(write(whole)).look()
        part[key] = kept


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: [", "is no YAML"),
        ("[]", "is no kubeconfig"),
        (config(**{"current-context": ""}), "no current-context: set the option context"),
        (config(**{"current-context": "gone"}), "no context 'gone'; it has: prod, test"),
        (config(contexts="x"), "no context 'prod'; it has: none"),
        (config(clusters=[{"name": "prod"}, 7]), "no cluster 'prod'; it has: prod"),
        (config(users=None), "no user 'watcher'; it has: none"),
        (config(cluster={"server": "10.0.0.1:6443"}), "server is no http or https address"),
        (config(cluster={"server": None}), "server is no http or https address"),
        (
            config(cluster={"insecure-skip-tls-verify": True}),
            "insecure-skip-tls-verify is not supported: name the cluster's certificate-authority",
        ),
        (config(cluster={"tls-server-name": "x"}), "tls-server-name is not supported"),
        (config(cluster={"proxy-url": "http://p"}), "proxy-url is not supported: set `proxy`"),
        (config({"username": "u", "password": "SECRET"}), "username is not supported: use a token"),
        (config({"auth-provider": {"name": "gcp"}}), "auth-provider is not supported: use an exec plugin"),
        (config({"as": "admin"}), "as is not supported"),
        (config({"tokenFile": "gone"}), "cannot read .*/gone: no such file"),
        (config({"client-key-data": "SECRET!"}), "client-key-data is no base64"),
        (config(cluster={"certificate-authority-data": "//79"}), "authority-data is no base64 of a PEM text"),
        (config({"exec": {"args": []}}), "exec names no command"),
        (config({"exec": {"command": "x", "apiVersion": "old/v1"}}), "exec of old/v1 is not supported"),
        (
            config(
                {
                    "exec": {
                        "command": "x",
                        "apiVersion": kubeconfig.EXEC_VERSIONS[0],
                        "interactiveMode": "Always",
                    }
                }
            ),
            "wants a terminal is not supported",
        ),
        (config({"token": "line\nbreak-SECRET"}), "no header can carry"),
        ("x" * (kubeconfig.LARGEST_FILE + 1), "larger than"),
    ],
)
async def test_what_cannot_be_used_is_a_sentence(content: Any, sentence: str, write: Any) -> None:
    with pytest.raises(ProviderError, match=sentence) as caught:
        await Cluster(write(content)).look()
    assert caught.value.denied
    assert "SECRET" not in caught.value.reason


async def test_a_kubeconfig_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"cannot read .*: no such file"):
        await Cluster(tmp_path / "gone").look()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ProviderError, match="is no text"):
        await Cluster(tmp_path / "bytes").look()


async def test_a_file_that_is_just_being_written_is_no_refusal(write: Any) -> None:
    cluster = Cluster(write(config()))
    await cluster.look()
    write("")
    with pytest.raises(ProviderError, match="no kubeconfig") as caught:
        await cluster.look()
    assert not caught.value.denied


# --------------------------------------------------------------------------------------------- the pod


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a pod's service account, and its variables."""
    for name, content in (("token", "pod-token\n"), ("ca.crt", PEM), ("namespace", "ml")):
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    return tmp_path


async def test_a_pod_is_let_in_by_its_service_account(pod: Path) -> None:
    cluster = Cluster(None)
    found = await cluster.look()
    assert (found.server, found.namespace) == ("https://10.96.0.1:6443", "ml")
    assert found.trust == Trust(authorities=PEM)
    assert await bearer(cluster) == "Bearer pod-token"
    (pod / "token").write_text("next-token")
    assert await bearer(cluster) == "Bearer next-token"


async def test_a_clusters_address_may_be_of_version_6(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    assert (await Cluster(None).look()).server == "https://[fd00::1]:443"


async def test_outside_of_a_cluster_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ProviderError, match="no pod of a cluster: set the option kubeconfig") as caught:
        await Cluster(None).look()
    assert caught.value.denied


async def test_a_pod_without_a_token_says_so(pod: Path) -> None:
    (pod / "token").unlink()
    with pytest.raises(ProviderError, match=r"cannot read .*/token: no such file"):
        await Cluster(None).look()


# ------------------------------------------------------------------------------------------ the plugins


class Wall:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.time = EXPIRES_AT - 3600

    def __call__(self) -> float:
        return self.time


def plugin(tmp_path: Path, said: Any, **more: Any) -> dict[str, Any]:
    """A user whose plugin counts how often it is asked, and prints this."""
    printed = said if isinstance(said, str) else json.dumps({"kind": "ExecCredential", "status": said})
    (tmp_path / "printed").write_text(printed)
    (tmp_path / "plugin.py").write_text(
        "import os, pathlib, sys\n"
        "here = pathlib.Path(__file__).parent\n"
        "with (here / 'asked').open('a') as file:\n"
        "    print(os.environ['KUBERNETES_EXEC_INFO'], os.environ.get('PROFILE'), *sys.argv[1:], file=file)\n"
        "sys.stdout.write((here / 'printed').read_text())\n"
    )
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": ["-I", str(tmp_path / "plugin.py"), "--region", "eu"],
            "env": [{"name": "PROFILE", "value": "prod"}],
            **more,
        }
    }


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text().splitlines()


async def test_a_plugin_is_asked_once_until_its_token_runs_out(write: Any, tmp_path: Path) -> None:
    now = Wall()
    said = {"token": "from-a-plugin", "expirationTimestamp": EXPIRES}
    cluster = Cluster(write(config(plugin(tmp_path, said))), now=now)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(cluster.look)
    assert await bearer(cluster) == "Bearer from-a-plugin"
    (line,) = asked(tmp_path)
    info, _, rest = line.partition("} prod")
    assert json.loads(info + "}") == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    assert rest == " --region eu"
    now.time = EXPIRES_AT - kubernetes.MARGIN
    await cluster.look()
    assert len(asked(tmp_path)) == 2


async def test_a_plugin_may_be_told_of_the_cluster(write: Any, tmp_path: Path) -> None:
    authority = {"certificate-authority-data": encoded(PEM)}
    user = plugin(tmp_path, {"token": "t"}, provideClusterInfo=True)
    await Cluster(write(config(user, authority))).look()
    info = asked(tmp_path)[0].partition(" prod")[0]
    assert json.loads(info)["spec"]["cluster"] == {"server": SERVER, **authority}


async def test_a_refused_token_is_asked_for_anew_unless_it_is_fresh(write: Any, tmp_path: Path) -> None:
    now = Wall()
    cluster = Cluster(write(config(plugin(tmp_path, {"token": "first"}))), now=now)
    first = await cluster.look()
    assert not cluster.refused(first), "the plugin was asked just now"
    now.time += kubernetes.FRESH
    assert await cluster.look() == first
    assert len(asked(tmp_path)) == 1
    (tmp_path / "printed").write_text(json.dumps({"status": {"token": "second"}}))
    assert cluster.refused(first)
    assert cluster.refused(first), "who is refused at the same time has reason to try again, too"
    assert await bearer(cluster) == "Bearer second"
    assert cluster.refused(first)
    assert len(asked(tmp_path)) == 2, "but the plugin is not asked again for that"
    assert await bearer(cluster) == "Bearer second"


async def test_a_refused_token_that_no_plugin_gave_is_refused(write: Any) -> None:
    cluster = Cluster(write(config()))
    assert not cluster.refused(await cluster.look())


async def test_another_plugin_is_asked_at_once(write: Any, tmp_path: Path) -> None:
    cluster = Cluster(write(config(plugin(tmp_path, {"token": "t"}))))
    await cluster.look()
    write(config(plugin(tmp_path, {"token": "u"}, args=["-I", str(tmp_path / "plugin.py"), "--other"])))
    assert await bearer(cluster) == "Bearer u"


async def test_a_plugin_may_give_a_certificate(write: Any, tmp_path: Path) -> None:
    said = {"clientCertificateData": PEM, "clientKeyData": "a key"}
    cluster = Cluster(write(config(plugin(tmp_path, said), {"certificate-authority-data": encoded("ca")})))
    assert (await cluster.look()).trust == Trust(authorities="ca", certificate=PEM, key="a key")
    assert await bearer(cluster) is None


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        '{"status": null}',
        {},
        {"token": ""},
        {"token": 7},
        {"token": "SECRET", "expirationTimestamp": "soon"},
        {"token": "SECRET", "expirationTimestamp": 7},
        "[" * 100_000,
    ],
)
async def test_what_a_plugin_prints_may_be_no_credential(said: Any, write: Any, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="what it prints is no ExecCredential") as caught:
        await Cluster(write(config(plugin(tmp_path, said)))).look()
    assert "SECRET" not in caught.value.reason


def command(*argv: str) -> dict[str, Any]:
    return {"exec": {"apiVersion": kubeconfig.EXEC_VERSIONS[1], "command": argv[0], "args": [*argv[1:]]}}


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("no-such-command-anywhere",), "no-such-command-anywhere failed: cannot run it: no such file"),
        (("./gone",), "gone failed: cannot run it: no such file"),
        (("sh", "-c", "echo log in first >&2; exit 3"), "sh failed: exit code 3: log in first"),
        (("sh", "-c", "exit 1"), "sh failed: exit code 1$"),
        (("a\0b",), "its command cannot be run"),
        (("sleep", "3600"), r"sleep failed: it did not end within 0\.2 s"),
    ],
)
async def test_a_plugin_that_fails_is_a_sentence(
    argv: tuple[str, ...], sentence: str, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "PATIENCE", 0.2 if argv[0] == "sleep" else 60.0)
    with pytest.raises(ProviderError, match=sentence) as caught:
        await Cluster(write(config(command(*argv)))).look()
    assert caught.value.denied
