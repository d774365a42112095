"""What the daemon costs while nothing happens: resident memory, and CPU over a minute, with many known jobs.

python bench/idle.py [jobs] [active] [seconds]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
DEFAULTS = ["10000", "10", "60"]
CONFIG = """
providers:
  bench: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1"}}
notifiers:
  hook:
    kind: webhook
    url: "http://127.0.0.1:9/"
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
store: {{path: "{folder}/ftwatch.db"}}
socket: "{folder}/ftwatch.sock"
"""


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB of resident memory."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    jobs, active, seconds = (int(given) for given in [*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]])
    upstream = subprocess.Popen(
        [sys.executable, str(HERE / "upstream.py"), str(jobs), str(active)], stdout=subprocess.PIPE, text=True
    )
    assert upstream.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "ftwatch.yaml"
        config.write_text(CONFIG.format(port=upstream.stdout.readline().strip(), folder=folder))
        command = [sys.executable, "-m", "ftwatch", "-c", str(config), "run"]
        daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert daemon.stderr is not None
        begun = time.monotonic()
        for line in daemon.stderr:
            if '"watching"' in line:
                break
        baseline = time.monotonic() - begun
        time.sleep(5)
        before = cpu(daemon.pid)
        time.sleep(seconds)
        used = cpu(daemon.pid) - before
        print(f"{jobs} known jobs, {active} of them active, default pace (poll 30s, discover 2m)")
        print(f"from start to the end of the baseline: {baseline:.1f} s")
        print(f"resident: {resident(daemon.pid):.0f} MiB")
        print(f"CPU over {seconds} s: {used:.2f} s ({used / seconds:.2%})")
        daemon.terminate()
        daemon.wait()
        daemon.stderr.close()
    upstream.kill()


if __name__ == "__main__":
    main()
