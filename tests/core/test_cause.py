"""cause_of: whatever a provider calls it, a program reads one of eight words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.cause import Cause, cause_of, in_words
from ftwatch.core.job import TERMINAL, JobError, Snapshot, Status
from ftwatch.core.journal import Line

DATA, QUOTA, POLICY = Cause.DATA_INVALID, Cause.QUOTA_OR_BILLING, Cause.POLICY
HARDWARE, MEMORY, TIMEOUT = Cause.HARDWARE_RESTART, Cause.OUT_OF_MEMORY, Cause.TIMEOUT
CANCEL, UNKNOWN = Cause.USER_CANCEL, Cause.UNKNOWN


def job(
    status: Status = Status.FAILED, code: str | None = None, message: str | None = None, **more: Any
) -> Snapshot:
    error = JobError(code=code, message=message) if code or message else None
    return Snapshot(id="j", provider="p", kind="k", status=status, error=error, **more)


# What a provider says of a failed job: code, message, cause.
FAILED: list[tuple[str | None, str | None, Cause]] = [
    # OpenAI and Azure.
    (
        "invalid_training_file",
        "The job failed due to an invalid training file. Line 7 is not valid JSON.",
        DATA,
    ),
    ("invalid_validation_file", None, DATA),
    ("invalid_training_file", "Line 3: the key 'timeout' of the quota table is no message", DATA),
    (
        "invalid_training_file",
        "This training file was blocked by our moderation system: its examples violate usage policies.",
        POLICY,
    ),
    (
        None,
        "The job failed due to a file format error in the training file. Example 61 contains a token.",
        DATA,
    ),
    (None, "Invalid file format. Input file file-x is in the chat-completion format", DATA),
    ("unsafe_file", None, POLICY),
    ("moderation", "The fine-tuned model did not pass", POLICY),
    (None, "The model was blocked since it failed the safety evaluation", POLICY),
    ("exceeded_quota", "Fine-tuning jobs cannot run while you are over your quota", QUOTA),
    (
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
        QUOTA,
    ),
    ("daily_rate_limit_exceeded", None, QUOTA),
    (None, "Billing hard limit has been reached", QUOTA),
    ("server_error", "The job failed due to an internal error.", HARDWARE),
    ("server_error", None, HARDWARE),
    ("server_error", "Worker died: CUDA out of memory. Tried to allocate 2.00 GiB", MEMORY),
    ("content_filter", None, POLICY),
    ("contentFilter", None, POLICY),
    (None, "The request was refused by Azure's content management policy", POLICY),
    # Together.
    ("user_error", None, DATA),
    ("user_error", "Insufficient balance to go on", QUOTA),
    ("billing_limit", None, QUOTA),
    # Fireworks and Vertex: the codes of gRPC by name and number.
    ("INVALID_ARGUMENT", "dataset row 12 has no assistant message", DATA),
    ("INVALID_ARGUMENT", None, DATA),
    ("3", "Dataset validation failed.", DATA),
    ("3", None, DATA),
    ("PERMISSION_DENIED", None, POLICY),
    ("7", None, POLICY),
    ("RESOURCE_EXHAUSTED", None, QUOTA),
    ("8", None, QUOTA),
    ("8", "Quota exceeded for tuning jobs in us-central1", QUOTA),
    ("8", "torch.OutOfMemoryError: GPU 0 has no memory left", MEMORY),
    ("4", None, TIMEOUT),
    ("DEADLINE_EXCEEDED", None, TIMEOUT),
    ("13", "An internal error occurred", HARDWARE),
    ("UNAVAILABLE", None, HARDWARE),
    ("1", None, CANCEL),
    # Bedrock and SageMaker.
    (None, "Invalid input error: the training dataset has records longer than 2048 tokens", DATA),
    ("ValidationException", "1 validation error detected", DATA),
    ("AccessDeniedException", None, POLICY),
    (None, "Amazon Bedrock could not assume role arn:aws:iam::123456789012:role/x", POLICY),
    (None, "ClientError: Data download failed: Access denied to s3://bucket/x", POLICY),
    (None, "AlgorithmError: ExecuteUserScriptError: torch.cuda.OutOfMemoryError, exit code: 1", MEMORY),
    (None, "AlgorithmError: ExecuteUserScriptError: exit code: 1", UNKNOWN),
    (None, "InternalServerError: We encountered an internal error. Please try again.", HARDWARE),
    (None, "CapacityError: Unable to provision requested ML compute capacity", HARDWARE),
    (None, "ResourceLimitExceeded: the account-level service limit for ml.p4d.24xlarge is 0", QUOTA),
    # Kubernetes, Hugging Face, NeMo and other places where people bring their own code.
    ("DeadlineExceeded", "TrainJob was active longer than specified deadline", TIMEOUT),
    ("OOMKilled", None, MEMORY),
    (None, "Container trainer was OOMKilled (exit code 137)", MEMORY),
    (None, "Job timeout", TIMEOUT),
    (None, "Pod was evicted: the node was low on resource", HARDWARE),
    (None, "NCCL watchdog timeout on rank 3", HARDWARE),
    (None, "Killed: oom", MEMORY),
    ("CUDA_OUT_OF_MEMORY", None, MEMORY),
    (None, "the zoom level of the room", UNKNOWN),
    ("BackoffLimitExceeded", "Job has reached the specified backoff limit", UNKNOWN),
    ("TrainingRuntimeNotSupported", None, UNKNOWN),
    (None, "KeyboardInterrupt", CANCEL),
    # HTTP.
    ("402", None, QUOTA),
    ("429", None, QUOTA),
    ("403", None, POLICY),
    ("504", None, TIMEOUT),
    ("503", None, HARDWARE),
    # Nothing to go by.
    (None, None, UNKNOWN),
    ("failed", "failed", UNKNOWN),
    ("", "", UNKNOWN),
]


@pytest.mark.parametrize(("code", "message", "cause"), FAILED)
def test_what_a_provider_says_of_a_failure(code: str | None, message: str | None, cause: Cause) -> None:
    assert cause_of(job(code=code, message=message)) is cause


STATES: list[tuple[Status, str, str | None, Cause]] = [
    (Status.CANCELLED, "Stopped", "MaxRuntimeExceeded", TIMEOUT),
    (Status.CANCELLED, "Stopped", "MaxWaitTimeExceeded", TIMEOUT),
    (Status.CANCELLED, "Stopped", "Interrupted", HARDWARE),
    (Status.CANCELLED, "Stopped", "Stopped", CANCEL),
    (Status.FAILED, "JOB_STATE_EXPIRED", None, TIMEOUT),
    (Status.FAILED, "JOB_STATE_FAILED", "TUNING_JOB_STATE_WAITING_FOR_CAPACITY", UNKNOWN),
    (Status.FAILED, "JOB_STATE_FAILED", None, UNKNOWN),
    (Status.FAILED, "Failed", "DeadlineExceeded", TIMEOUT),
    (Status.FAILED, "FAILED_VALIDATION", None, DATA),
    (Status.FAILED, "user_error", None, DATA),
    (Status.FAILED, "error", None, UNKNOWN),
    (Status.CANCELLED, "cancelled", None, CANCEL),
    (Status.CANCELLED, "DELETED", None, CANCEL),
]


@pytest.mark.parametrize(("status", "word", "phase", "cause"), STATES)
def test_what_the_state_itself_says(status: Status, word: str, phase: str | None, cause: Cause) -> None:
    assert cause_of(job(status, raw_status=word, phase=phase)) is cause


def test_only_what_ended_badly_has_a_cause() -> None:
    for status in Status:
        found = cause_of(job(status, "exceeded_quota"))
        assert (found is not None) == (status in TERMINAL and status is not Status.SUCCEEDED)


LOGS: list[tuple[Status, list[Line], Cause]] = [
    # Together cancels a job itself, and says why only in its log.
    (
        Status.CANCELLED,
        [Line(type="billing_limit", message="Balance too low"), Line(type="job_stopped")],
        QUOTA,
    ),
    (Status.CANCELLED, [Line(type="job_restarted", level="warning", message="Job restarted")], HARDWARE),
    (Status.CANCELLED, [Line(type="job_restarted"), Line(type="cancel_requested")], CANCEL),
    (Status.CANCELLED, [Line(level="error", message="wandb: invalid API key")], POLICY),
    (Status.FAILED, [Line(level="error", type="job_error", message="CUDA out of memory")], MEMORY),
    (Status.FAILED, [Line(level="error", message="The job failed due to an invalid training file.")], DATA),
    (
        Status.FAILED,
        [Line(level="error", message="quota"), Line(level="error", message="timed out")],
        TIMEOUT,
    ),
    (Status.FAILED, [Line(level="error", message="timed out"), Line(level="error", message="bye")], TIMEOUT),
    # What is no error is only talk.
    (Status.FAILED, [Line(message="Validating training file: file-1")], UNKNOWN),
    (Status.CANCELLED, [Line(message="Validating training file: file-1")], CANCEL),
]


@pytest.mark.parametrize(("status", "lines", "cause"), LOGS)
def test_the_last_word_of_a_log_counts_where_the_job_is_silent(
    status: Status, lines: list[Line], cause: Cause
) -> None:
    assert cause_of(job(status), lines) is cause


def test_the_job_itself_knows_better_than_its_log() -> None:
    lines = [Line(level="error", message="timed out")]
    assert cause_of(job(code="exceeded_quota"), lines) is QUOTA
    assert cause_of(job(message="CUDA out of memory"), lines) is MEMORY
    assert cause_of(job(code="server_error"), lines) is TIMEOUT, "but a vague code says less than the log"


anything = st.none() | st.text(st.characters(codec=None), max_size=80)


@given(
    st.sampled_from([Status.FAILED, Status.CANCELLED]),
    anything,
    anything,
    anything,
    anything,
    st.lists(
        st.builds(Line, level=st.sampled_from(["error", "info"]), type=st.text(max_size=9), message=st.text())
    ),
)
def test_no_text_makes_it_stumble(
    status: Status,
    code: str | None,
    message: str | None,
    word: str | None,
    phase: str | None,
    lines: list[Line],
) -> None:
    assert cause_of(job(status, code, message, raw_status=word, phase=phase), lines) in Cause


@pytest.mark.parametrize("piece", ["a", " ", "_", "_ ", "invalid ", "data ", "cancelled by ", "É", "\ud800"])
def test_endless_text_is_read_only_so_far(piece: str) -> None:
    text = piece * 3_000_000
    lines = [Line(level="error", message=text, type=text)] * 1000
    assert cause_of(job(code=text, message=text, raw_status=text, phase=text), lines) in Cause


def test_every_cause_has_plain_words() -> None:
    assert in_words("quota_or_billing") == "quota or billing"
    assert in_words("sun_spots") == "sun spots", "what a later version wrote is shown as it is"
    assert len({in_words(cause) for cause in Cause}) == len(Cause)
