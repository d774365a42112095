"""AWS's error codes and resource names, as they come and as they should not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.wire.aws import arn, error_code, identity, message, split

JOB = "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/amazon.nova-lite-v1:0:300k/abc"


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"x-amzn-errortype": "ThrottlingException"}, {"message": "x"}, "ThrottlingException"),
        (
            {"x-amzn-errortype": "ValidationException:http://internal.amazon.com/coral/"},
            None,
            "ValidationException",
        ),
        ({}, {"__type": "ValidationException", "message": "x"}, "ValidationException"),
        ({}, {"__type": "com.amazon.coral.service#AccessDeniedException"}, "AccessDeniedException"),
        ({}, {"code": "ExpiredToken"}, "ExpiredToken"),
        ({"x-amzn-errortype": "  "}, {"__type": "Throttling"}, "Throttling"),
        ({}, {"Error": {"Code": "InvalidClientTokenId"}}, "InvalidClientTokenId"),
        ({}, {"__type": 7, "code": None}, ""),
        ({}, {"__type": "two words"}, ""),
        ({}, [], ""),
        ({}, "text", ""),
        ({}, None, ""),
    ],
)
def test_the_code_of_an_error(headers: dict[str, str], body: Any, code: str) -> None:
    assert error_code(headers, b"<html>" if body is None else json.dumps(body).encode()) == code


REFUSED = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error>
    <Type>Sender</Type>
    <Code>InvalidClientTokenId</Code>
    <Message>The security token included in the request is &quot;invalid&quot;
      .</Message>
  </Error>
</ErrorResponse>"""


def test_an_error_in_xml() -> None:
    assert error_code({}, REFUSED) == "InvalidClientTokenId"
    assert message(REFUSED) == 'The security token included in the request is "invalid" .'
    assert message(b"<Error><Message><b>x</b></Message></Error>") == ""


@given(body=st.binary(), header=st.text())
def test_any_answer_has_a_code_or_none(body: bytes, header: str) -> None:
    assert error_code({"x-amzn-errortype": header}, body).isprintable()
    assert message(body) == ""


ROLE = "arn:aws:sts::123456789012:assumed-role/ftwatch/session"


@pytest.mark.parametrize(
    ("body", "who"),
    [
        (f"<GetCallerIdentityResponse><Arn>\n {ROLE} </Arn></GetCallerIdentityResponse>", ROLE),
        (json.dumps({"GetCallerIdentityResponse": {"GetCallerIdentityResult": {"Arn": ROLE}}}), ROLE),
        ("<Arn>kim</Arn>", None),
        ("<Arn></Arn>", None),
        ("{}", None),
        ("", None),
    ],
)
def test_who_asks(body: str, who: str | None) -> None:
    found = identity(body.encode())
    assert (found and found.text) == who


def test_a_resource_s_name_is_taken_apart() -> None:
    found = arn(JOB)
    assert found is not None
    assert (found.text, found.partition, found.region, found.account) == (
        JOB,
        "aws",
        "us-east-1",
        "123456789012",
    )
    assert found.name == "amazon.nova-lite-v1:0:300k/abc"


@pytest.mark.parametrize(
    ("text", "account", "name"),
    [
        ("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0", None, "amazon.nova-lite-v1:0"),
        ("arn:aws:sagemaker:eu-west-1:aws:hub-content/Hub/Model/m/1.0", "aws", "Hub/Model/m/1.0"),
        ("arn:aws:sns:eu-west-1:123456789012:topic", "123456789012", "topic"),
    ],
)
def test_names_without_an_account_or_a_sort(text: str, account: str | None, name: str) -> None:
    found = arn(text)
    assert found is not None
    assert (found.account, found.name) == (account, name)


@pytest.mark.parametrize(
    "value", [None, 7, "", "arn", "arn:aws:bedrock", "arn:aws:bedrock:x:12:y", [JOB], f"{JOB} "]
)
def test_what_is_no_resource_name(value: object) -> None:
    assert arn(value) is None


@pytest.mark.parametrize(
    ("start", "address"),
    [
        (
            "arn:aws:x:eu-west-1:",
            "https://eu-west-1.console.aws.amazon.com/a/home?region=eu-west-1#/jobs/b%23c",
        ),
        (
            "arn:aws-us-gov:x:us-gov-west-1:",
            "https://us-gov-west-1.console.amazonaws-us-gov.com/a/home?region=us-gov-west-1#/jobs/b%23c",
        ),
        (
            "arn:aws-cn:x:cn-north-1:",
            "https://cn-north-1.console.amazonaws.cn/a/home?region=cn-north-1#/jobs/b%23c",
        ),
        ("arn:aws-iso:x:us-iso-east-1:", None),
        ("arn:aws:x::", None),
    ],
)
def test_the_console_is_where_the_partition_has_it(start: str, address: str | None) -> None:
    found = arn(f"{start}123456789012:job/x")
    assert found is not None
    assert found.console("a/home#/jobs/b#c") == address


def test_a_page_has_entries_and_perhaps_a_token() -> None:
    assert split(b'{"Jobs": [{"a":1}], "Next": "t"}', "Jobs", "Next").next == "t"
    for token in ('""', "null", "7", "{}"):
        page = split(b'{"Next": %b, "Jobs": []}' % token.encode(), "Jobs", "Next")
        assert (page.entries, page.next) == ((), None)
