"""The story of `ftwatch demo`: one minute, three providers, no key, and nothing lost.

The providers and the receivers are simulated; the daemon is the real one, a process of its own, started from
a real config. What it told is compared with what truly happened, job by job.

`plot` is who plays and what happens to them, `story` lets it happen, `told` reads what the receivers got,
`stage` shows it, `verdict` says whether anything was lost.
"""

from ftwatch.simulator.demo.story import demo

__all__ = ["demo"]
