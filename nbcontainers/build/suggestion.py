"""What somebody meant who wrote a word that is not known."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `` (did you mean X?)`` for the known word nearest to ``word``, or nothing when none is near.

    Args:
        word: What was written.
        known: What could have been; letters' case plays no part.
        prefix: Set before the word, such as ``--``.
    """
    by_fold = {one.lower(): one for one in known}
    near = difflib.get_close_matches(word.lower(), by_fold, n=1, cutoff=0.6)
    return f" (did you mean {prefix}{by_fold[near[0]]}?)" if near and near[0] != word.lower() else ""
