"""Fine-tuning on Nebius Token Factory: OpenAI's shapes, but what a job made stands in its checkpoints."""

from typing import Any, ClassVar

from ftwatch.simulator.dialects.openai import SAID, OpenAI
from ftwatch.simulator.script import Job

__all__ = ["DIALECT"]


class Nebius(OpenAI):
    """`/v1/fine_tuning/jobs`, whose jobs never name a model."""

    kind = "nebius"
    sends_hooks = False
    model = "meta-llama/Llama-3.1-8B-Instruct"
    tells_model = False
    shows: ClassVar[dict[str, str]] = {"paused": "running"}
    words: ClassVar[dict[str, str]] = {"paused": "running"}

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it."""
        found = super().document(job, now)
        for key in ("fine_tuned_model", "metadata", "method", "user_provided_suffix"):
            del found[key]
        state = job.state(now)
        return {
            **found,
            "error": state.error,
            "hyperparameters": {"batch_size": 8, "learning_rate": 1e-05, "n_epochs": 3, "lora": True},
            "organization_id": "",
            "suffix": job.suffix,
            "trained_steps": state.step,
            "total_steps": state.steps,
        }

    def events(self, job: Job, now: float) -> list[dict[str, Any]]:
        """The job's own log, newest first. Nothing pauses here."""
        return [event for event in super().events(job, now) if event["message"] != SAID["paused"]]

    def checkpoints(self, job: Job, now: float) -> list[dict[str, Any]]:
        """Its checkpoints, newest first, each with the files that it consists of."""
        return [
            {
                **one,
                "fine_tuned_model_checkpoint": f"{job.model}-LoRa:{job.suffix or 'run'}-{one['step_number']}",
                "result_files": [f"file-{job.id[-6:]}-{one['step_number']}"],
            }
            for one in super().checkpoints(job, now)
        ]


DIALECT = Nebius()
