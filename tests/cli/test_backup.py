"""backup: a whole copy, never over another file."""

import os
import subprocess
import sys
from pathlib import Path

from ftwatch.store import Store


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ftwatch", "-c", str(folder / "ftwatch.yaml"), *args]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=60)


def test_a_copy_is_whole_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "ftwatch.yaml").write_text(
        f"providers: {{openai: {{}}}}\nnotifiers: {{console: {{}}}}\nstore: {{path: {tmp_path}/ftwatch.db}}\n"
    )
    missing = run(tmp_path, "backup", str(tmp_path / "copy.db"))
    assert missing.returncode == 1
    assert "there is no database" in missing.stderr

    live = Store(tmp_path / "ftwatch.db")  # as a daemon would hold it
    live.mark(12345.0)
    done = run(tmp_path, "backup", str(tmp_path / "copy.db"))
    assert done.returncode == 0, done.stderr
    live.close()
    copy = Store(tmp_path / "copy.db")
    assert copy.db.row("SELECT value FROM meta WHERE key = 'time'") == ("12345.0",)
    copy.close()

    again = run(tmp_path, "backup", str(tmp_path / "copy.db"))
    assert again.returncode == 1
    assert "is there already" in again.stderr
    nowhere = run(tmp_path, "backup", str(tmp_path / "no" / "copy.db"))
    assert nowhere.returncode == 1
    assert "Traceback" not in nowhere.stderr
