"""The container: what can be said of its files without an engine, and the steps that need only pip."""

import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ftwatch import config
from ftwatch.cli import cli

ROOT = Path(__file__).parents[1]
USER = 10001


def dockerfile() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each on one line."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text())
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def environment() -> dict[str, str]:
    (said,) = [rest for word, rest in dockerfile() if word == "ENV"]
    return dict(pair.split("=", 1) for pair in shlex.split(said))


def manifests() -> dict[str, Any]:
    found = yaml.safe_load_all((ROOT / "config" / "kubernetes.yaml").read_text())
    return {one["kind"]: one for one in found}


def pinned(name: str) -> dict[str, set[str]]:
    """The versions of every package in a file of requirements; several where they depend on the machine."""
    found: dict[str, set[str]] = {}
    text = (ROOT / "requirements" / name).read_text()
    for package, version in re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", text):
        found.setdefault(package, set()).add(version)
    return found


# ---------------------------------------------------------------------------------------------- the image


def test_the_image_is_nobodys_and_has_its_health_asked() -> None:
    last = [word for word, _ in dockerfile()].index("FROM", 1)
    final = dict(dockerfile()[last:])
    assert final["USER"] == f"{USER}:{USER}", "a number, so that a kubelet can see that it is not root"
    assert final["VOLUME"] == environment()["STATE_DIRECTORY"]
    assert f"install -d -o {USER} -g {USER}" in final["RUN"]
    for folder in (environment()["STATE_DIRECTORY"], environment()["RUNTIME_DIRECTORY"]):
        assert folder in final["RUN"]
    for _, rest in dockerfile():
        assert not re.search(r"FROM \S*[./:]\S*/", rest), "a host of somebody's is no matter of ours"


def test_no_step_of_it_takes_what_is_not_pinned() -> None:
    steps = [step for word, rest in dockerfile() if word == "RUN" for step in rest.split("&&")]
    installs = [step for step in steps if re.search(r"pip (install|wheel)", step)]
    assert len(installs) == 4
    for step in installs:
        assert "--require-hashes" in step or "--no-deps" in step, step


@pytest.mark.parametrize("name", ["image.txt", "build.txt"])
def test_what_it_installs_is_what_is_tested(name: str) -> None:
    tested = pinned("dev.txt")
    for package, versions in pinned(name).items():
        assert tested.get(package, versions) == versions, package
    blocks = re.split(r"(?m)^(?=\S)", (ROOT / "requirements" / name).read_text())[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert len(blocks) > 4


def test_everything_is_in_it_that_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["aws"], *extras["google"], *extras["plots"]]
    names = {re.split(r"[<>=\[]", one)[0].lower().replace("_", "-") for one in wanted}
    assert names <= {name.lower() for name in pinned("image.txt")}
    build = {re.split(r"[<>=]", one)[0] for one in project["build-system"]["requires"]}
    assert build <= pinned("build.txt").keys()


def test_what_is_copied_is_let_in_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    last = [word for word, _ in dockerfile()].index("FROM", 1)
    copied = {source for word, rest in dockerfile()[:last] if word == "COPY" for source in rest.split()[:-1]}
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)
    for secret in ("etc/ftwatch.yaml", "secrets/openai_key", ".git/config", "ftwatch.db"):
        assert not any(fnmatch(secret, pattern) for pattern in let_in)


def test_it_begins_with_a_command_that_exists() -> None:
    said = dict(dockerfile())
    assert yaml.safe_load(said["ENTRYPOINT"]) == ["ftwatch"]
    health = said["HEALTHCHECK"].partition("CMD ")[2]
    for arguments in (yaml.safe_load(said["CMD"]), yaml.safe_load(health)[1:]):
        # With another one of its words it would be refused, whatever comes of it.
        told = CliRunner().invoke(cli, [*arguments, "--help"])
        assert told.exit_code == 0, told.output
        for option in (word for word in arguments if word.startswith("--")):
            assert option in told.output


def test_the_config_is_looked_for_where_it_is_mounted(tmp_path: Path) -> None:
    at = Path(environment()["FTWATCH_CONFIG"])
    file = tmp_path / "ftwatch.yaml"
    file.write_text("providers: {openai: {}}\nnotifiers: {console: {}}\n")
    made = config.load(file, environ=environment())
    assert made.store.path == Path(environment()["STATE_DIRECTORY"]) / "ftwatch.db"
    assert made.socket == Path(environment()["RUNTIME_DIRECTORY"]) / "ftwatch.sock"
    assert at.parent == Path("/etc/ftwatch")


