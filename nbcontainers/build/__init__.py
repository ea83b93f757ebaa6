"""The builder: from a Dockerfile and a folder to an image.

Four stages with plain data between them: ``lexer`` (text to logical lines), ``parser`` (lines to instructions with
their flags), ``stages`` (instructions to what each makes of an image), ``builder`` (runs it, with the cache). Every
error of the first two names line and column.

Reading order: ``lexer``, ``parser``, ``expansion``, ``events``, ``stages``, ``copying``, ``cache``, ``running``,
``builder``.

Example:
    >>> async for event in builder.build(Path("context"), BuildOptions(tags=("hello:1",))):
    ...     print(event)
"""

from nbcontainers.build import events
from nbcontainers.build.builder import Builder
from nbcontainers.build.events import BuildError, BuildEvent, BuildOptions

__all__ = ["BuildError", "BuildEvent", "BuildOptions", "Builder", "events"]
