"""What runs without an API say of themselves: pushed documents, merged into one for each run, and read. Pure.

A push tells what is new; what it leaves out stays as it was. The merged document, a `run.Run`, also keeps
when each state began, and the last figures, so that nothing between two looks is lost. Pushes come from
strangers' scripts: whatever they hold, a document stays small, and what of a push is not kept is said in a
line of the run's log. `merging` makes the document, `fields` says what it takes of a push, `reading` makes
the job of it.
"""

from ftwatch.wire.push.merging import hook, merged
from ftwatch.wire.push.reading import heard_at, identify, inline, read
from ftwatch.wire.push.run import STATUSES

__all__ = ["STATUSES", "heard_at", "hook", "identify", "inline", "merged", "read"]
