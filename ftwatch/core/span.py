"""How long is it? Spans of time, in seconds and in words."""

__all__ = ["DAY", "HOUR", "MINUTE", "span"]

MINUTE, HOUR, DAY = 60, 3600, 86400


def span(seconds: float) -> str:
    """A span as a person says it, in at most two units: `45s`, `12m`, `1h 5m`, `3d 4h`."""
    left = max(0, round(seconds))
    if left < MINUTE:
        return f"{left}s"
    words = []
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count and (unit != "s" or len(words) == 0 or words[0].endswith("m")):
            words.append(f"{count}{unit}")
    return " ".join(words[:2])
