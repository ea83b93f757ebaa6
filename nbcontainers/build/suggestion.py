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
    """Return how many letters must be put in, left out, replaced or swapped with the next to make one word the other.

    Source: optimal string alignment, the restricted form of Damerau's and Levenshtein's distance.
    """
    earlier: list[int] = []
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        following = [number]
        for at, wanted in enumerate(other, 1):
            following.append(min(row[at] + 1, following[-1] + 1, row[at - 1] + (letter != wanted)))
            if number > 1 and at > 1 and (letter, one[number - 2]) == (other[at - 2], wanted):
                following[-1] = min(following[-1], earlier[at - 2] + 1)
        earlier, row = row, following
    return row[-1]
