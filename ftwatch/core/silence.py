"""What may be silenced while ftwatch runs? A silence from somebody's words, or the sentence that is wrong.

What a silence then mutes is said in `route`; those of the config are read, with their places, by `config`.
"""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from ftwatch.core.event import digest
from ftwatch.core.message import clean
from ftwatch.core.route import Match, Silence, did_you_mean, parse_match

__all__ = ["make_silence", "read_matchers"]

# So long may all of a silence's matchers be together.
LONGEST = 4_000


def make_silence(
    words: Sequence[str],
    *,
    until: float | None,
    until_end: bool,
    comment: str,
    author: str,
    providers: Collection[str],
    now: float,
) -> Silence:
    """The silence that `author` asks for at `now`, by matchers in Alertmanager's words.

    Its id is made of all that it says. Raises ValueError with a sentence that names what is wrong.
    """
    name = clean(author)
    if not name:
        raise ValueError("a silence needs the name of whoever asks for it")
    if until is not None and until_end:
        raise ValueError("a silence ends at a time or with its job, not both")
    if until is not None and not until > now:
        raise ValueError("that time is past already: nothing would be silent")
    match = read_matchers(words, providers)
    silence = Silence(match=match, until=until, until_end=until_end, comment=clean(comment), author=name)
    if until_end and silence.job is None:
        raise ValueError("only a silence that names one job, by its provider and its id, can end with it")
    return replace(silence, id=f"sil_{digest(match, until, until_end, silence.comment, name, now)[:12]}")


def read_matchers(words: Sequence[str], providers: Collection[str]) -> Match:
    """The match that all of `words` are, each of them one or more matchers; `providers` are those that exist.

    Raises ValueError, with the number of the word that is wrong.
    """
    if sum(map(len, words)) > LONGEST:
        raise ValueError(f"the matchers are longer than {LONGEST} letters together")
    found = Match()
    for number, text in enumerate(words, start=1):
        try:
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ValueError(f"{text!r} is not UTF-8")
            part = parse_match(text)
            named = part.named("provider")
            if named and named not in providers:
                raise ValueError(f"there is no provider {named!r}{did_you_mean(named, providers)}")
        except ValueError as error:
            raise ValueError(f"matcher {number}: {error}") from None
        found = Match((*found.matchers, *part.matchers), part.min_severity or found.min_severity)
    if not found.matchers and found.min_severity is None:
        raise ValueError("say what should be silent: everything is silent only if you say so (type=*)")
    return found
