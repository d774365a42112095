"""Whose secrets stand in what a job's owner gave a run: none of them is kept."""

import json
from typing import Any

import pytest

from ftwatch.core.job import JobError
from ftwatch.wire import lenient

HEX = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"hf_token": "hf_abcdefghijklmnopqrst", "n_epochs": 3}, {"hf_token": "••••", "n_epochs": 3}),
        ({"WANDB_API_KEY": HEX, "wandb_key": HEX}, {"WANDB_API_KEY": "••••", "wandb_key": "••••"}),
        ({"apiKey": "x", "credentials": {"user": "x"}}, {"apiKey": "••••", "credentials": "••••"}),
        ({"wandb": {"envs": [{"api_key": "x"}]}}, {"wandb": {"envs": [{"api_key": "••••"}]}}),
        ({"note": "sk-proj-abcdefghijkl"}, {"note": "sk-••••"}),
        ({"note": "AKIAABCDEFGHIJKLMNOP"}, {"note": "AKIA••••"}),
        ({"note": "eyJhbGciOiJ9.eyJzdWIiOiJ9.c2ln"}, {"note": "••••"}),
        ({"note": "Authorization Basic dXNlcjpwYXNz"}, {"note": "Authorization Basic ••••"}),
        (
            {"command": f"WANDB_API_KEY={HEX} X_SECRET='a b' python train.py --hf-token abc -v"},
            {"command": "WANDB_API_KEY=•••• X_SECRET='•••• b' python train.py --hf-token •••• -v"},
        ),
        (
            {"arguments": ["--token", "abc", "--token=abc", "--lr", "1"]},
            {"arguments": ["--token", "••••", "--token=••••", "--lr", "1"]},
        ),
        (
            {"environment": json.dumps({"HF_TOKEN": "abc", "A": "b"})},
            {"environment": '{"HF_TOKEN": "••••", "A": "b"}'},
        ),
    ],
)
def test_secrets_of_others_are_struck(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert lenient.settings(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        {"max_tokens": "512", "tokenizer": "llama", "token": "", "secret": None, "num_tokens": 7},
        {"pad_token": "<pad>", "eos_token": "</s>", "mask_token": "[MASK]", "add_eos_token": True},
        {"command": "train --token $HF_TOKEN --max-tokens 512 --pad_token='<pad>' --tokenizer x"},
        {"key": "text", "dataset_text_key": "text", "n_epochs": "auto", "arguments": ["--lr", "1e-4"]},
        {"path": "s3://bucket/secret-project/token", "note": "the password is not told here"},
    ],
)
def test_settings_that_are_no_secrets_are_kept(given: dict[str, Any]) -> None:
    assert lenient.settings(given) == given


def test_labels_and_errors_repeat_no_key() -> None:
    assert lenient.strings({"by": "hf_abcdefghijklmnopqrst"}) == {"by": "hf_••••"}
    told = lenient.told(JobError(message="401 for https://hub/?token=abcdef, unexpected token: x"))
    assert told
    assert told.message == "401 for https://hub/?token=•••• unexpected token: x"
