"""Which line of a Dockerfile a step failed at: shown below its error, the mark under the word that the error names.

It goes with the error as a note, so that what an error says, and of which kind it is, stays Docker's.

Source: PEP 678, Enriching exceptions with notes.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nbcontainers.build.parser import Node
from nbcontainers.errors import DockerfileError


@contextmanager
def blaming(node: Node, file: str) -> Iterator[None]:
    """Show an instruction's line with whatever fails meanwhile, unless that has a place of its own.

    Args:
        node: The instruction.
        file: What the Dockerfile is called.
    """
    try:
        yield
    except DockerfileError:
        raise
    except Exception as error:
        place = node.error("", _named(str(error), node))
        place.file = file
        error.add_note(place.excerpt())
        raise


def _named(message: str, node: Node) -> str:
    """Return the longest of an instruction's words that an error names, or nothing."""
    words = [flag.partition("=")[2] for flag in node.flags] + list(node.arguments)
    named = [word for word in words if word and re.search(rf"(?<![\w./-]){re.escape(word)}(?![\w/-])", message)]
    return max(named, key=len, default="")
