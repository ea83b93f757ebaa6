"""The image of a stage while it is made: its configuration so far, its layers, and the variables in scope.

Source: Dockerfile reference § Environment replacement, § ARG.
"""

import copy
import posixpath
from collections.abc import Mapping

from nbcontainers.build import cache
from nbcontainers.build.expansion import PLAIN, Expansion, ExpansionError, Style, process
from nbcontainers.build.instructions import Arg, Command, Text
from nbcontainers.build.parser import Node
from nbcontainers.build.rules import Checks
from nbcontainers.build.suggestion import did_you_mean
from nbcontainers.images import config as image_config
from nbcontainers.images.config import ContainerDefaults, HistoryEntry, ImageConfig
from nbcontainers.runtime.defaults import DEFAULT_PATH

DEFAULT_SHELL = ("/bin/sh", "-c")
PROXY_ARGS = frozenset(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)
"""Arguments that RUN sees without a declaration, and that the cache does not."""


class Scope:
    """What is the same in all stages: the user's arguments, the global ones, the escape character, the clock.

    Args:
        buildargs: What the user gave.
        arguments: The global scope.
        escape: The Dockerfile's escape character.
        checks: Takes warnings.
        created: What the image's history has for a time.
        root_key: The cache key before any step: of what changes the result of all of them.
    """

    def __init__(
        self,
        buildargs: Mapping[str, str],
        arguments: Mapping[str, str],
        escape: str,
        checks: Checks,
        created: str,
        root_key: str = "",
    ) -> None:
        self.buildargs = buildargs
        self.arguments = arguments
        self.escape = escape
        self.checks = checks
        self.created = created
        self.root_key = root_key


class Draft:
    """One stage's image.

    Args:
        scope: What all stages share.
        config: The base's configuration, copied.
        snapshot: The base's top layer.
        key: The cache key of what was made so far.
        base_id: The image that all this began with, or empty.

    Attributes:
        is_portable: Its steps mean the same on other machines; not so when they have seen this one's own files.
        portable_steps: Those that others may have, each with the layer that it made, or an empty name.
    """

    def __init__(self, scope: Scope, config: ImageConfig, snapshot: str | None, key: str, base_id: str) -> None:
        self._scope = scope
        self.config = copy.deepcopy(config)
        self.snapshot = snapshot
        self.key = key
        self.base_id = base_id
        self.layers: list[str] = []
        self.steps: list[str] = []
        self.is_portable = True
        self.portable_steps: list[tuple[str, str]] = []
        self.args: dict[str, str] = {}
        self._declared: set[str] = set()
        self.sets_cmd = False
        # An image that was imported says none. ENV PATH=$PATH:… is to extend what RUN has, so it has to have a value.
        if "PATH" not in self.env:
            self.defaults.env = [*(self.defaults.env or ()), f"PATH={DEFAULT_PATH}"]

    def derive(self) -> "Draft":
        """Return the beginning of a stage that builds on this one; ONBUILD is not passed on, arguments are."""
        derived = Draft(self._scope, self.config, self.snapshot, self.key, self.base_id)
        derived.layers, derived.steps = list(self.layers), list(self.steps)
        derived.is_portable, derived.portable_steps = self.is_portable, list(self.portable_steps)
        derived.args, derived._declared = dict(self.args), set(self._declared)
        derived.defaults.on_build = None
        return derived

    @property
    def root_key(self) -> str:
        """The key of a step that stands on nothing."""
        return self._scope.root_key

    @property
    def defaults(self) -> ContainerDefaults:
        """The defaults that the image will have."""
        return self.config.config

    @property
    def env(self) -> dict[str, str]:
        """ENV so far."""
        return dict(entry.partition("=")[::2] for entry in self.defaults.env or [])

    @property
    def variables(self) -> dict[str, str]:
        """What instructions may refer to: ARG so far, and ENV, which goes before."""
        return {**self.args, **self.env}

    @property
    def proxies(self) -> dict[str, str]:
        """The proxies that the user gave and that no ARG declares."""
        given = self._scope.buildargs
        return {name: given[name] for name in PROXY_ARGS & given.keys() if name not in self._declared}

    def _process(self, node: Node, text: str, style: Style) -> Expansion:
        variables = self.variables
        try:
            expansion = process(text, variables, self._scope.escape, style)
        except ExpansionError as error:
            raise node.error(f"failed to process {text!r}: {error}", "$" if "$" in text else text) from error
        for name in expansion.unset:
            if name not in self._declared and name not in self._scope.arguments:
                self._scope.checks.warn("UndefinedVar", node, name, did_you_mean(name, variables, "$"))
        return expansion

    def enter(self, one: Text) -> None:
        """Have WORKDIR's directory, which may be relative to the one before, be the one that commands run in.

        Raises:
            DockerfileError: A variable or quote is not written right.
        """
        joined = posixpath.join("/", self.defaults.working_dir, self.expand(one.node, one.text))
        self.defaults.working_dir = posixpath.normpath(f"/{joined.lstrip('/')}")

    def expand(self, node: Node, text: str, style: Style = PLAIN) -> str:
        """Replace the variables in a text.

        Raises:
            DockerfileError: A variable or quote is not written right.
        """
        return self._process(node, text, style).text

    def split(self, node: Node, text: str) -> list[str]:
        """Replace the variables in a text, and return the words that it falls into.

        Raises:
            DockerfileError: A variable or quote is not written right.
        """
        return self._process(node, text, PLAIN).words

    def command(self, instruction: Command) -> list[str]:
        """Return the command of RUN, CMD or ENTRYPOINT: as it is in exec form, by the shell otherwise."""
        if instruction.is_exec or not instruction.words:
            return list(instruction.words)
        return [*(self.defaults.shell or DEFAULT_SHELL), *instruction.words]

    def declare(self, instruction: Arg) -> None:
        """Bring ARG into scope, with the user's values, its defaults, or the global ones."""
        for written, default in instruction.values:
            name = self.expand(instruction.node, written)
            value = self._scope.buildargs.get(name)
            if value is None and default is not None:
                value = self.expand(instruction.node, default)
            if value is None:
                value = self._scope.arguments.get(name)
            self._declared.add(name)
            if value is not None:
                self.args[name] = value

    def settings_key(self) -> str:
        """Return the key of a step that has changed nothing but what the image says."""
        return cache.key(self.key, "settings", image_config.encode(ImageConfig(config=self.defaults)).decode())

    def advance(self, step_key: str, snapshot: str, text: str) -> None:
        """Put a layer on top; an empty name for a step that has made none."""
        self.key = step_key
        self.steps.append(step_key)
        if snapshot:
            self.snapshot = snapshot
            self.layers.append(snapshot)
        if self.is_portable:
            self.portable_steps.append((step_key, snapshot))
        entry = HistoryEntry(
            created=self._scope.created,
            created_by=text,
            empty_layer=not snapshot,
            step=step_key if self.is_portable else "",
        )
        self.config.history.append(entry)
