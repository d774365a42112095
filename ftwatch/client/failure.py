"""How a request fails: the exceptions of the client. Each holds a sentence without any URL."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftwatch.client.meaning import Response

__all__ = ["Answered", "Paced", "Refused", "Unreachable"]


class Unreachable(Exception):
    """No complete answer came. `timeout` says that time ran out."""

    def __init__(self, reason: str, *, timeout: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.timeout = timeout


class Paced(Unreachable):
    """Nothing was asked: the account's rate budget allows no request for another `wait` seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"the rate limit leaves no request for another {math.ceil(wait)} s")
        self.wait = wait


class Answered(Unreachable):
    """Not what was to be read came, but another answer: `response`, of which the body may be cut."""

    def __init__(self, response: "Response") -> None:
        super().__init__(f"HTTP {response.status}")
        self.response = response


class Refused(Unreachable):
    """Nothing was asked: the network guard does not go there."""