def test_the_wheel_is_built_as_in_the_image(tmp_path: Path) -> None:
    (step,) = [rest.split("&&")[0] for word, rest in dockerfile() if word == "RUN" and "pip wheel" in rest]
    command = [sys.executable, "-m", "pip", *shlex.split(step)[1:]]
    command[command.index("/wheels")] = str(tmp_path)
    subprocess.run([*command, "--quiet"], cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("ftwatch-*.whl")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    ).stdout
    for file in ("ftwatch/store/migrations/0001.sql", "ftwatch/web/metrics.py", "ftwatch/py.typed"):
        assert file in listed


# ------------------------------------------------------------------------------------------------ Compose


def test_compose_gives_it_what_it_needs_and_no_more() -> None:
    said = yaml.safe_load((ROOT / "compose.yaml").read_text())
    (service,) = said["services"].values()
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    mounts = {mount.split(":")[1]: mount.split(":")[0] for mount in service["volumes"]}
    assert mounts[environment()["STATE_DIRECTORY"]] in said["volumes"]
    config = Path(environment()["FTWATCH_CONFIG"])
    assert str(config.parent) in mounts, "the folder: of a single file a change would go unseen"
    runtime = f"{environment()['RUNTIME_DIRECTORY']}:uid={USER},gid={USER}"
    assert any(entry.startswith(runtime) for entry in service["tmpfs"])
    assert set(service["secrets"]) == set(said["secrets"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert seconds(service["stop_grace_period"]) >= 15
    assert {"/etc/", "/secrets/"} <= set((ROOT / ".gitignore").read_text().split())


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


# --------------------------------------------------------------------------------------------- Kubernetes


def test_the_config_map_passes_the_check(tmp_path: Path) -> None:
    """As it is mounted, with the secrets where it says."""
    text = manifests()["ConfigMap"]["data"]["ftwatch.yaml"]
    for name in ("openai_key", "slack_url", "web_token"):
        (tmp_path / name).write_text("https://hooks.slack.com/services/T0/B0/0123456789")
        (tmp_path / name).chmod(0o440)
        text = text.replace(f"/run/secrets/ftwatch/{name}", str(tmp_path / name))
    file = tmp_path / "ftwatch.yaml"
    file.write_text(text)
    checked = subprocess.run(
        [sys.executable, "-m", "ftwatch", "-c", str(file), "check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "warning" not in checked.stdout + checked.stderr
    made = config.load(file, environ={}, secrets=True)
    assert made.web is not None
    assert made.web.listen == ("0.0.0.0", 8787)
    assert not made.web.is_open


def test_the_deployment_is_one_confined_process_on_one_disk() -> None:
    deployment = manifests()["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}, "two of them would wait for one lock"
    assert pod["terminationGracePeriodSeconds"] >= 15
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == USER
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["args"][0] == "run"
    for probe, path in (
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
        ("startupProbe", "/healthz"),
    ):
        assert container[probe]["httpGet"]["path"] == path
        assert "host" not in container[probe]["httpGet"], "by address"


def test_what_is_mounted_is_there_and_where_the_config_looks() -> None:
    found = manifests()
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == volumes.keys()
    assert not any("subPath" in mount for mount in mounts.values()), "no change of it would ever arrive"
    made = yaml.safe_load(found["ConfigMap"]["data"]["ftwatch.yaml"])
    assert (
        volumes[mounts["/etc/ftwatch"]["name"]]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    )
    assert str(Path(made["store"]["path"]).parent) in mounts
    assert str(Path(made["socket"]).parent) in mounts
    claim = volumes[mounts["/var/lib/ftwatch"]["name"]]["persistentVolumeClaim"]["claimName"]
    assert claim == found["PersistentVolumeClaim"]["metadata"]["name"]
    secrets = mounts["/run/secrets/ftwatch"]
    assert volumes[secrets["name"]]["secret"]["defaultMode"] == 0o440
    assert secrets["readOnly"]
    asked = set(re.findall(r"/run/secrets/ftwatch/(\w+)", found["ConfigMap"]["data"]["ftwatch.yaml"]))
    head = (ROOT / "config" / "kubernetes.yaml").read_text().partition("apiVersion")[0]
    assert asked == set(re.findall(r"--from-file=(\w+)", head))


def test_the_service_leads_there_also_while_it_is_not_ready() -> None:
    found = manifests()
    service, template = found["Service"]["spec"], found["Deployment"]["spec"]["template"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == service["selector"]
    assert service["publishNotReadyAddresses"]
    (port,) = template["spec"]["containers"][0]["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert str(port["containerPort"]) == template["metadata"]["annotations"]["prometheus.io/port"]
