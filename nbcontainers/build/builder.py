"""The builder: takes a Dockerfile's instructions one by one, and looks in the cache before it runs any.

A layer is the upper directory of the container that made it, renamed; its archive's digest, which the image's id
depends on, is computed in a thread while later steps run. Whatever happens, a build that does not reach its end
leaves no image, and keeps in the cache what it had finished.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from nbcontainers.build import cache, copying
from nbcontainers.build.cache import Cache, Made
from nbcontainers.build.copying import CopyTask
from nbcontainers.build.events import (
    BuildError,
    BuildEvent,
    BuildOptions,
    Built,
    CacheHit,
    Step,
    StepDone,
    Warning,
)
from nbcontainers.build.expansion import ExpansionError, expand
from nbcontainers.build.lexer import LogicalLine
from nbcontainers.build.parser import Dockerfile, Instruction, parse, parse_line
from nbcontainers.build.running import Command, Runner
from nbcontainers.build.stages import PREDEFINED_ARGS, SETTERS, Stage
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.images import Images, layers
from nbcontainers.images.config import ImageConfig
from nbcontainers.images.config import architecture as this_architecture
from nbcontainers.images.references import normalize
from nbcontainers.images.store import timestamp
from nbcontainers.linux.mounts import openat2
from nbcontainers.runtime import users
from nbcontainers.runtime.rootfs import open_rootfs

SCRATCH = "scratch"


class Builder:
    """Builds images.

    Args:
        images: Where base images come from and results go.
        runner: Runs RUN.
        root: The builder's own directory.
    """

    def __init__(self, images: Images, runner: Runner, root: Path) -> None:
        self.images = images
        self.runner = runner
        self.cache = Cache(root / "cache.jsonl")

    async def build(self, context: Path, options: BuildOptions) -> AsyncGenerator[BuildEvent, None]:
        """Build an image.

        Args:
            context: The folder that COPY and ADD see, with the Dockerfile in it.
            options: How.

        Yields:
            What happens, ``Built`` as the last.

        Raises:
            DockerfileError: The Dockerfile is wrong, at a line and column.
            BuildError: A step has failed.
            InvalidArgument: An option makes no sense.
        """
        for tag in options.tags:
            normalize(tag)
        context_fd = os.open(context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            dockerfile = parse(_read_dockerfile(context_fd, options.dockerfile))
            build = _Build(self, dockerfile, context_fd, options)
            try:
                async for event in build.run():
                    yield event
            finally:
                await build.finish()
        finally:
            os.close(context_fd)


def _read_dockerfile(context_fd: int, path: str) -> str:
    try:
        with open(openat2(context_fd, path, os.O_RDONLY), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise InvalidArgument(f"cannot locate specified Dockerfile: {path}: {os.strerror(error.errno or 0)}") from error


class _Build:
    """One build in progress."""

    def __init__(self, builder: Builder, dockerfile: Dockerfile, context_fd: int, options: BuildOptions) -> None:
        self._builder = builder
        self._images = builder.images
        self._snapshots = builder.images.snapshots
        self._context_fd = context_fd
        self._options = options
        self._escape = dockerfile.escape
        self._instructions = dockerfile.instructions
        self._global_args: dict[str, str] = {}
        self._stages: list[Stage] = []
        self._digests: dict[str, asyncio.Task[str]] = {}
        self._prefix = f"build-{os.urandom(8).hex()}"
        self._count = 0

    async def run(self) -> AsyncIterator[BuildEvent]:
        """Take the instructions one by one."""
        instructions = self._wanted()
        for name in self._options.buildargs:
            if name not in PREDEFINED_ARGS and not self._declares(name):
                yield Warning(text=f"One or more build-args [{name}] were not consumed")
        position = 0
        while position < len(instructions):
            instruction = instructions[position]
            began = time.monotonic()
            yield Step(n=position + 1, total=len(instructions), text=str(instruction))
            triggers = []
            if instruction.keyword == "FROM":
                triggers = self._begin_stage(instruction)
            else:
                async for event in self._step(instruction):
                    yield event
            instructions[position + 1 : position + 1] = triggers
            position += 1
            yield StepDone(ms=(time.monotonic() - began) * 1000)
        yield await self._store()

    def _wanted(self) -> list[Instruction]:
        """Return the instructions up to the end of the target stage.

        Raises:
            InvalidArgument: There is no such stage.
        """
        target = self._options.target
        if not target:
            return list(self._instructions)
        stage, wanted, found = -1, [], False
        for instruction in self._instructions:
            if instruction.keyword == "FROM":
                if found:
                    break
                stage += 1
                found = target.lower() == _stage_name(instruction).lower() or target == str(stage)
            wanted.append(instruction)
        if not found:
            raise InvalidArgument(f"target stage '{target}' could not be found")
        return wanted

    def _declares(self, name: str) -> bool:
        return any(
            one.keyword == "ARG" and any(word.partition("=")[0] == name for word in one.text.split())
            for one in self._instructions
        )

    def _begin_stage(self, instruction: Instruction) -> list[Instruction]:
        """Start from a base image; returns the instructions that it wants to have run.

        Raises:
            DockerfileError: The base is not there.
        """
        try:
            words = [expand(word, self._global_args, self._escape) for word in instruction.text.split()]
        except ExpansionError as error:
            raise instruction.error(str(error), "$") from error
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise instruction.error("FROM requires either one or three arguments", instruction.text)
        if instruction.flags.get("platform", "linux").partition("/")[0] != "linux":
            raise instruction.error(f"this engine runs linux only, not '{instruction.flags['platform']}'", "--platform")
        base = self._base(instruction, words[0])
        base.name = words[2] if len(words) == 3 else ""
        self._stages.append(base)
        triggers, base.defaults.on_build = base.defaults.on_build or [], None
        place = instruction.place
        return [parse_line(LogicalLine(text=text, line=place.line, source=place.source)) for text in triggers]

    def _base(self, instruction: Instruction, name: str) -> Stage:
        for stage in self._stages:
            if stage.name and stage.name.lower() == name.lower():
                derived = self._new_stage(stage.config, stage.snapshot, stage.key, stage.base_id)
                derived.layers = list(stage.layers)
                return derived
        if name == SCRATCH:
            return self._new_stage(ImageConfig(architecture=this_architecture()), None, SCRATCH, "")
        try:
            image = self._images.get(name)
        except NotFound as error:
            raise instruction.error(str(error), name) from error
        except InvalidArgument as error:
            raise instruction.error(str(error), instruction.text.split()[0]) from error
        return self._new_stage(image.config, image.snapshot, image.id, image.id)

    def _new_stage(self, config: ImageConfig, snapshot: str | None, key: str, base_id: str) -> Stage:
        return Stage(
            name="",
            base_id=base_id,
            config=config,
            snapshot=snapshot,
            key=key,
            buildargs=self._options.buildargs,
            escape=self._escape,
        )

    async def _step(self, instruction: Instruction) -> AsyncIterator[BuildEvent]:
        """Take one instruction other than FROM."""
        if not self._stages:
            self._declare_global(instruction)
            return
        stage = self._stages[-1]
        if instruction.keyword == "RUN":
            async for event in self._run(stage, instruction):
                yield event
        elif instruction.keyword in ("COPY", "ADD"):
            async for event in self._copy(stage, instruction):
                yield event
        elif instruction.keyword == "ARG":
            self._take_arg(stage, instruction)
            stage.record(str(instruction), empty_layer=True)
        else:
            SETTERS[instruction.keyword](stage, instruction)
            stage.key = cache.key(stage.key, str(instruction), repr(sorted(stage.variables.items())))
            stage.record(str(instruction), empty_layer=True)

    def _declare_global(self, instruction: Instruction) -> None:
        """Take an ARG before the first FROM: FROM lines may use it, stages that declare it again have its value."""
        for word in instruction.text.split():
            name, _, value = word.partition("=")
            try:
                default = expand(value, self._global_args, self._escape).strip("\"'")
            except ExpansionError as error:
                raise instruction.error(str(error), "$") from error
            self._global_args[name] = self._options.buildargs.get(name, default)

    def _take_arg(self, stage: Stage, instruction: Instruction) -> None:
        for word in instruction.text.split():
            if "=" not in word and word in self._global_args:
                stage.declare_arg(word, self._global_args[word])
        named = [word for word in instruction.text.split() if "=" not in word and word in self._global_args]
        if len(named) != len(instruction.text.split()):
            SETTERS["ARG"](stage, instruction)

    async def _run(self, stage: Stage, instruction: Instruction) -> AsyncIterator[BuildEvent]:
        args = {
            **{name: value for name, value in self._options.buildargs.items() if name in PREDEFINED_ARGS},
            **stage.args,
        }
        network = instruction.flags.get("network", self._options.network_mode)
        words = stage.command(instruction)
        environment = {**args, **stage.env}
        defaults = stage.defaults
        parts = ("RUN", repr(words), repr(sorted(environment.items())), defaults.user, defaults.working_dir, network)
        step_key = cache.key(stage.key, *parts)
        if self._reuse(stage, step_key, str(instruction)):
            yield CacheHit()
            return
        command = Command(
            args=words,
            env=environment,
            cwd=defaults.working_dir,
            user=defaults.user,
            network=network,
            memory_bytes=self._options.memory_bytes,
        )
        key = self._new_key()
        rootfs = self._snapshots.prepare(key, stage.snapshot, volatile=True)
        try:
            async for output in self._builder.runner.run(key, rootfs, command):
                yield output
            await self._commit(stage, step_key, key, str(instruction))
        finally:
            self._snapshots.remove(key)

    def _new_key(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"

    async def _copy(self, stage: Stage, instruction: Instruction) -> AsyncIterator[BuildEvent]:
        words = stage.words(instruction)
        if len(words) < 2:
            raise instruction.error(f"{instruction.keyword} requires at least two arguments, but only one was provided")
        if instruction.keyword == "ADD" and any("://" in word for word in words[:-1]):
            raise instruction.error("ADD of a url is not supported yet: fetch it in RUN", "://")
        source_fd = self._source(stage, instruction)
        try:
            task = self._copy_task(stage, instruction, words, source_fd)
            paths = await asyncio.to_thread(copying.matches, task)
            digest = await asyncio.to_thread(copying.digest, task, paths)
            owner = f"{task.uid}:{task.gid}:{task.mode}"
            step_key = cache.key(stage.key, instruction.keyword, task.destination, owner, digest)
            if self._reuse(stage, step_key, str(instruction)):
                yield CacheHit()
                return
            key = self._new_key()
            rootfs = self._snapshots.prepare(key, stage.snapshot, volatile=True)
            try:
                root_fd = open_rootfs(rootfs)
                try:
                    await asyncio.to_thread(copying.copy, task, paths, root_fd)
                except OSError as error:
                    raise BuildError(f"{instruction.keyword} failed: {error}") from error
                finally:
                    os.close(root_fd)
                await self._commit(stage, step_key, key, str(instruction))
            finally:
                self._snapshots.remove(key)
        finally:
            if source_fd != self._context_fd:
                os.close(source_fd)

    def _source(self, stage: Stage, instruction: Instruction) -> int:
        """Return the directory that files come from: the context, another stage, or an image."""
        name = stage.expand(instruction, instruction.flags.get("from", ""))
        if not name:
            return self._context_fd
        for number, other in enumerate(self._stages[:-1]):
            if name in (other.name, str(number)):
                return open_rootfs(self._snapshots.view(other.snapshot))
        try:
            return open_rootfs(self._snapshots.view(self._images.get(name).snapshot))
        except (NotFound, InvalidArgument) as error:
            raise instruction.error(f"invalid from flag value {name}: {error}", "--from") from error

    def _copy_task(self, stage: Stage, instruction: Instruction, words: list[str], source_fd: int) -> CopyTask:
        destination = words[-1]
        if not destination.startswith("/"):
            destination = f"{(stage.defaults.working_dir or '/').rstrip('/')}/{destination}"
        if words[-1] in (".", "./") or words[-1].endswith("/."):
            destination = destination.rstrip(".").rstrip("/") + "/"
        uid: int | None = 0 if source_fd == self._context_fd else None
        gid, mode = uid, None
        if owner := stage.expand(instruction, instruction.flags.get("chown", "")):
            uid, gid = self._owner(stage, instruction, owner)
        if permissions := stage.expand(instruction, instruction.flags.get("chmod", "")):
            try:
                mode = int(permissions, 8)
            except ValueError:
                raise instruction.error(
                    f"invalid chmod '{permissions}': an octal number is wanted", "--chmod"
                ) from None
        return CopyTask(
            source_fd=source_fd,
            sources=words[:-1],
            destination=destination,
            uid=uid,
            gid=gid,
            mode=mode,
            extract=instruction.keyword == "ADD",
        )

    def _owner(self, stage: Stage, instruction: Instruction, owner: str) -> tuple[int, int]:
        """Look an owner up in the image's own user database; a number alone stands for both."""
        root_fd = open_rootfs(self._snapshots.view(stage.snapshot))
        try:
            identity = users.look_up(owner, [], read=lambda path: _read_inside(root_fd, path))
        except InvalidArgument as error:
            raise instruction.error(str(error), "--chown") from error
        finally:
            os.close(root_fd)
        bare_number = owner.isdigit()
        return identity.uid, identity.uid if bare_number and identity.gid == 0 else identity.gid

    def _reuse(self, stage: Stage, step_key: str, text: str) -> bool:
        """Take a step's result from the cache, if it is there and its layer still is."""
        made = None if self._options.nocache else self._builder.cache.get(step_key)
        if made is None or not self._snapshots.has(made.snapshot):
            return False
        if self._snapshots.chain(made.snapshot)[1:] != self._snapshots.chain(stage.snapshot):
            return False
        self._images.protect(made.snapshot)
        self._advance(stage, step_key, made.snapshot, text)
        self._digests[made.snapshot] = asyncio.ensure_future(_known(made.diff_id))
        return True

    async def _commit(self, stage: Stage, step_key: str, key: str, text: str) -> None:
        """Turn what a step has written into a layer; its digest is computed while the build goes on."""
        name = os.urandom(16).hex()
        self._images.protect(name)
        self._snapshots.commit(name, key)
        self._advance(stage, step_key, name, text)
        self._digests[name] = asyncio.ensure_future(self._digest(step_key, name))

    async def _digest(self, step_key: str, name: str) -> str:
        diff_id = await asyncio.to_thread(layers.diff_id, self._snapshots.files(name))
        self._builder.cache.put(step_key, Made(snapshot=name, diff_id=diff_id))
        return diff_id

    def _advance(self, stage: Stage, step_key: str, snapshot: str, text: str) -> None:
        stage.key = step_key
        stage.snapshot = snapshot
        stage.layers.append(snapshot)
        stage.record(text, empty_layer=False)

    async def _store(self) -> Built:
        """Store the last stage as an image, and give it its names."""
        stage = self._stages[-1]
        if self._options.labels:
            stage.defaults.labels = {**(stage.defaults.labels or {}), **self._options.labels}
        image_key = cache.key(stage.key, "image", repr(sorted(self._options.labels.items())))
        if known := self._known_image(image_key):
            return self._name(known)
        stage.config.rootfs.diff_ids = [
            *stage.config.rootfs.diff_ids,
            *[await self._digests[name] for name in stage.layers],
        ]
        stage.config.created = timestamp()
        size = sum(self._snapshots.usage_bytes(name) for name in stage.layers)
        if stage.base_id:
            size += self._images.get(stage.base_id).size_bytes
        image = self._images.add(stage.config, parent=stage.base_id, snapshot=stage.snapshot, size_bytes=size)
        self._builder.cache.put(image_key, Made(snapshot=image.id, diff_id=""))
        return self._name(image.id)

    def _known_image(self, image_key: str) -> str:
        """Return the image that the same steps have made before, if it is still there: its id stays the same."""
        made = None if self._options.nocache else self._builder.cache.get(image_key)
        if made is None:
            return ""
        try:
            return self._images.get(made.snapshot).id
        except NotFound:
            return ""

    def _name(self, image_id: str) -> Built:
        tags = tuple(self._images.tag(image_id, tag) for tag in self._options.tags)
        return Built(image_id=image_id, tags=tags)

    async def finish(self) -> None:
        """Wait for what still runs in threads, so that finished steps are remembered, and let layers go."""
        await asyncio.gather(*self._digests.values(), return_exceptions=True)
        for name in self._digests:
            self._images.unprotect(name)


async def _known(diff_id: str) -> str:
    return diff_id


def _read_inside(root_fd: int, path: str) -> str:
    """Read a file below a root, wherever its links lead inside of it; an absent one is empty."""
    try:
        with open(openat2(root_fd, path, os.O_RDONLY), errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _stage_name(instruction: Instruction) -> str:
    words = instruction.text.split()
    return words[2] if len(words) == 3 else ""
