"""What lets into other services, struck out of what a job's owner gave a run. Pure.

Settings, integrations and command lines hold keys of trackers and hubs, and some services repeat them in
every answer. They are told by their names, and by their shapes where they have one.
"""

import re
from functools import lru_cache

from ftwatch.log import HIDDEN, shapeless

__all__ = ["HIDDEN", "is_option", "is_private", "struck"]

# No shorter text holds a secret worth its name; most settings are such texts.
SHORTEST = 8

# No name that tells is longer; what stands before it does not matter.
LONGEST = 20

# Nor does a text without any of these (in lower case), as every shape and every way of giving one has. So
# written, the beginnings of all of them are looked for at once, at a quarter of the price.
_HINT = re.compile(r"-|_|=|:|\?|/|aiza|akia|asia|eyj|bearer|authorization")

_NAMES = (
    r"(?:api[_-]?keys?|access[_-]?key(?:[_-]?id)?|private[_-]?key|wandb[_-]?key|secrets?|passw(?:or)?ds?"
    r"|passphrase|credentials?|token)"
)
_PRIVATE = re.compile(_NAMES + "$", re.IGNORECASE)
# `WANDB_API_KEY=…`, `--hf-token …`, and JSON inside a text, its quotes escaped or not. A variable that is
# named instead is no secret, nor is what a tokenizer calls a token.
_GIVEN = re.compile(
    rf"""({_NAMES}(?:\\?["'])?\s*[=:]\s*(?:\\?["'])?|(?<![\w-])--[\w-]{{0,40}}?{_NAMES}\s+)(?![$<\[])[^\s"'\\,;&|)}}]+""",
    re.IGNORECASE,
)


def is_private(name: str, value: object) -> bool:
    """Whether what stands under this name is nobody else's business.

    Numbers and truths under such a name are settings (`add_eos_token`), `<pad>` and `[PAD]` are words of a
    tokenizer.
    """
    if not value or isinstance(value, (int, float)) or not _is_secretive(name[-LONGEST:]):
        return False
    return not (isinstance(value, str) and value[0] in "<[" and name.lower().endswith("token"))


def is_option(word: object) -> bool:
    """Whether a word of a command line says that the next one is a secret."""
    return isinstance(word, str) and word.startswith("-") and _is_secretive(word[-LONGEST:])


@lru_cache(maxsize=1000)
def _is_secretive(end: str) -> bool:
    """Whether a name that ends like this is a secret's: the same few names stand in every document."""
    return bool(_PRIVATE.search(end))


def struck(text: str) -> str:
    """A text without anything that looks like a secret, or is said to be one."""
    if len(text) < SHORTEST or (text.isascii() and not _HINT.search(text.lower())):
        return text
    return _GIVEN.sub(rf"\1{HIDDEN}", shapeless(text))
