"""What systemd wants to hear from a `Type=notify` service, over its datagram socket. Silent without one."""

import contextlib
import os
import socket
import time

__all__ = ["notify", "watchdog_period"]


def notify(
    *,
    ready: bool = False,
    reloading: bool = False,
    stopping: bool = False,
    watchdog: bool = False,
    status: str | None = None,
) -> bool:
    """Tells systemd where the service stands; says whether there was anybody to tell. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    lines = []
    if reloading:
        # The time lets systemd tell this reload's READY=1 from an earlier one.
        lines += ["RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"]
    if ready:
        lines.append("READY=1")
    if stopping:
        lines.append("STOPPING=1")
    if watchdog:
        lines.append("WATCHDOG=1")
    if status is not None:
        lines.append("STATUS=" + " ".join(status.split()))
    target = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto("\n".join(lines).encode(), target)
        return True
    return False


def watchdog_period() -> float | None:
    """Within how many seconds systemd wants a sign of life; None where it wants none from this process."""
    try:
        period = int(os.environ.get("WATCHDOG_USEC", "0")) / 1_000_000
        pid = os.environ.get("WATCHDOG_PID")
        meant = pid is None or int(pid) == os.getpid()
    except ValueError:
        return None
    return period if period > 0 and meant else None
