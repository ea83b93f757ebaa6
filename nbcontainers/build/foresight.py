"""Stages that need not be built: what they would have is known, and perhaps nobody asks for their files.

A cache that others have made knows what each step has made, by its key. Where it knows that of all of a stage's steps,
the stage's files are known by their digests, and so is what is copied from it; not a layer of it is needed. With a
cache of ``mode=min`` there is none: the steps of other stages are only described.

Only keys are computed here, as ``stagebuild`` does it, and nothing is run or told. What turns out to be wrong is left
to the stage itself, which is built then.
"""

from collections.abc import Mapping

from nbcontainers import errors
from nbcontainers.build import cache, downloads, settings
from nbcontainers.build.buildstate import Build, Foreseen, first_draft
from nbcontainers.build.draft import Draft, Scope
from nbcontainers.build.graph import SCRATCH, Stage
from nbcontainers.build.instructions import Copy, Instruction, Run, Text
from nbcontainers.build.rules import Checks
from nbcontainers.build.runstep import RunStep, Tree
from nbcontainers.build.steps import CopyStep, Scratch, WorkdirStep


class _Unknown(Exception):
    """A step that nobody knows."""


async def foresee(build: Build, stage: Stage, before: Mapping[int, Foreseen]) -> Foreseen | None:
    """Return what a stage would have, None where that is not known.

    Args:
        build: What all stages share.
        stage: The stage.
        before: What was foreseen of earlier ones.
    """
    scratch = build.scratch()
    try:
        return await _Foresight(build, stage, before, scratch).look()
    except (_Unknown, errors.Error, OSError):
        return None
    finally:
        scratch.close()


class _Foresight:
    """A look at one stage."""

    def __init__(self, build: Build, stage: Stage, before: Mapping[int, Foreseen], scratch: Scratch) -> None:
        self._build = build
        self._stage = stage
        self._before = before
        self._scratch = scratch
        self._checks = Checks(settings=build.checks.settings)
        self._diff_ids: dict[str, str] = {}
        self._layers: list[str] = []
        self._draft = self._begin()

    def _begin(self) -> Draft:
        shared = self._build.scope
        if self._stage.parent is not None:
            above = self._earlier(self._stage.parent)
            self._diff_ids.update(above.diff_ids)
            self._layers += [above.diff_ids[key] for key, _ in above.draft.portable_steps if above.diff_ids[key]]
            return above.draft.derive()
        scope = Scope(shared.buildargs, shared.arguments, shared.escape, self._checks, shared.created, shared.root_key)
        draft = first_draft(self._build, self._stage, scope)
        if not draft.is_portable:
            raise _Unknown
        return draft

    def _earlier(self, number: int) -> Foreseen:
        if number not in self._before:
            raise _Unknown
        return self._before[number]

    async def look(self) -> Foreseen:
        """Go through all of its instructions."""
        for one in self._stage.triggers:
            await self._take(one)
        keys = [self._draft.key]
        for one in self._stage.body:
            await self._take(one)
            keys.append(self._draft.key)
        return Foreseen(
            draft=self._draft,
            keys=tuple(keys),
            diff_ids=self._diff_ids,
            content=cache.key(self._draft.base_id, *self._layers),
            warnings=tuple(self._checks.take()),
        )

    async def _take(self, one: Instruction) -> None:
        if isinstance(one, Run):
            key = await self._run(one)
            self._advance(key, self._known(key), one)
        elif isinstance(one, Copy):
            key = await self._copy(one)
            self._advance(key, self._known(key), one)
        elif isinstance(one, Text) and one.name == "WORKDIR":
            step = WorkdirStep(self._draft, one, self._build.images.snapshots)
            self._advance(step.key, self._known(step.key), one)
        else:
            settings.apply(self._draft, one, self._checks)
            self._advance(self._draft.settings_key(), "", one)

    def _advance(self, key: str, diff_id: str, one: Instruction) -> None:
        self._diff_ids[key] = diff_id
        self._layers += [diff_id] if diff_id else []
        self._draft.advance(key, "", str(one))

    def _known(self, key: str) -> str:
        """Return the digest of what a step has made, empty for nothing."""
        diff_id = self._build.diff_id_of(key)
        if diff_id is None:
            raise _Unknown
        return diff_id

    async def _run(self, one: Run) -> str:
        step = RunStep(self._draft, one, self._build.options, self._build.context, self._scratch)
        return await step.key({mount.from_: self._tree(mount.from_) for mount in step.mounts if mount.from_})

    def _tree(self, name: str) -> Tree:
        """Return what a mount shows, as far as a key has to know it."""
        source, nothing = self._stage.sources[name], self._build.images.snapshots.view(None)
        if source.stage is not None:
            return Tree(rootfs=nothing, key=self._earlier(source.stage).draft.key)
        if name == SCRATCH:
            return Tree(rootfs=nothing, key=SCRATCH)
        return Tree(rootfs=nothing, key=self._image(source.image))

    def _image(self, name: str) -> str:
        """Return an image's id, unless that says nothing of its files."""
        image = self._build.bases.get(name, self._stage.platform)
        if self._build.images.snapshots.view(image.snapshot)["host"] is not None:
            raise _Unknown
        return image.id

    async def _copy(self, one: Copy) -> str:
        step = CopyStep(self._draft, one, self._build.images.snapshots, self._scratch, self._checks)
        if one.from_:
            source = self._stage.sources[one.from_]
            content = self._image(source.image) if source.stage is None else self._earlier(source.stage).content
            return self._build.same_as(step.key_of_content(content))
        if any(downloads.is_url(source) for source in one.sources):
            return step.early_key
        with self._build.context.root() as root:
            return await step.prepare(root, keep_owners=False)
