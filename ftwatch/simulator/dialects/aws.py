"""What AWS's services have in common: who may ask, how options name them, how they word an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ftwatch.simulator.dialect import Dialect

__all__ = ["ACCOUNT", "REGION", "Aws"]

ACCOUNT = "123456789012"
REGION = "us-east-1"
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/ftwatch/simulated"
WHO = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>{CALLER}</Arn>
    <UserId>AROASIMULATED:simulated</UserId>
    <Account>{ACCOUNT}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>
"""


class Aws(Dialect):
    """A service that is asked with signed requests. Of a signature only the access key is looked at."""

    words: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("validating_files", "queued", "running", "paused"), "InProgress"),
        "cancelling": "Stopping",
        "succeeded": "Completed",
        "failed": "Failed",
        "cancelled": "Stopped",
    }
    codes: ClassVar[Mapping[int, tuple[int, str]]]
    """How it says what others say by a status alone: the status that it uses, and its code."""

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """An account by its keys: botocore's own chain would look around on this machine."""
        return {
            "kind": self.kind,
            "region": REGION,
            "base_url": url,
            "access_key_id": key or "AKIASIMULATED0000000",
            "secret_access_key": "simulated/secret+access/key",
        }

    def caller(self) -> Response:
        """Who asks, as STS tells it."""
        return Response(WHO, media_type="text/xml")

    def admits(self, request: Request, key: str) -> bool:
        """Whether the request was signed with the access key."""
        return f"Credential={key}/" in request.headers.get("authorization", "")

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error under AWS's own codes."""
        status, code = self.codes.get(status, (status, "ServiceException"))
        return self.error(status, code, message)

    def error(self, status: int, code: str, message: str) -> Response:
        """An error with its code."""
        headers = {"x-amzn-errortype": f"{code}:"}
        if code == "ThrottlingException":
            headers["retry-after"] = "1"
        return JSONResponse({"message": message}, status, headers)
