"""google-genai reads what the simulated service serves; ftwatch reads what google-genai's own models say."""

import json
from types import ModuleType
from typing import Any

import anyio.to_thread
import pytest

from ftwatch.core.job import Status
from ftwatch.plugins import ProviderSpec
from ftwatch.providers.vertex import STATUSES, WAITS, Options, Vertex
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream


@pytest.fixture(scope="module")
def genai(oracle: Any) -> ModuleType:
    found: ModuleType = oracle("google.genai")
    return found


def provider() -> Vertex:
    options = Options(project="acme-research", location="us-central1")
    return Vertex(ProviderSpec(name="p", kind="vertex", labels={}, options=options, client=None))


def client(genai: ModuleType, url: str) -> Any:
    from google.oauth2.credentials import Credentials

    return genai.Client(
        vertexai=True,
        project="acme-research",
        location="us-central1",
        credentials=Credentials("token"),
        http_options={"base_url": url, "api_version": "v1"},
    )


async def test_its_client_lists_and_gets_what_we_serve(genai: ModuleType) -> None:
    async with Upstream(clock=StillClock(), dialect=dialect_of("vertex"), page_cap=2).serving() as upstream:
        made = [upstream.create("happy", suffix=f"run-{n}", metadata={"team": "nlp"}) for n in range(5)]
        upstream.clock.move(1000)

        def ask() -> tuple[list[Any], Any]:
            with client(genai, upstream.url) as google:
                listed = list(google.tunings.list(config={"page_size": 2}))
                return listed, google.tunings.get(name=listed[0].name)

        listed, job = await anyio.to_thread.run_sync(ask)
    assert [one.tuned_model_display_name for one in listed] == [f"run-{n}" for n in range(4, -1, -1)]
    assert job.has_succeeded
    assert job.name.endswith(f"/tuningJobs/{made[-1].id}")
    assert job.tuned_model.model.endswith("@1")
    assert [one.step for one in job.tuned_model.checkpoints] == [100, 200, 300]
    assert job.tuning_job_metadata.completed_epoch_count == 3
    assert job.supervised_tuning_spec.hyper_parameters.epoch_count == 3
    assert job.labels == {"team": "nlp"}
    assert None not in (job.create_time, job.start_time, job.end_time)


@pytest.mark.parametrize("life", ["happy", "fails", "cancelled", "paused"])
async def test_it_sees_the_same_states_as_we_do(genai: ModuleType, life: str) -> None:
    dialect = dialect_of("vertex")
    clock = StillClock()
    async with Upstream(clock=clock, dialect=dialect).serving() as upstream:
        made = upstream.create(life)

        def ask() -> list[Any]:
            with client(genai, upstream.url) as google:
                return list(google.tunings.list())

        for at, status in made.script.states:
            clock.move(made.created_at + at + 1 - upstream.now())
            (job,) = await anyio.to_thread.run_sync(ask)
            raw = json.dumps(dialect.document(made, upstream.now())).encode()  # type: ignore[attr-defined]
            ours = provider().read(raw)
            assert ours.status == status
            assert job.state.value == ours.raw_status
            assert job.has_ended == ours.status.is_terminal
            assert (job.error is not None) == (ours.error is not None)


def test_we_know_every_word_of_theirs(genai: ModuleType) -> None:
    words = {state.value.lower() for state in genai.types.JobState} - {"job_state_unspecified"}
    assert words == STATUSES.keys()
    phases = {state.value.lower().removeprefix("tuning_job_state_") for state in genai.types.TuningJobState}
    assert phases - {"unspecified", "tuning", "post_processing"} == WAITS.keys()


def test_we_read_what_their_model_says(genai: ModuleType) -> None:
    types = genai.types
    job = types.TuningJob(
        name="projects/1/locations/us-central1/tuningJobs/42",
        state="JOB_STATE_SUCCEEDED",
        base_model="gemini-2.5-flash",
        create_time="2026-09-21T14:13:20Z",
        start_time="2026-09-21T14:14:20Z",
        end_time="2026-09-21T15:13:20Z",
        tuned_model_display_name="support-bot",
        tuned_model=types.TunedModel(
            model="projects/1/locations/us-central1/models/9@1",
            endpoint="projects/1/locations/us-central1/endpoints/6",
            checkpoints=[types.TunedModelCheckpoint(checkpoint_id="1", epoch=1, step=40)],
        ),
        preference_optimization_spec=types.PreferenceOptimizationSpec(
            training_dataset_uri="gs://acme/pairs.jsonl",
            hyper_parameters=types.PreferenceOptimizationHyperParameters(epoch_count=2, beta=0.1),
        ),
        tuning_data_stats=types.TuningDataStats(
            preference_optimization_data_stats=types.PreferenceOptimizationDataStats(
                total_billable_token_count=9000, tuning_step_count=40
            )
        ),
        tuning_job_metadata=types.TuningJobMetadata(completed_epoch_count=2),
        labels={"team": "nlp"},
    )
    raw = job.model_dump_json(by_alias=True, exclude_none=True).encode()
    found = provider().read(raw)
    assert (found.id, found.status, found.name) == ("42", Status.SUCCEEDED, "support-bot")
    assert found.fine_tuned_model == "projects/1/locations/us-central1/models/9@1"
    assert (found.created_at, found.started_at, found.finished_at) == (
        1_790_000_000,
        1_790_000_060,
        1_790_003_600,
    )
    assert (found.trained_tokens, found.training_file) == (9000, "gs://acme/pairs.jsonl")
    assert found.method is not None
    assert found.method.type == "dpo"
    assert found.hyperparameters == {"n_epochs": 2, "beta": 0.1}
    assert found.progress is not None
    assert (found.progress.total_steps, found.progress.percent) == (40, 100.0)
    assert [one.step for one in provider().inline(raw).checkpoints] == [40]
