"""One build as it runs: its stages side by side, told one after the other; then the image, and what others get of it.

Whatever happens, what has no name yet is let go in the end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from nbcontainers.build import cache
from nbcontainers.build.buildstate import Build, Foreseen
from nbcontainers.build.cache import Made
from nbcontainers.build.cachespecs import CacheSpec
from nbcontainers.build.draft import PROXY_ARGS, Draft
from nbcontainers.build.events import BuildError, BuildEvent, Built, Note, Step, StepDone, Warning
from nbcontainers.build.exports import Exporter
from nbcontainers.build.exports import Step as ExportedStep
from nbcontainers.build.foresight import foresee
from nbcontainers.build.graph import Graph
from nbcontainers.build.stagebuild import StageBuild
from nbcontainers.errors import NotFound
from nbcontainers.images.references import normalize

EPOCH = "SOURCE_DATE_EPOCH"
CHECK = "BUILDKIT_DOCKERFILE_CHECK"
"""The argument that says which build checks apply, in place of the Dockerfile's own ``check=``."""


class Execution:
    """Runs the stages of one build.

    Args:
        plan: The stages.
        build: What they share.
        exporter: Exports their steps.
    """

    def __init__(self, plan: Graph, build: Build, exporter: Exporter) -> None:
        self._plan = plan
        self._build = build
        self._exporter = exporter
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> AsyncIterator[BuildEvent]:
        """Run all stages side by side, and tell of one after the other."""
        plan, build = self._plan, self._build
        for event in self._preamble():
            yield event
        total = len(plan.preamble) + sum(1 + len(stage.body) for stage in plan.stages)
        number = len(plan.preamble) + 1
        for stage in plan.stages:
            build.stages[stage.number] = StageBuild(build, plan, stage, number, total)
            number += 1 + len(stage.body)
        await self._foresee()
        self._tasks = [asyncio.ensure_future(stage.run()) for stage in build.stages.values()]
        async for event in self._told():
            yield event
        self._remember()
        if build.checks.settings.is_error and build.checks.violated:
            raise BuildError(f"lint violation found for rules: {', '.join(sorted(build.checks.violated))}")
        yield await self._store(build.stages[plan.target].draft)
        for spec in build.options.cache_to:
            if spec.kind != "inline":  # an image's history has its steps anyway
                yield await self._export(spec)

    async def _foresee(self) -> None:
        """Find the stages that need not be built, where steps come, or came, from elsewhere.

        What is exported whole needs all of them, and so does who wants to know all that is wrong.
        """
        build = self._build
        whole = any(spec.everything for spec in build.options.cache_to)
        if not (build.imports.are_there or build.cache.describes) or build.options.nocache:
            return
        if whole or build.checks.settings.is_error:
            return
        found: dict[int, Foreseen] = {}
        for stage in self._plan.stages:
            if stage.number != self._plan.target and (foreseen := await foresee(build, stage, found)):
                found[stage.number] = build.stages[stage.number].foreseen = foreseen

    def _remember(self) -> None:
        """Have it known here as well what stages have that were not built."""
        known = self._build.cache
        for stage in self._build.stages.values():
            if not stage.is_wanted and (foreseen := stage.foreseen):
                for key, diff_id in foreseen.diff_ids.items():
                    if known.get(key) is None:
                        known.put(key, Made(snapshot="", diff_id=diff_id))

    async def _told(self) -> AsyncIterator[BuildEvent]:
        """Yield what stages tell, in their order; what was foreseen and has run all the same comes last."""
        stages = list(zip(self._build.stages.values(), self._tasks, strict=True))
        for stage, task in stages:
            if stage.foreseen is not None:
                for event in stage.foretold():
                    yield event
                continue
            async for event in self._events(stage):
                yield event
            await task
        for stage, task in stages:
            if stage.foreseen is not None and stage.is_wanted:
                told = [event async for event in self._events(stage)]
                await task
                for event in _what_has_run(told):
                    yield event

    async def _export(self, spec: CacheSpec) -> BuildEvent:
        build = self._build
        target = build.stages[self._plan.target]
        steps: dict[str, ExportedStep] = {}
        for stage in build.stages.values():
            given = spec.everything or stage is target
            for step in await self._exported(stage, given=given):
                if step.snapshot or step.key not in steps:
                    steps[step.key] = step
        same_as = {
            content_key: key
            for stage in build.stages.values()
            for step, content, key in stage.copies
            if (content_key := step.key_of_content(content())) and key in steps
        }
        try:
            if not any(step.snapshot or not step.diff_id for step in steps.values()) and not target.draft.is_portable:
                raise BuildError(f"nothing to export to {spec}: the image stands on this machine's own file system")
            given_steps = list(steps.values())
            return Note(text=await self._exporter.export(spec, given_steps, same_as, build.options.logins))
        except BuildError as error:
            if spec.may_fail:
                return Warning(text=str(error))
            raise

    async def _exported(self, stage: StageBuild, *, given: bool) -> list[ExportedStep]:
        """Return a stage's steps; their layers only where they are given away."""
        if not stage.is_wanted and (foreseen := stage.foreseen):
            return [ExportedStep(key=key, snapshot="", diff_id=one) for key, one in foreseen.diff_ids.items()]
        digests = self._build.digests
        return [
            ExportedStep(
                key=key, snapshot=snapshot if given else "", diff_id=await digests[snapshot] if snapshot else ""
            )
            for key, snapshot in stage.draft.portable_steps
        ]

    def _preamble(self) -> list[BuildEvent]:
        """Return what is to be said before the first stage."""
        events: list[BuildEvent] = list(self._build.checks.take())
        known = self._plan.declared | PROXY_ARGS | self._plan.arguments.keys() | {EPOCH, CHECK}
        events += [
            Warning(text=f"One or more build-args [{name}] were not consumed")
            for name in self._build.options.buildargs
            if name not in known
        ]
        total = len(self._plan.preamble) + sum(1 + len(stage.body) for stage in self._plan.stages)
        for n, one in enumerate(self._plan.preamble, 1):
            events.append(Step(n=n, total=total, text=str(one)))
            events.append(StepDone(n=n, result="", began_ms=0.0, ms=0.0))
        return events

    async def _events(self, stage: StageBuild) -> AsyncIterator[BuildEvent]:
        """Yield a stage's events; when another stage fails meanwhile, that one's, and then its error."""
        failed = asyncio.ensure_future(self._first_failure())
        try:
            while True:
                while not stage.events.empty() and not failed.done():
                    if (event := stage.events.get_nowait()) is None:
                        return
                    yield event
                coming = asyncio.ensure_future(stage.events.get())
                await asyncio.wait([coming, failed], return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    number = failed.result()
                    culprit = list(self._build.stages.values())[number]
                    while not culprit.events.empty():
                        if (event := culprit.events.get_nowait()) is not None:
                            yield event
                    await self._tasks[number]
                    return
                event = coming.result()
                if event is None:
                    return
                yield event
        finally:
            failed.cancel()

    async def _first_failure(self) -> int:
        """Return, when a stage has failed, its position; wait for ever while none has."""
        pending = set(self._tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is not None:
                    return self._tasks.index(task)
        await asyncio.Event().wait()
        raise AssertionError

    async def _store(self, draft: Draft) -> Built:
        """Store the wanted stage as an image, and give it its names."""
        build = self._build
        if build.options.labels:
            draft.defaults.labels = {**(draft.defaults.labels or {}), **build.options.labels}
        labels = repr(sorted(build.options.labels.items()))
        image_key = cache.key(draft.key, "image", draft.settings_key(), draft.config.author, labels)
        if known := self._known_image(image_key):
            return self._named(known)
        draft.config.rootfs.diff_ids = [
            *draft.config.rootfs.diff_ids,
            *[await build.digests[name] for name in draft.layers],
        ]
        draft.config.created = build.scope.created
        sizes = [build.images.snapshots.usage_bytes(name) for name in draft.layers]
        base_bytes = build.images.get(draft.base_id).size_bytes if draft.base_id else 0
        image = build.images.add(
            draft.config, parent=draft.base_id, snapshot=draft.snapshot, size_bytes=base_bytes + sum(sizes)
        )
        build.cache.put(image_key, Made(snapshot=image.id, diff_id="", steps=draft.steps))
        return self._named(image.id)

    def _known_image(self, image_key: str) -> str:
        """Return the image that the same steps have made before, if it is still there: its id stays the same."""
        made = None if self._build.options.nocache else self._build.cache.get(image_key)
        if made is None or self._build.allowed is not None:
            return ""
        try:
            return self._build.images.get(made.snapshot).id
        except NotFound:
            return ""

    def _named(self, image_id: str) -> Built:
        images = self._build.images
        has = images.get(image_id).repo_tags  # a name that it has already need not wait for the disk
        names = {tag: normalize(tag) for tag in self._build.options.tags}
        tags = tuple(full if full in has else images.tag(image_id, tag) for tag, full in names.items())
        return Built(image_id=image_id, tags=tags)

    async def finish(self) -> None:
        """End what still runs; finished steps are remembered, and layers are let go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*self._build.digests.values(), return_exceptions=True)
        for name in self._build.digests:
            self._build.images.unprotect(name)
        with contextlib.suppress(OSError):  # the disk is full, and it is but a count
            self._build.cache.keep_uses()


def _what_has_run(told: list[BuildEvent]) -> Iterator[BuildEvent]:
    """Yield what was told of steps that were not in the cache; the first one, FROM, is in none."""
    step: list[BuildEvent] = []
    is_first = True
    for event in told:
        step.append(event)
        if isinstance(event, StepDone):
            if not event.cached and not is_first:
                yield from step
            step, is_first = [], False
