"""The builder: reads a Dockerfile, lets its stages run side by side, and makes an image of the one that is wanted.

Whatever happens, a build that does not reach its end leaves no image, and keeps in the cache what it had finished.
"""

import contextlib
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.build import checking, graph, ignore, rules, stubs
from nbcontainers.build.bases import Bases, Pull
from nbcontainers.build.blame import blaming
from nbcontainers.build.buildstate import Build
from nbcontainers.build.cache import Cache
from nbcontainers.build.caches import Caches
from nbcontainers.build.draft import Scope
from nbcontainers.build.events import BuildEvent, BuildOptions, Warning, Workspace
from nbcontainers.build.execution import CHECK, EPOCH, Execution
from nbcontainers.build.exports import Exporter
from nbcontainers.build.graph import Graph, Wish
from nbcontainers.build.ignore import Matcher
from nbcontainers.build.imports import Importer, Imports
from nbcontainers.build.parser import parse
from nbcontainers.build.platforms import Platform
from nbcontainers.build.records import CACHE_MOUNT, REGULAR, Record, all_records
from nbcontainers.build.rules import Checks
from nbcontainers.build.running import Runner
from nbcontainers.build.steps import Context, Scratch
from nbcontainers.errors import DockerfileError, InvalidArgument, NotFound
from nbcontainers.images import Images, staging
from nbcontainers.images.config import timestamp
from nbcontainers.images.pulling import Pulls
from nbcontainers.images.pushing import Pushes
from nbcontainers.images.references import normalize
from nbcontainers.images.registry import Registries
from nbcontainers.linux.mounts import openat2
from nbcontainers.linux.spreading import spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """How a builder gets at registries.

    Args:
        pull: Gets an image that is not here.
        registries: All registries.
        pulls: Fetches layers.
        pushes: Sends layers.
    """

    pull: Pull
    registries: Registries
    pulls: Pulls
    pushes: Pushes


