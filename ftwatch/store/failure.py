"""How the store fails: each exception holds a sentence that says what to do about it."""

__all__ = ["Damaged", "Full", "Locked", "StoreError", "TooNew"]


class StoreError(Exception):
    """The store cannot do its work; the sentence says what to do about it. Nothing was committed."""


class Locked(StoreError):
    """Another ftwatch holds the database."""


class Full(StoreError):
    """The disk is full."""


class TooNew(StoreError):
    """The file was written by a newer ftwatch."""


class Damaged(StoreError):
    """The file or its disk is not to be trusted any more: whoever goes on makes it worse."""
