"""How a request fails: the exceptions of the client. Each holds a sentence without any URL."""

import math

__all__ = ["Paced", "Refused", "Unreachable"]


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


class Refused(Unreachable):
    """Nothing was asked: the network guard does not go there."""
