"""One stage in progress: takes its instructions one by one, and looks in the cache before it does anything.

A layer is the directory that a step has filled, renamed; its archive's digest, which the image's id depends on, is
computed in a thread while later steps run.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator

from nbcontainers.build import settings
from nbcontainers.build.blame import blaming
from nbcontainers.build.buildstate import Build, Foreseen, first_draft
from nbcontainers.build.cache import Made
from nbcontainers.build.draft import Draft
from nbcontainers.build.events import (
    BuildError,
    BuildEvent,
    CacheHit,
    Pulling,
    Running,
    Step,
    StepDone,
    Triggers,
    Warning,
)
from nbcontainers.build.graph import SCRATCH, Graph, Stage
from nbcontainers.build.instructions import Copy, Instruction, Run, Text
from nbcontainers.build.runstep import RunStep, Tree
from nbcontainers.build.selection import Root
from nbcontainers.build.steps import CopyStep, WorkdirStep, clamp_times, clear_stubs
from nbcontainers.build.stubs import ALWAYS
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.images import HOST_SNAPSHOT, layers
from nbcontainers.runtime.rootfs import open_rootfs


class StageBuild:
    """One stage.

    Args:
        build: What all stages share.
        graph: The whole.
        stage: This one.
        first: The number of its first step, from 1, of ``total``.
        total: How many steps there are.

    Attributes:
        events: What it tells, with None at the end.
        draft: Its image so far.
        foreseen: What is known of it without its files; then it is built only when somebody wants those.
        copies: What it has copied from others: the step, what stands for exactly what it could copy, the step's key.
    """

    def __init__(self, build: Build, graph: Graph, stage: Stage, first: int, total: int) -> None:
        self._build = build
        self._graph = graph
        self._stage = stage
        self._number = first
        self._total = total
        self.events: asyncio.Queue[BuildEvent | None] = asyncio.Queue()
        self.draft: Draft
        self.foreseen: Foreseen | None = None
        self.copies: list[tuple[CopyStep, Callable[[], str], str]] = []
        self._wanted = asyncio.Event()
        self._done = asyncio.Event()
        self._snapshots = build.images.snapshots
        self._places = build.runner.places()
        self._cached = True
        self._container = ""

    @property
    def is_wanted(self) -> bool:
        """Whether somebody wants its files, or it was not foreseen."""
        return self.foreseen is None or self._wanted.is_set()

    async def ready(self) -> Draft:
        """Wait for it, and return its image; one that was only foreseen is built now."""
        self._wanted.set()
        await self._done.wait()
        return self.draft

    def foretold(self) -> Iterator[BuildEvent]:
        """Yield what is told of a stage that was foreseen, as if all of it were there."""
        assert self.foreseen is not None
        yield from self.foreseen.warnings
        now_ms = (time.monotonic() - self._build.began) * 1000
        instructions = [self._stage.start, *self._stage.body]
        for n, (one, key) in enumerate(zip(instructions, self.foreseen.keys, strict=True), self._number):
            yield Step(n=n, total=self._total, text=str(one), stage=self._stage.name)
            if one is not self._stage.start:
                yield CacheHit()
            result = key.removeprefix("sha256:")[:12]
            yield StepDone(n=n, result=result, cached=one is not self._stage.start, began_ms=now_ms, ms=0.0)

    async def run(self) -> None:
        """Build it, when it is wanted, and tell so in ``events``."""
        try:
            if self.foreseen is not None:
                await self._wanted.wait()
            await self._step(self._stage.start, self._begin)
            for instruction in self._stage.body:
                await self._step(instruction, lambda one=instruction: self._take(one))  # type: ignore[misc]
            self._done.set()
        finally:
            self._places.leave()
            self.events.put_nowait(None)

    async def _step(self, instruction: Instruction, act: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        self._cached, self._container = False, ""
        step = Step(n=self._number, total=self._total, text=str(instruction), stage=self._stage.name)
        self.events.put_nowait(step)
        try:
            with blaming(instruction.node, self._build.options.dockerfile):
                await act()
        finally:
            for warning in self._build.checks.take():
                self.events.put_nowait(warning)
        self.events.put_nowait(
            StepDone(
                n=self._number,
                result=self.draft.key.removeprefix("sha256:")[:12],
                container=self._container,
                cached=self._cached,
                began_ms=(began - self._build.began) * 1000,
                ms=(time.monotonic() - began) * 1000,
            )
        )
        self._number += 1

    async def _begin(self) -> None:
        """Start from the base, with what it wants to have run."""
        if self._stage.parent is not None:
            self.draft = (await self._build.stages[self._stage.parent].ready()).derive()
        else:
            self.draft = first_draft(self._build, self._stage, self._build.scope)
        if self._stage.triggers:
            self.events.put_nowait(Triggers(count=len(self._stage.triggers)))
        for trigger in self._stage.triggers:
            await self._take(trigger)

    async def _take(self, one: Instruction) -> None:
        """Take one instruction."""
        if isinstance(one, Run):
            await self._run(one)
        elif isinstance(one, Copy):
            await self._copy(one)
        elif isinstance(one, Text) and one.name == "WORKDIR":
            await self._workdir(one)
        else:
            settings.apply(self.draft, one, self._build.checks)
            key = self.draft.settings_key()
            if not await self._reuse(key, one):
                self._build.cache.put(key, Made(snapshot="", diff_id=""))
                self.draft.advance(key, "", str(one))

    async def _reuse(self, key: str, one: Instruction) -> bool:
        """Take a step's result from the cache, if it is there, or from elsewhere."""
        made = self._found(key) or await self._imported(key, one)
        if made is None:
            return False
        if made.snapshot and made.snapshot not in self._build.digests:
            self._build.images.protect(made.snapshot)
            digest = _known(made.diff_id) if made.diff_id else asyncio.ensure_future(self._digest(key, made))
            self._build.digests[made.snapshot] = digest
        if made.snapshot:
            self._build.cache.use(key)
        self._cached = True
        self.events.put_nowait(CacheHit())
        self.draft.advance(key, made.snapshot, str(one))
        return True

    def _found(self, key: str) -> Made | None:
        made = self._build.reuse(key)
        if made is not None and made.snapshot and self._snapshots.below(made.snapshot) != self.draft.snapshot:
            return None
        return made

    async def _imported(self, key: str, one: Instruction) -> Made | None:
        """Have what a step has made elsewhere; from now on it is in the cache here, too."""
        build = self._build
        if not key or build.options.nocache or not self.draft.is_portable or not build.imports.know(key):
            return None
        async with build.imports.lock(key):
            if found := self._found(key):  # another stage was faster
                return found
            made = await build.imports.take(
                key,
                self.draft.snapshot,
                lambda state: self.events.put_nowait(Pulling(event=state)),
                lambda text: self.events.put_nowait(Warning(text=text)),
            )
            if made is None:
                return None
            made.said = str(one) if made.snapshot else ""
            build.cache.put(key, made)
            if made.snapshot in build.digests:
                build.images.unprotect(made.snapshot)  # once is enough
            elif made.snapshot:
                build.digests[made.snapshot] = _known(made.diff_id)
            return made

    async def _run(self, one: Run) -> None:
        scratch = self._build.scratch()
        step = RunStep(self.draft, one, self._build.options, self._build.context, scratch)
        trees = {mount.from_: await self._tree(one, mount.from_) for mount in step.mounts if mount.from_}
        if any(not tree.is_portable for tree in trees.values()):
            self.draft.is_portable = False
        key = await step.key(trees)
        if await self._reuse(key, one):
            return
        snapshot_key = os.urandom(32).hex()
        self._container = snapshot_key[:12]
        self.events.put_nowait(Running(container=self._container))
        async with contextlib.AsyncExitStack() as held:
            held.callback(scratch.close)
            command = await step.command(trees, self._build.caches, held)
            rootfs = self._snapshots.prepare(snapshot_key, self.draft.snapshot, volatile=True)
            held.callback(self._snapshots.remove, snapshot_key)
            if rootfs["host"] is None:
                rootfs["lower"] = [*rootfs["lower"], str(self._build.stubs)]
            async for output in self._build.runner.run(snapshot_key, rootfs, command, self._places):
                self.events.put_nowait(output)
            destinations = [*ALWAYS, *(mount["destination"] for mount in command.mounts)]
            upper = self._snapshots.upper(snapshot_key)
            clear_stubs(self._snapshots, upper, self.draft.snapshot, destinations, scratch)
            self._commit(key, snapshot_key, one)

    async def _tree(self, one: Instruction, name: str) -> Tree:
        """Return what an instruction means by a name, when it is there."""
        source = self._stage.sources[name]
        if source.stage is not None:
            draft = await self._build.stages[source.stage].ready()
            rootfs = self._snapshots.view(draft.snapshot)
            return Tree(rootfs=rootfs, key=draft.key, is_portable=draft.is_portable)
        if name == SCRATCH:
            return Tree(rootfs=self._snapshots.view(None), key=SCRATCH)
        try:
            image = self._build.bases.get(source.image, self._stage.platform)
        except NotFound as error:
            raise NotFound(f"invalid from flag value {name}: {error}") from error
        except InvalidArgument as error:
            raise one.node.error(f"invalid from flag value {name}: {error}", name) from error
        rootfs = self._snapshots.view(image.snapshot)
        return Tree(rootfs=rootfs, key=image.id, is_portable=rootfs["host"] is None)

    async def _content(self, name: str) -> Callable[[], str]:
        """Return what says for exactly which files a name stands, now or when it is known."""
        source = self._stage.sources[name]
        if source.stage is None:
            with contextlib.suppress(NotFound, InvalidArgument):  # it will be said when they are wanted
                image = self._build.bases.get(source.image, self._stage.platform)
                is_portable = HOST_SNAPSHOT not in self._snapshots.chain(image.snapshot)
                return lambda: image.id if is_portable else ""
            return lambda: ""
        stage = self._build.stages[source.stage]
        if not stage.is_wanted and (foreseen := stage.foreseen):
            return lambda: foreseen.content
        draft = await stage.ready()
        return lambda: self._build.content_of(draft)

    async def _copy(self, one: Copy) -> None:
        scratch = self._build.scratch()
        try:
            step = CopyStep(self.draft, one, self._snapshots, scratch, self._build.checks)
            if await self._reuse(step.early_key, one):
                return
            if one.from_:
                content = await self._content(one.from_)
                same = self._build.same_as(step.key_of_content(content()))
                if await self._reuse(same, one):
                    self._note_copy(step, content, same)
                    return
                root = Root(open_rootfs((await self._tree(one, one.from_)).rootfs))
            else:
                step.warn_of_ignored(self._build.context.ignored)
                root = self._build.context.root()
            with root:
                key = await step.prepare(root, keep_owners=bool(one.from_))
                if one.from_:
                    self._note_copy(step, await self._content(one.from_), key)
                if await self._reuse(key, one):
                    return
                with self._new_snapshot() as snapshot_key:
                    upper = self._snapshots.upper(snapshot_key)
                    try:
                        await asyncio.to_thread(step.write, upper)
                    except OSError as error:
                        raise BuildError(f"{one.name} failed: {error}") from error
                    self._commit(key, snapshot_key, one)
        finally:
            scratch.close()

    def _note_copy(self, step: CopyStep, content: Callable[[], str], key: str) -> None:
        """Remember from what exactly a step copies, so that it is found again without looking there."""
        self.copies.append((step, content, key))
        content_key, known = step.key_of_content(content()), self._build.cache.get
        if content_key and ((made := known(content_key)) is None or made.same_as != key):
            self._build.cache.put(content_key, Made(snapshot="", diff_id="", same_as=key))

    @contextlib.contextmanager
    def _new_snapshot(self) -> Iterator[str]:
        """Have an empty snapshot over the stage's, until it is committed or the context ends; yields its key."""
        key = os.urandom(32).hex()
        self._snapshots.prepare(key, self.draft.snapshot)
        try:
            yield key
        finally:
            self._snapshots.remove(key)

    async def _workdir(self, one: Text) -> None:
        step = WorkdirStep(self.draft, one, self._snapshots)
        if await self._reuse(step.key, one):
            return
        with self._new_snapshot() as snapshot_key:
            if step.write(self._snapshots.upper(snapshot_key)):
                self._commit(step.key, snapshot_key, one)
            else:
                self._build.cache.put(step.key, Made(snapshot="", diff_id=""))
                self.draft.advance(step.key, "", str(one))

    def _commit(self, key: str, snapshot_key: str, one: Instruction) -> None:
        """Turn what a step has written into a layer; its digest is computed while the build goes on."""
        if self._build.epoch_seconds is not None:
            clamp_times(self._snapshots.upper(snapshot_key), self._build.epoch_seconds)
        name = os.urandom(16).hex()
        self._build.images.protect(name)
        self._snapshots.commit(name, snapshot_key)
        made = Made(snapshot=name, diff_id="", said=str(one))
        self._build.cache.put(key, made)
        self._build.digests[name] = asyncio.ensure_future(self._digest(key, made))
        self.draft.advance(key, name, str(one))

    async def _digest(self, key: str, made: Made) -> str:
        diff_id = await asyncio.to_thread(layers.diff_id, self._snapshots.files(made.snapshot))
        made.diff_id = diff_id
        self._build.cache.put(key, made)
        return diff_id


def _known(diff_id: str) -> "asyncio.Future[str]":
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result(diff_id)
    return future
