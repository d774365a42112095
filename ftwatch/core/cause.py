"""Why did it end badly? One word out of a closed set, whatever a provider calls it.

Everybody's error codes, states and sentences come down to these few causes, so that a program can act on them
(try again, ask for quota, mend the data) without knowing the provider. What a provider says most exactly
counts first: its code, then its state, then the words of its message, then the last lines of its job log.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

from ftwatch.core.job import Snapshot, Status
from ftwatch.core.journal import Line

__all__ = ["Cause", "cause_of", "in_words", "next_step"]

# Of a message so much is read, from its start; of a log so many lines, from its end.
LENGTH, LINES = 4000, 50


class Cause(StrEnum):
    """Why a job failed or was cancelled."""

    DATA_INVALID = "data_invalid"
    QUOTA_OR_BILLING = "quota_or_billing"
    POLICY = "policy"
    HARDWARE_RESTART = "hardware_restart"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    USER_CANCEL = "user_cancel"
    UNKNOWN = "unknown"


_WORDS: dict[str, str] = {
    Cause.DATA_INVALID: "invalid data",
    Cause.QUOTA_OR_BILLING: "quota or billing",
    Cause.POLICY: "policy or permission",
    Cause.HARDWARE_RESTART: "trouble on the service's side",
    Cause.OUT_OF_MEMORY: "out of memory",
    Cause.TIMEOUT: "out of time",
    Cause.USER_CANCEL: "somebody cancelled it",
    Cause.UNKNOWN: "unknown",
}


_NEXT: dict[str, str] = {
    Cause.DATA_INVALID: "Mend the data, upload it again and start a new job.",
    Cause.QUOTA_OR_BILLING: "Look at the account's quota and billing, then start the job again.",
    Cause.POLICY: "See what the data or the key is not allowed, mend that and start a new job.",
    Cause.HARDWARE_RESTART: "Start it again: the trouble was not in the job.",
    Cause.OUT_OF_MEMORY: "Start it again with a smaller batch, shorter examples or a larger machine.",
    Cause.TIMEOUT: "Start it again with more time or fewer steps.",
    Cause.USER_CANCEL: "Ask who cancelled it, or start it again.",
}


def in_words(code: str) -> str:
    """A cause in plain words; a code that another version knows is shown as it is."""
    return _WORDS.get(code, code.replace("_", " "))


def next_step(code: str | None) -> str:
    """The one thing to do next about a job that failed for this cause (None: nobody knows why)."""
    return _NEXT.get(code or "", "Read the end of its log: `ftwatch show` has what the provider kept.")


def _table(words: dict[Cause, str]) -> dict[str, Cause]:
    return {word: cause for cause, listed in words.items() for word in listed.split()}


# Codes, states and types of log lines that say it all, without case and separators.
_CODES = _table(
    {
        Cause.DATA_INVALID: """
            invalidtrainingfile invalidvalidationfile invalidfile invalidfileformat invaliddataset invaliddata
            invalidjsonl filevalidationfailed datavalidationfailed failedvalidation toofewexamples""",
        Cause.QUOTA_OR_BILLING: """
            exceededquota quotaexceeded insufficientquota insufficientfunds insufficientbalance
            insufficientcredits billinglimit billinghardlimitreached billingnotactive paymentrequired
            dailyratelimitexceeded ratelimitexceeded resourcelimitexceeded servicequotaexceeded
            servicequotaexceededexception throttlingexception toomanyrequests""",
        Cause.POLICY: """
            moderation moderationblocked contentfilter contentpolicyviolation policyviolation
            responsibleaipolicyviolation unsafefile unsafetrainingfile failedsafetychecks safety
            accessdenied accessdeniedexception unauthorized unauthenticated forbidden""",
        Cause.OUT_OF_MEMORY: "oomkilled outofmemory outofmemoryerror outofme oom",
        Cause.TIMEOUT: """
            maxruntimeexceeded maxwaittimeexceeded deadlineexceeded deadline expired timeout timedout
            jobtimeout jobtimedout requesttimeout gatewaytimeout""",
        # The states of Slurm and SkyPilot among them, as runs push them (`OUT_OF_ME+` as a table cuts it).
        # Together starts a job anew under another id; SageMaker interrupts one whose spot machine is taken.
        Cause.HARDWARE_RESTART: """
            jobrestarted interrupted preempted preemption evicted nodelost nodefailure nodefail bootfail
            launchfailed spotinterruption hardwarefailure capacityerror insufficientcapacity
            insufficientinstancecapacity failednoresource failedcontroller""",
        Cause.USER_CANCEL: """
            usercancelled usercanceled cancelledbyuser canceledbyuser cancelrequested userrequested""",
    }
)

# Codes that only say which way to look: the words of the message and of the log count before them. The
# numbers are those of gRPC and HTTP.
_VAGUE = _table(
    {
        Cause.DATA_INVALID: """
            3 invalidargument 400 422 badrequest usererror validationerror validationexception
            invalidrequesterror clienterror""",
        Cause.QUOTA_OR_BILLING: "8 resourceexhausted 402 429",
        Cause.POLICY: "7 permissiondenied 16 401 403",
        Cause.TIMEOUT: "4 408 504",
        Cause.HARDWARE_RESTART: """
            13 internal 14 unavailable 500 502 503 529 servererror internalerror internalservererror
            serviceunavailable""",
        Cause.USER_CANCEL: "1 cancelled canceled",
    }
)

# The words of messages, small. What stands first counts first: a run that was out of memory also restarts, a
# file that moderation refuses is also called invalid. No open repeats: time is linear in the text's length.
# They are compiled when the first job has failed, for good: a start has no use for them.
_PHRASES = (
    (
        r"cancell?ed by (?:a |the |its )?(?:user|owner|customer|admin)"
        r"|user[- ](?:cancell?ed|requested|initiated)|(?:stopped|aborted|deleted) by (?:a |the )?user"
        r"|at the user's request|keyboardinterrupt",
        Cause.USER_CANCEL,
    ),
    (
        r"out[ -]of[ -]memory|outofmemory|oom ?kill|\boom\b|(?:cannot|failed to) allocate memory"
        r"|cublas_status_alloc_failed|\bmemoryerror\b",
        Cause.OUT_OF_MEMORY,
    ),
    (
        r"moderation|content[ _]filter|content (?:management )?policy|usage polic|responsible ai"
        r"|safety (?:check|eval|polic|filter|system|standard)|unsafe training file|harmful content",
        Cause.POLICY,
    ),
    (
        r"quota|billing|payment|insufficient (?:fund|balance|credit)|low balance|out of credit"
        r"|balance (?:is )?(?:too low|insufficient|exhausted)|not enough credit"
        r"|(?:credit|spend|spending|budget|usage|rate|service) limit|too many requests"
        r"|resourcelimitexceeded",
        Cause.QUOTA_OR_BILLING,
    ),
    (
        r"\bnccl\b|\becc error|\bxid\b|hardware|node (?:failure|failed|lost|was lost|not ready)|preempt"
        r"|evicted|spot interruption|instance was terminated|machine was lost|unable to provision"
        r"|insufficient capacity|capacityerror|gpu (?:failure|fell off|is lost)",
        Cause.HARDWARE_RESTART,
    ),
    (
        r"timeout|timed out|time out|time limit|deadline ?exceeded|longer than specified deadline"
        r"|max(?:imum)? ?run ?time|maximum duration",
        Cause.TIMEOUT,
    ),
    (
        r"permission|access ?denied|not authorized|unauthori[sz]ed|forbidden|could not assume role"
        r"|(?:invalid|incorrect|bad) (?:wandb |w&b )?api key",
        Cause.POLICY,
    ),
    (
        r"internal (?:server )?error|internalservererror|server error|server had an error"
        r"|service unavailable|temporarily unavailable|job restarted|has been restarted"
        r"|connection reset by peer",
        Cause.HARDWARE_RESTART,
    ),
    (
        r"(?:training|validation|input|eval|evaluation)[- ](?:file|data)|\bdata ?set|jsonl|not valid json"
        r"|invalid (?:json|file|data|format|example|input|row|record|token)|file format|format error"
        r"|(?:file|data|input|schema) validation|\bvalidation (?:failed|error)|\b(?:row|line|example) \d"
        r"|(?:missing|no) assistant|(?:too few|not enough|at least 10) examples|malformed",
        Cause.DATA_INVALID,
    ),
)

# What stands before a word of the long sort, as in JOB_STATE_EXPIRED.
_PREFIX = re.compile(r"^(?:tuning)?jobstate")
_SEPARATORS = re.compile(r"[\W_]+")


def cause_of(job: Snapshot, lines: Sequence[Line] = ()) -> Cause | None:
    """Why the job failed or was cancelled, None for any other job. `lines` are its log's, oldest first.

    Never raises; what nothing explains is `unknown`, or `user_cancel` for a cancelled job.
    """
    if job.status not in (Status.FAILED, Status.CANCELLED):
        return None
    code, message = (job.error.code or "", job.error.message or "") if job.error else ("", "")
    words = [_word(word) for word in (code, job.phase or "", job.raw_status or "")]
    for word in words:
        if word in _CODES:
            return _refined(_CODES[word], message)
    return (
        _said(message)
        or (None if words[0] in _VAGUE else _said(code.replace("_", " ")))
        or _logged(lines)
        or next((_VAGUE[word] for word in words if word in _VAGUE), None)
        or (Cause.USER_CANCEL if job.status is Status.CANCELLED else Cause.UNKNOWN)
    )


def _refined(cause: Cause, message: str) -> Cause:
    """A file that moderation refuses goes by the code of an invalid one."""
    is_policy = cause is Cause.DATA_INVALID and _said(message) is Cause.POLICY
    return Cause.POLICY if is_policy else cause


def _word(text: str) -> str:
    return _PREFIX.sub("", _SEPARATORS.sub("", text[:100].lower()))


def _said(text: str) -> Cause | None:
    """What the words of a message give away."""
    if not text:
        return None
    said = " ".join(text[:LENGTH].lower().split())
    return next((cause for pattern, cause in _PHRASES if re.search(pattern, said)), None)


def _logged(lines: Sequence[Line]) -> Cause | None:
    """The last word of a job log: what a line is counts at any level, what it says only as an error."""
    for line in reversed(lines[-LINES:]):
        cause = _CODES.get(_word(line.type)) or (_said(line.message) if line.level == "error" else None)
        if cause:
            return cause
    return None
