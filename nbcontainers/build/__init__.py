r"""The builder: from a Dockerfile and a folder to an image.

Stages with plain data between them, as BuildKit has them:

    lexer         text → logical lines (``heredocs``, ``splitting``)
    parser        lines → nodes: keyword, flags, arguments
    instructions  nodes → typed instructions, checked (``flags``, ``runmounts``, ``durations``)
    graph         instructions → stages, and who needs whom (``platforms``); ``checking`` finds what is only unwise
    builder       has them run: ``bases`` what they stand on, ``execution`` a build (``buildstate``),
                  ``stagebuild`` one stage, ``steps``, ``runstep`` what makes layers, ``settings`` the rest
                  (``changes``: for images that are committed or imported)

Beside them: ``expansion`` (variables, quotes), ``ignore`` (patterns), ``rules`` (the build checks), ``draft``
(a stage's image so far), ``cache`` (what was made before; ``cachespecs``, ``catalog``, ``imports``, ``exports``,
``foresight``: what others have made, and may have), ``selection`` → ``layerwriter`` (COPY), ``archives``,
``downloads``, ``modes`` (ADD and its flags), ``caches``, ``stubs`` (mounts of RUN), ``running`` (its container) in
``places`` (its network). Every error in a Dockerfile names line and column, and what fails later (``blame``) as well.

Reading order: as above; then ``events``, what a build is asked and what it tells.

Example:
    >>> async for event in builder.build(Workspace(path=Path("/context")), BuildOptions(tags=("hello:1",))):
    ...     print(event)

Each part works without the rest:
    >>> parse("FROM busybox\nRUN echo $A").dump()
    '(from "busybox")\n(run "echo $A")'
    >>> expand("${A:-x}/${B%.*}", {"B": "b.tar"})
    'x/b'
    >>> Matcher(["*.log", "!keep.log"]).matches("a.log")
    True
"""

from nbcontainers.build import events
from nbcontainers.build.builder import Builder, Remote
from nbcontainers.build.events import BuildError, BuildEvent, BuildOptions, Workspace
from nbcontainers.build.expansion import expand
from nbcontainers.build.ignore import Matcher
from nbcontainers.build.parser import parse

__all__ = [
    "BuildError",
    "BuildEvent",
    "BuildOptions",
    "Builder",
    "Matcher",
    "Remote",
    "Workspace",
    "events",
    "expand",
    "parse",
]
