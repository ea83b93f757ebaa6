"""What all stages of a build share, and what each begins with."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbcontainers.build import cache, platforms
from nbcontainers.build.bases import Bases
from nbcontainers.build.cache import Cache, Made
from nbcontainers.build.caches import Caches
from nbcontainers.build.draft import Draft, Scope
from nbcontainers.build.events import BuildOptions, Warning
from nbcontainers.build.graph import SCRATCH, Stage
from nbcontainers.build.imports import Imports
from nbcontainers.build.rules import Checks
from nbcontainers.build.running import Runner
from nbcontainers.build.steps import Context, Scratch
from nbcontainers.errors import InvalidArgument
from nbcontainers.images import HOST_SNAPSHOT, Images
from nbcontainers.images.config import ImageConfig

if TYPE_CHECKING:
    from nbcontainers.build.stagebuild import StageBuild


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What is known of a stage without its files.

    Args:
        draft: Its image, without layers.
        keys: The key after FROM, and after each of its own instructions.
        diff_ids: The digest of each step's layer, by the step's key, empty for none.
        content: What stands for exactly the files that it would have; see ``Build.content_of``.
        warnings: What is to be said of it.
    """

    draft: Draft
    keys: tuple[str, ...]
    diff_ids: Mapping[str, str]
    content: str
    warnings: tuple[Warning, ...]


@dataclass(slots=True, kw_only=True)
class Build:
    """What all stages of a build share.

    Args:
        images: Where results go.
        bases: Where base images come from.
        runner: Runs RUN.
        cache: What was made before.
        caches: The directories of cache mounts.
        scratch: Makes a place for what a step needs on its way.
        stubs: A layer of mount points.
        context: The folder that COPY and ADD see.
        options: What was asked for.
        scope: What all instructions see.
        checks: Takes warnings.
        began: When the build began, seconds of the monotonic clock.
        epoch_seconds: What no file may be younger than, None for no such limit.
        allowed: The only steps that may be taken from the cache, None for any.
        imports: What may be taken from elsewhere.
        digests: The digests of layers, as they are computed.
        stages: The stages, by number.
    """

    images: Images
    bases: Bases
    runner: Runner
    cache: Cache
    caches: Caches
    scratch: Callable[[], Scratch]
    stubs: Path
    context: Context
    options: BuildOptions
    scope: Scope
    checks: Checks
    began: float
    epoch_seconds: int | None
    allowed: frozenset[str] | None
    imports: Imports
    digests: dict[str, "asyncio.Future[str]"] = field(default_factory=dict)
    stages: dict[int, "StageBuild"] = field(default_factory=dict)

    def reuse(self, key: str) -> Made | None:
        """Return what a step of this key has made before, if it may be taken, and is still there."""
        if self.options.nocache or not key or (self.allowed is not None and key not in self.allowed):
            return None
        made = self.cache.get(key)
        if made is None or (made.snapshot and not self.images.snapshots.has(made.snapshot)):
            return None
        return made if made.snapshot or not made.diff_id else None

    def diff_id_of(self, key: str) -> str | None:
        """Return the digest of what a step has made, here or not, empty for nothing; None where it is not known."""
        made = self.cache.get(key)
        if made is not None and (made.diff_id or not made.snapshot) and (self.allowed is None or key in self.allowed):
            return made.diff_id
        return self.imports.diff_id_of(key)

    def same_as(self, key: str) -> str:
        """Return the key that one stands for, empty for none."""
        if not key or self.options.nocache:
            return ""
        made = self.cache.get(key)
        return made.same_as if made is not None else self.imports.same_as(key)

    def content_of(self, draft: Draft) -> str:
        """Return what stands for exactly the files that a stage has; empty as long as digests are being computed.

        A step's key does not, for a command may make something else each time that it is run.
        """
        if HOST_SNAPSHOT in self.images.snapshots.chain(draft.snapshot):
            return ""
        digests = [self.digests[name] for name in draft.layers]
        if not all(digest.done() and digest.exception() is None for digest in digests):
            return ""
        return cache.key(draft.base_id, *(digest.result() for digest in digests))


def first_draft(build: Build, stage: Stage, scope: Scope) -> Draft:
    """Return what a stage begins with that stands on an image, or on nothing.

    Raises:
        NotFound: The image is not here.
        DockerfileError: Its name cannot be one.
    """
    platform, start = stage.platform, stage.start
    if stage.base == SCRATCH:
        config = ImageConfig(architecture=platform.architecture, variant=platform.variant)
        base = SCRATCH if platform == platforms.this() else f"{SCRATCH}:{platform}"
        return Draft(scope, config, None, _first_key(scope, base), "")
    try:
        image = build.bases.get(stage.base, platform)
    except InvalidArgument as error:
        raise start.node.error(str(error), start.base) from error
    if image.config.architecture != platform.architecture:
        values = (stage.base, f"linux/{image.config.architecture}", f"linux/{platform.architecture}")
        scope.checks.warn("InvalidBaseImagePlatform", start.node, *values)
    draft = Draft(scope, image.config, image.snapshot, _first_key(scope, image.id), image.id)
    draft.defaults.on_build = None
    draft.is_portable = HOST_SNAPSHOT not in build.images.snapshots.chain(image.snapshot)
    return draft


def _first_key(scope: Scope, base: str) -> str:
    return cache.key(scope.root_key, base) if scope.root_key else base
