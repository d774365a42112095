"""Where a page stands, kept in front of it, whatever the id of the last entry is."""

import json

import pytest

from ftwatch.wire import lenient
from ftwatch.wire.paging import Pager, Paging


def pager() -> Pager:
    return Pager(Paging(style="page"), lambda raw: lenient.identifier(lenient.document(raw).get("id")))


@pytest.mark.parametrize("id", ["a", "界" * 512, "𝄞" * 512])
def test_an_anchor_is_found_again(id: str) -> None:
    entries = [json.dumps({"id": id}).encode()]
    anchor = pager().next(None, entries, {})
    assert pager().parted(pager().kept(anchor, b'{"data": []}')) == (anchor, b'{"data": []}')


def test_what_has_no_line_break_is_an_answer_alone() -> None:
    answer = b"page=2&seen=9&last=a"
    assert pager().parted(answer) == (None, answer)
