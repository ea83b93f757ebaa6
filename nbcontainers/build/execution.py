"""One build as it runs: its stages side by side, told one after the other; then the image, and what others get of it.

Whatever happens, what has no name yet is let go in the end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nbcontainers.build import cache
from nbcontainers.build.cache import Made
from nbcontainers.build.cachespecs import CacheSpec
from nbcontainers.build.draft import PROXY_ARGS, Draft
from nbcontainers.build.events import BuildError, BuildEvent, Built, Note, Step, StepDone, Warning
from nbcontainers.build.exports import Exporter
from nbcontainers.build.exports import Step as ExportedStep
from nbcontainers.build.graph import Graph
from nbcontainers.build.stagebuild import Build, StageBuild
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
        self._tasks = [asyncio.ensure_future(stage.run()) for stage in build.stages.values()]
        for running, task in zip(list(build.stages.values()), self._tasks, strict=True):
            async for event in self._events(running):
                yield event
            await task
        if build.checks.settings.is_error and build.checks.violated:
            raise BuildError(f"lint violation found for rules: {', '.join(sorted(build.checks.violated))}")
        yield await self._store(build.stages[plan.target].draft)
        for spec in build.options.cache_to:
            if spec.kind != "inline":  # an image's history has its steps anyway
                yield await self._export(spec)

    async def _export(self, spec: CacheSpec) -> BuildEvent:
        build = self._build
        stages = list(build.stages.values()) if spec.everything else [build.stages[self._plan.target]]
        made = dict(step for stage in stages for step in stage.draft.portable_steps)
        steps = [
            ExportedStep(key=key, snapshot=snapshot, diff_id=await build.digests[snapshot] if snapshot else "")
            for key, snapshot in made.items()
        ]
        try:
            if not steps and not all(stage.draft.is_portable for stage in stages):
                raise BuildError(f"nothing to export to {spec}: the image stands on this machine's own file system")
            return Note(text=await self._exporter.export(spec, steps, build.options.logins))
        except BuildError as error:
            if spec.may_fail:
                return Warning(text=str(error))
            raise

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
