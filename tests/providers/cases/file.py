"""What `file` is held to: the documents that its looks at the disk come to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {"paths": ("runs/*",)}
SERVED = False  # nobody is asked: a disk is looked at

# A trainer has no words; these are ours for what its files show.
STATUSES = {
    "empty": Status.QUEUED,
    "training": Status.RUNNING,
    "silent": Status.PAUSED,
    "given up": Status.FAILED,
    "finished": Status.SUCCEEDED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A run whose files show this."""
    return {
        "id": f"runs/sft-{number}",
        "status": word,
        "folder": f"/data/runs/sft-{number}",
        "owner": "ml",
        "base": "meta-llama/Llama-3.1-8B",
        "began": 1_790_000_000,
        "changed": 1_790_000_600,
        "ended": None,
        "step": 120,
        "total": 600,
        "epoch": 0.6,
        "percent": 20.0,
        "finish": 1_790_003_000,
        "tokens": 480_000,
        "patience": 1800,
        "settings": {"n_epochs": 3},
        "best": {"best_metric": "0.42"},
        "results": [],
        "figures": [{"step": 120, "after": 600, "figures": {"train_loss": 1.2}}],
        "checkpoints": [{"step": 100, "path": "/data/runs/sft-1/checkpoint-100", "at": 1_790_000_500}],
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"runs": jobs}


TRAPS = {
    "T07 no error while it trains": (document("training"), {"error": None}),
    "T09 no model and no end before the end": (
        document("training"),
        {"fine_tuned_model": None, "finished_at": None, "result_files": ()},
    ),
    "T16 a silent run has not ended": (
        document("silent"),
        {"status": Status.PAUSED, "finished_at": None, "estimated_finish": None, "error": None},
    ),
    "T25 an estimate of nothing is none": ({**document("training"), "finish": 0}, {"estimated_finish": None}),
    "T35 why it counts as failed is said": (
        document("given up"),
        {"error.code": "silent", "error.message": "its files have not changed for 30m, and it had not ended"},
    ),
    "T37 an end below 100 percent": (
        {**document("finished"), "percent": 61.5, "ended": 1_790_000_900},
        {"status": Status.SUCCEEDED, "progress.percent": 61.5, "finished_at": 1_790_000_900},
    ),
    "a run is called like its folder": (
        document("finished"),
        {"name": "sft-1", "fine_tuned_model": "/data/runs/sft-1", "model": "meta-llama/Llama-3.1-8B"},
    ),
}
