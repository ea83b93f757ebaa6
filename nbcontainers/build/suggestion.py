"""What somebody meant who wrote a word that is not known."""

from collections.abc import Iterable

_FARTHEST = 2


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `` (did you mean X?)`` for the known word nearest to ``word``, or nothing when none is near.

    Args:
        word: What was written.
        known: What could have been; letters' case plays no part.
        prefix: Set before the word, such as ``--``.
    """
    distances = {one: _distance(word.lower(), one.lower()) for one in known}
    nearest = min(distances, key=distances.__getitem__, default="")
    is_near = 0 < distances.get(nearest, 0) <= _FARTHEST
    return f" (did you mean {prefix}{nearest}?)" if is_near else ""


def _distance(one: str, other: str) -> int:
    """Return how many letters must be put in, left out or replaced to come from one word to another (Levenshtein)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for at, wanted in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != wanted))
    return row[-1]
