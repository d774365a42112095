"""The corpus of signatures: each gets its verdict, and nothing but a verdict."""

import base64
import json
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks.webhooks

from ftwatch.core.signature import BadSecret, BadSignature, Stale, sign, signing_key, verify

CORPUS = json.loads((Path(__file__).parents[1] / "data" / "signatures.json").read_text(encoding="utf-8"))
VERDICTS = {"valid": None, "BadSignature": BadSignature, "Stale": Stale, "BadSecret": BadSecret}


def unfolded(value: Any) -> Any:
    """A long text that stands in the file as pieces."""
    if not isinstance(value, list):
        return value
    return "".join(piece if isinstance(piece, str) else piece["repeat"] * piece["times"] for piece in value)


def rows(**wanted: Any) -> list[Any]:
    """The rows as parameters, whole; with `wanted` only those that say so."""
    found = []
    for row in CORPUS["rows"]:
        whole = {**CORPUS["vectors"][row.get("of", "A")], **row}
        whole = {key: unfolded(value) for key, value in whole.items()}
        raw = whole.pop("body_base64", None)
        whole["body"] = whole["body"].encode() if raw is None else base64.b64decode(raw)
        if wanted.items() <= row.items():
            found.append(pytest.param(whole, id=row["name"]))
    return found


def verdict(row: dict[str, Any]) -> tuple[str, str]:
    """What becomes of a row, and the sentence that says so."""
    try:
        verify(row["secret"], row["id"], row["timestamp"], row["body"], row["signature"], row["now"])
    except (BadSignature, BadSecret) as error:
        return type(error).__name__, str(error)
    return "valid", "by this secret"


def test_the_corpus_is_in_order() -> None:
    names = [row["name"] for row in CORPUS["rows"]]
    assert len(set(names)) == len(names) >= 60
    assert {row["verdict"] for row in CORPUS["rows"]} == set(VERDICTS)
    assert all(row["verdict"] == "valid" for row in CORPUS["rows"] if row.get("oracle"))


@pytest.mark.parametrize("row", rows())
def test_every_signature_gets_its_verdict(row: dict[str, Any]) -> None:
    found, sentence = verdict(row)
    assert found == row["verdict"]
    assert sentence
    assert row["secret"] == "" or row["secret"] not in sentence


@pytest.mark.parametrize("row", rows(verdict="BadSecret"))
def test_a_bad_secret_signs_nothing_either(row: dict[str, Any]) -> None:
    with pytest.raises(BadSecret):
        signing_key(row["secret"])
    with pytest.raises(BadSecret):
        sign([row["secret"]], "msg_1", 1614265330, b"{}")


@pytest.mark.parametrize("row", rows(verdict="valid"))
def test_what_is_valid_is_what_we_would_have_signed(row: dict[str, Any]) -> None:
    ours = sign([row["secret"]], row["id"], int(row["timestamp"]), row["body"])
    assert ours in row["signature"].split()


@pytest.mark.parametrize("row", rows(oracle=True))
def test_the_reference_library_takes_what_is_valid(
    row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(row["now"], tz or UTC)

    monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Then)
    headers = {
        "webhook-id": row["id"],
        "webhook-timestamp": row["timestamp"],
        "webhook-signature": row["signature"],
    }
    standardwebhooks.webhooks.Webhook(row["secret"]).verify(row["body"], headers, json_parse=False)
    with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
        standardwebhooks.webhooks.Webhook(row["secret"]).verify(row["body"] + b" ", headers)
