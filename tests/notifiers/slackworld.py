"""A workspace as Slack's Web API shows it: channels, messages with threads, limits, and its words for errors.

Answers and limits are those of Slack's documentation. Every payload is also given to Slack's own Python
library, whose block classes know what a block must be.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel
from slack_sdk.models.blocks import Block
from slack_sdk.models.metadata import Metadata
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ftwatch.client import Response as Answer
from ftwatch.simulator.receivers import BLOCKS, _is_broken
from ftwatch.simulator.serving import Place

TOKEN = "xoxb-hunter2-0123456789-abcdefghij"
SCOPES = "chat:write,channels:history,channels:read,files:write"


class Slack:
    """One workspace with the channel `#ml`. `moods` are answers given before anything is looked at, in turn.

    Such an answer is a word of Slack's, a number of seconds (429), a Response, or what makes one of the
    method's name; None lets the call through.
    """

    def __init__(self) -> None:
        self.scopes = SCOPES
        self.members = {"C0MLCHANNEL": "#ml"}
        self.archived = False
        self.is_member = True
        self.messages: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refused: list[str] = []
        self.moods: list[Any] = []
        self.mood: Callable[[str], Any] = lambda method: None
        self.files: dict[str, dict[str, Any]] = {}
        self.groups: list[dict[str, Any]] = [
            {"id": "S0ONCALLML", "handle": "oncall-ml", "name": "On call", "date_delete": 0},
            {"id": "S0GONEGONE", "handle": "gone", "name": "Gone", "date_delete": 1_700_000_000},
        ]
        self._now = 1_795_387_800
        routes = [
            Route("/api/{method}", self._take, methods=["POST"]),
            Route("/upload/{file}", self._fetch, methods=["POST"]),
        ]
        self.place = Place(Starlette(routes=routes), 0)

    @property
    def url(self) -> str:
        return f"{self.place.url}/api"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Slack"]:
        async with self.place.serving():
            yield self

    # ------------------------------------------------------------------------------------- what people see

    @property
    def channel(self) -> list[dict[str, Any]]:
        """What stands in the channel itself: messages, and answers that were sent there, too."""
        return [one for one in self.messages if "thread_ts" not in one or one.get("reply_broadcast")]

    @property
    def roots(self) -> list[dict[str, Any]]:
        return [one for one in self.messages if one["metadata"].get("event_type") == "ftwatch_job"]

    def thread(self, root: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for one in self.messages if one.get("thread_ts") == root["ts"]]

    def shared(self) -> list[dict[str, Any]]:
        """The files that people see, in their order."""
        return [self.files[file["id"]] for one in self.messages for file in one.get("files", ())]

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def delete(self, message: dict[str, Any]) -> None:
        self.messages.remove(message)

    # -------------------------------------------------------------------------------------------- answering

    async def _take(self, request: Request) -> Response:
        return self.answer(request.path_params["method"], await request.body(), request.headers)

    async def request(self, method: str, url: str, **more: Any) -> Answer:
        """As `ftwatch.client.Client.request`, without a socket: for what takes many calls."""
        place, _, name = url.rpartition("/")
        take = self.upload if place.endswith("/upload") else self.answer
        said = take(name, more["content"], more["headers"])
        await anyio.lowlevel.checkpoint()
        return Answer(said.status_code, dict(said.headers), bytes(said.body))

    async def _fetch(self, request: Request) -> Response:
        return self.upload(request.path_params["file"], await request.body(), request.headers)

    def upload(self, file: str, content: bytes, headers: Mapping[str, str]) -> Response:
        """What the place for files says to one: it knows no token, and no JSON."""
        self.calls.append(("upload", {}))
        assert "authorization" not in headers, "whoever is told the address has no business with the token"
        mood = self.moods.pop(0) if self.moods else self.mood("upload")
        if isinstance(mood, Response):
            return mood
        if isinstance(mood, int):
            return PlainTextResponse("slower", 429, {"retry-after": str(mood)})
        if mood is not None:
            return PlainTextResponse(mood, 500)
        if file not in self.files or len(content) != self.files[file]["length"]:
            return PlainTextResponse("no such upload", 404)
        self.files[file]["content"] = content
        return PlainTextResponse(f"OK - {len(content)}")

    def answer(self, method: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """What Slack says to a call."""
        is_json = headers["content-type"].startswith("application/json")
        what = json.loads(body) if is_json else dict(parse_qsl(body.decode()))
        self.calls.append((method, what))
        mood = self.moods.pop(0) if self.moods else self.mood(method)
        if isinstance(mood, Response):
            return mood
        if isinstance(mood, int):
            return JSONResponse(self._no("ratelimited"), 429, {"retry-after": str(mood)})
        if isinstance(mood, str):
            return JSONResponse(self._no(mood))
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse(self._no("invalid_auth"))
        told = getattr(self, "_" + method.replace(".", "_"))(what)
        return JSONResponse(told, headers={"x-oauth-scopes": self.scopes})

    def _no(self, word: str, **more: Any) -> dict[str, Any]:
        self.refused.append(word)
        return {"ok": False, "error": word, **more}

    def _lacks(self, *scopes: str) -> dict[str, Any] | None:
        if set(scopes) & set(self.scopes.split(",")):
            return None
        return self._no("missing_scope", needed=scopes[0], provided=self.scopes)

    def _id(self, channel: str) -> str | None:
        return next((id for id, name in self.members.items() if channel in (id, name)), None)

    def _find(self, channel: str, ts: str) -> dict[str, Any] | None:
        return next((one for one in self.messages if (one["channel"], one["ts"]) == (channel, ts)), None)

    def _wrong(self, what: dict[str, Any]) -> str | None:
        blocks = [*what.get("blocks", []), *(b for a in what.get("attachments", []) for b in a["blocks"])]
        if len(blocks) > BLOCKS or any(_is_broken(block) for block in blocks):
            return "invalid_blocks"
        for parsed in Block.parse_all(blocks):
            parsed.validate_json()
        if len(what.get("text", "")) > 40_000:
            return "msg_too_long"
        if len(json.dumps(blocks)) > 60_000:
            return "msg_blocks_too_long"
        if not what.get("text"):
            return "no_text"
        if "metadata" in what:
            Metadata(**what["metadata"]).validate_json()
        return None

    def _auth_test(self, what: dict[str, Any]) -> dict[str, Any]:
        return {
            "ok": True,
            "team": "Acme",
            "user": "ftwatch",
            "bot_id": "B1",
            "user_id": "U1",
            "team_id": "T1",
        }

    def _chat_postMessage(self, what: dict[str, Any]) -> dict[str, Any]:
        if lacking := self._lacks("chat:write"):
            return lacking
        channel = self._id(what["channel"])
        if channel is None:
            return self._no("channel_not_found")
        if self.archived:
            return self._no("is_archived")
        if wrong := self._wrong(what):
            return self._no(wrong)
        if "thread_ts" in what and self._find(channel, what["thread_ts"]) is None:
            return self._no("thread_not_found")
        self._now += 1
        kept = {"metadata": {}, **what, "channel": channel, "ts": f"{self._now}.000100", "edits": 0}
        self.messages.append(kept)
        return {"ok": True, "channel": channel, "ts": kept["ts"], "message": {"text": what["text"]}}

    def _chat_update(self, what: dict[str, Any]) -> dict[str, Any]:
        if not what["channel"].startswith("C"):
            return self._no("channel_not_found")
        message = self._find(what["channel"], what["ts"])
        if message is None:
            return self._no("message_not_found")
        if wrong := self._wrong(what):
            return self._no(wrong)
        message.update(what, edits=message["edits"] + 1)
        return {"ok": True, "channel": what["channel"], "ts": what["ts"], "text": what["text"]}

    def _history(self, what: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
        if lacking := self._lacks("channels:history", "groups:history"):
            return lacking
        if not what["channel"].startswith("C"):
            return self._no("channel_not_found")
        new = [one for one in found if float(one["ts"]) >= float(what["oldest"])]
        return {"ok": True, "messages": new[: int(what["limit"])], "has_more": False}

    def _conversations_history(self, what: dict[str, Any]) -> dict[str, Any]:
        return self._history(what, self.channel[::-1])

    def _conversations_replies(self, what: dict[str, Any]) -> dict[str, Any]:
        if self._find(what["channel"], what["ts"]) is None:
            return self._no("thread_not_found")
        return self._history(
            what, [one for one in self.messages if what["ts"] in (one["ts"], one.get("thread_ts"))]
        )

    def _conversations_info(self, what: dict[str, Any]) -> dict[str, Any]:
        if lacking := self._lacks("channels:read", "groups:read"):
            return lacking
        if what["channel"] not in self.members:
            return self._no("channel_not_found")
        info = {"name": "ml", "is_member": self.is_member, "is_archived": self.archived}
        return {"ok": True, "channel": {"id": what["channel"], **info}}

    def _usergroups_list(self, what: dict[str, Any]) -> dict[str, Any]:
        if lacking := self._lacks("usergroups:read"):
            return lacking
        return {"ok": True, "usergroups": self.groups}

    def _files_getUploadURLExternal(self, what: dict[str, Any]) -> dict[str, Any]:
        if lacking := self._lacks("files:write"):
            return lacking
        if not what.get("filename") or int(what.get("length", 0)) < 1:
            return self._no("invalid_arguments")
        if len(what.get("alt_txt", "")) > 1000:
            return self._no("alt_txt_too_large")
        file = f"F{len(self.files):08d}"
        kept = {"id": file, "name": what["filename"], "alt": what.get("alt_txt", "")}
        self.files[file] = {**kept, "length": int(what["length"])}
        return {"ok": True, "upload_url": f"{self.place.url}/upload/{file}", "file_id": file}

    def _files_completeUploadExternal(self, what: dict[str, Any]) -> dict[str, Any]:
        if lacking := self._lacks("files:write"):
            return lacking
        if not what["channel_id"].startswith("C") or what["channel_id"] not in self.members:
            return self._no("invalid_channel")
        if self._find(what["channel_id"], what["thread_ts"]) is None:
            return self._no("posting_to_channel_denied")
        for file in what["files"]:
            if "content" not in self.files.get(file["id"], {}):
                return self._no("file_not_found")
            self.files[file["id"]]["title"] = file["title"]
        self._now += 1
        files = [{"id": one["id"], "name": self.files[one["id"]]["name"]} for one in what["files"]]
        where = {"channel": what["channel_id"], "thread_ts": what["thread_ts"]}
        told = {"metadata": {}, "text": "", "ts": f"{self._now}.000100", "edits": 0}
        self.messages.append({**told, **where, "files": files})
        return {"ok": True, "files": files}
