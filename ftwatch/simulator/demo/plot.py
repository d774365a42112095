"""Who plays in the demo, and what happens to them: the config and a table of lives. Data alone.

Times are seconds of a story that is sixty long; to the jobs each of them is a minute.
"""

from dataclasses import dataclass

from ftwatch.simulator.script import Script

__all__ = ["CAST", "CONFIG", "KINDS", "MINUTE", "WHILE_DEAD", "Part"]

MINUTE = 60.0

# Three that need no extra package and speak differently.
KINDS = ("openai", "together", "fireworks")

CONFIG = """\
# Written by `ftwatch demo`: yours looks just like this, only that nobody needs to be in such a hurry.
x-hurry: &hurry {{poll: 1s, discover: 1s, rate: 6000/min, degraded_after: 1s}}
providers:
{providers}
notifiers:
  pipeline: {{kind: webhook, url: "{webhook}", secret: {secret}, retry: {{waits: [1s, 2s], throttle: 1s}}}}
  slack: {{webhook_url: "{slack}", retry: {{waits: [1s, 2s], drain: 20/s}}}}
  mail:
    kind: email
    host: 127.0.0.1
    port: {mail}
    security: plain
    from: ftwatch@example.com
    to: [you@example.com]
    retry: {{waits: [1s, 2s]}}
routes:
  - notify: [slack, mail]
  - match: {{type: "fine_tuning.*"}}
    except: {{type: fine_tuning.job.updated}}
    notify: [pipeline]
store: {{path: {folder}/ftwatch.db}}
socket: {folder}/ftwatch.sock
web: {{listen: "127.0.0.1:{port}"}}
log: {{level: error}}
"""


@dataclass(frozen=True)
class Part:
    """One job: where it runs, when it is created, what becomes of it so long after that."""

    name: str
    kind: str
    born: float
    states: tuple[tuple[float, str], ...]
    error: dict[str, str] | None = None

    @property
    def script(self) -> Script:
        """Its life as the simulated service plays it."""
        return Script(self.name, tuple((MINUTE * after, status) for after, status in self.states), self.error)


BAD_FILE = {
    "code": "invalid_training_file",
    "message": "Line 17 of the training file is not valid JSON.",
    "param": "training_file",
}
NO_MEMORY = {"code": "error", "message": "CUDA out of memory on worker 0.", "param": ""}

# Fireworks keeps no job log: what is there for less than a look or two (4 s) could truly be missed.
CAST = (
    Part(
        "support-bot",
        "openai",
        1,
        ((0, "validating_files"), (4, "queued"), (8, "running"), (29, "succeeded")),
    ),
    Part("tagger", "together", 1.5, ((0, "validating_files"), (6, "running"), (23, "succeeded"))),
    Part(
        "router",
        "fireworks",
        2,
        ((0, "validating_files"), (5, "queued"), (10, "running"), (39.5, "succeeded")),
    ),
    Part(
        "summariser",
        "openai",
        4.5,
        ((0, "validating_files"), (4, "queued"), (8, "running"), (13, "failed")),
        BAD_FILE,
    ),
    Part("experiment", "fireworks", 5.5, ((0, "queued"), (5, "running"), (13, "cancelled"))),
    # Its run begins and breaks while its provider is away.
    Part("ranker", "together", 8, ((0, "validating_files"), (8.3, "running"), (9.3, "failed")), NO_MEMORY),
    Part(
        "translator",
        "fireworks",
        8.5,
        ((0, "queued"), (5, "running"), (14, "paused"), (23, "running"), (40, "succeeded")),
    ),
)
# Comes, runs and ends while the daemon is dead.
WHILE_DEAD = Part("nightly", "openai", 0, ((0, "queued"), (0.5, "running"), (1.7, "succeeded")))