class Builder:
    """Builds images.

    Args:
        images: Where base images come from and results go.
        runner: Runs RUN.
        root: The builder's own directory.
        discard: Takes a directory away at once, and removes it some time.
        remote: How it gets at registries.
    """

    def __init__(
        self, images: Images, runner: Runner, root: Path, discard: Callable[[Path], None], remote: "Remote"
    ) -> None:
        self.images = images
        self._pull = remote.pull
        self._importer = Importer(images, remote.registries, remote.pulls)
        self._exporter = Exporter(images, remote.registries, remote.pushes)
        self.runner = runner
        self.cache = Cache(root / "cache.jsonl")
        self.caches = Caches(root / "caches")
        self._discard = discard
        self._scratch = root / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(mode=0o700)
        spread(self._scratch)
        self._stubs = root / "stubs"
        stubs.make_layer(self._stubs)

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Make a directory for a context, which is removed in the end, or when the next engine starts."""
        path = self._scratch / f"context-{os.urandom(8).hex()}"
        path.mkdir(mode=0o755)
        try:
            yield Workspace(path=path)
        finally:
            self._discard(path)

    async def build(self, context: Workspace, options: BuildOptions) -> AsyncGenerator[BuildEvent, None]:
        """Build an image.

        Args:
            context: What COPY and ADD see, with the Dockerfile in it.
            options: How.

        Yields:
            What happens, ``Built`` as the last but for what is told of an export.

        Raises:
            DockerfileError: The Dockerfile is wrong, at a line and column.
            BuildError: A step has failed.
            InvalidArgument: An option makes no sense.
        """
        for tag in options.tags:
            normalize(tag)
        try:
            found = Bases(self.images, options)
            plan, build = self._plan(context, options, found)
            while wanting := found.wanting(plan):
                for name, platform in wanting:
                    with blaming(plan.naming(name), options.dockerfile):
                        async for event in found.pull(name, platform, self._pull):
                            yield event
                plan, build = self._plan(context, options, found)  # with what those want to have run first
            warnings: list[str] = []
            build.imports = await self._importer.open(options.cache_from, options.logins, warnings.append)
            for text in warnings:
                yield Warning(text=text)
            build.allowed = self._allowed(options, build.imports)
            execution = Execution(plan, build, self._exporter)
            try:
                async for event in execution.run():
                    yield event
            finally:
                await execution.finish()
        except DockerfileError as error:
            error.file = options.dockerfile
            raise

    def _new_scratch(self) -> Scratch:
        return Scratch(self._scratch, self._discard)

    def _plan(self, context: Workspace, options: BuildOptions, found: Bases) -> tuple[Graph, Build]:
        """Read the Dockerfile, and sort its stages."""
        tree = parse(_read(context.path, options.dockerfile))
        buildargs = {name: value for name, value in options.buildargs.items() if value is not None}
        checked = buildargs.get(CHECK) or tree.directives.get("check", "").partition(" ")[0]
        checks = Checks(settings=rules.settings(checked))
        wish = Wish(
            buildargs=buildargs,
            target=options.target,
            platform=options.platform,
            triggers_of=lambda name, platform: _triggers_of(found, name, platform),
        )
        plan = graph.plan(tree, wish, checks)
        checking.check(plan, checks)
        epoch = _epoch(buildargs.get(EPOCH) or plan.arguments.get(EPOCH, ""))
        created = timestamp() if epoch is None else timestamp(epoch * 10**9)
        build = Build(
            images=self.images,
            bases=found,
            runner=self.runner,
            cache=self.cache,
            caches=self.caches,
            scratch=self._new_scratch,
            stubs=self._stubs,
            context=Context(context, _ignored(context.path, options.dockerfile)),
            options=options,
            # A layer whose files were not held to a time is another one.
            scope=Scope(
                buildargs, plan.arguments, tree.escape, checks, created, "" if epoch is None else f"{EPOCH}={epoch}"
            ),
            checks=checks,
            began=time.monotonic(),
            epoch_seconds=epoch,
            allowed=None,
            imports=Imports(self.images),
        )
        return plan, build

    def _allowed(self, options: BuildOptions, imports: Imports) -> frozenset[str] | None:
        """Return the steps that may be taken from the cache; images that are here limit them, other places add to it.

        Source: moby, image/cache/cache.go: the classic builder takes what made the images alone.
        """
        names = [spec.where for spec in options.cache_from if spec.kind == "image"]
        if not names:
            return None
        steps = set(imports.keys)
        for name in names:
            with contextlib.suppress(NotFound, InvalidArgument):
                steps |= self.cache.steps_of(self.images.get(name).id)
        return frozenset(steps)

    def sweep(self) -> None:
        """Remove layers that belong to no image, and are not what a build or a pull may go on with either."""
        self.images.sweep(kept={*self.cache.layers(), *staging.usable(self.images)})

    def records(self) -> list[Record]:
        """Return what the cache has on the disk, the oldest first."""
        return all_records(self.cache, self.caches, self.images)

    def prune(self, gone: list[Record]) -> int:
        """Forget some of what was made before, and remove what nobody else has; returns the bytes freed."""
        snapshots = self.images.snapshots
        sizes = {record.id: record.size_bytes for record in gone if record.kind == REGULAR}
        self.cache.forget(set(sizes))
        self.images.sweep(kept=self.cache.layers())
        freed = sum(self.caches.remove(record.id) for record in gone if record.kind == CACHE_MOUNT)
        return freed + sum(size for name, size in sizes.items() if not snapshots.has(name))


def _triggers_of(found: Bases, name: str, platform: Platform) -> list[str]:
    """Return what an image wants to have run first; one that is not there is an error later, where it is used."""
    try:
        return found.get(name, platform).config.config.on_build or []
    except (NotFound, InvalidArgument):
        return []


def _read(context: Path, path: str) -> str:
    """Read a file of the context.

    Raises:
        InvalidArgument: It is not there.
    """
    context_fd = os.open(context, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(openat2(context_fd, path, os.O_RDONLY), encoding="utf-8", errors="surrogateescape", newline="") as f:
            return f.read()
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InvalidArgument(f"Cannot locate specified Dockerfile: {path}: {reason}") from error
    finally:
        os.close(context_fd)


def _ignored(context: Path, dockerfile: str) -> Matcher:
    """Return what the context's ignore file says: the Dockerfile's own one, or the context's."""
    for path in (f"{dockerfile}.dockerignore", ".dockerignore"):
        with contextlib.suppress(InvalidArgument):
            text = _read(context, path)
            break
    else:
        return Matcher([])
    try:
        return Matcher(ignore.read(text))
    except InvalidArgument as error:
        raise InvalidArgument(f"error from {path}: {error}") from error


def _epoch(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidArgument(f"invalid {EPOCH} '{text}': seconds since 1970 are wanted")
    return int(text)
