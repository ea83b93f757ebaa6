"""Changes of an image's defaults, given as Dockerfile instructions: ``--change`` of ``docker commit`` and ``import``.

Source: Docker CLI reference, "docker container commit" § --change; moby, builder/dockerfile, ``BuildFromConfig``.
"""

from collections.abc import Iterable

from nbcontainers.build import instructions, settings
from nbcontainers.build.draft import Draft, Scope
from nbcontainers.build.instructions import Text
from nbcontainers.build.parser import parse
from nbcontainers.build.rules import Checks
from nbcontainers.errors import DockerfileError
from nbcontainers.images.config import ContainerDefaults, ImageConfig
from nbcontainers.runtime.defaults import DEFAULT_PATH

_KNOWN = (
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


def apply_changes(defaults: ContainerDefaults, changes: Iterable[str]) -> ContainerDefaults:
    """Return defaults as Dockerfile instructions that only set such change them.

    Raises:
        DockerfileError: An instruction is another one, or makes no sense.
    """
    text = "\n".join(changes)
    if not text.strip():
        return defaults
    try:
        return _applied(defaults, text)
    except DockerfileError as error:
        error.file = "--change"
        raise


def _applied(defaults: ContainerDefaults, text: str) -> ContainerDefaults:
    tree = parse(text)
    checks = Checks()
    draft = Draft(Scope({}, {}, tree.escape, checks, ""), ImageConfig(config=defaults), None, "", "")
    for node in tree.nodes:
        if node.name not in _KNOWN:
            raise node.error(f"{node.keyword} is not a valid change command: one of {', '.join(_KNOWN)} is wanted")
        one = instructions.parse(node)
        if isinstance(one, Text) and one.name == "WORKDIR":
            draft.enter(one)
        else:
            settings.apply(draft, one, checks)
    changed = draft.defaults
    if not any(entry.startswith("PATH=") for entry in defaults.env or ()):
        # Instructions have seen the PATH that RUN has; only one that was set is kept.
        changed.env = [entry for entry in changed.env or () if entry != f"PATH={DEFAULT_PATH}"] or None
    return changed
