"""RUN: what its command is, what it depends on, and what it sees besides its image.

Source: Dockerfile reference § RUN, § RUN --mount, § Here-Documents.
"""

import asyncio
import contextlib
import os
import posixpath
from dataclasses import dataclass

from nbcontainers.build import cache, runmounts, selection
from nbcontainers.build.caches import Caches
from nbcontainers.build.draft import Draft
from nbcontainers.build.events import BuildError, BuildOptions
from nbcontainers.build.expansion import ExpansionError
from nbcontainers.build.heredocs import mark
from nbcontainers.build.instructions import Run
from nbcontainers.build.runmounts import MountError, RunMount
from nbcontainers.build.running import Command
from nbcontainers.build.steps import Context, Scratch, opened
from nbcontainers.linux import files
from nbcontainers.linux.mounts import openat2
from nbcontainers.runtime.spec import Mount, Rootfs

_SCRIPTS = "/dev/pipes"
_SECRETS = "/run/secrets"
_SECRET_MODE = 0o400


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Another stage or an image to mount from.

    Args:
        rootfs: Its files.
        key: What stands for them.
        is_portable: It does so on other machines, too.
    """

    rootfs: Rootfs
    key: str
    is_portable: bool = True


class RunStep:
    """One RUN instruction.

    Args:
        draft: The stage's image so far.
        one: The instruction.
        options: The build's.
        context: The build's folder.
        scratch: A place for what the command sees; it is closed when the step has ended.

    Raises:
        DockerfileError: A mount is not written right, now that its variables are known.
    """

    def __init__(self, draft: Draft, one: Run, options: BuildOptions, context: Context, scratch: Scratch) -> None:
        self._draft = draft
        self._one = one
        self._options = options
        self._context = context
        self._scratch = scratch
        self.mounts = [self._parsed(text) for text in one.mounts]
        self._script = ""
        self._words = self._command()
        self._network = one.network or options.network_mode
        self._env = draft.variables

    def _parsed(self, text: str) -> RunMount:
        node = self._one.node
        try:
            mount = runmounts.parse(text, lambda value: self._draft.expand(node, value))
        except MountError as error:
            raise node.error(str(error), text) from error
        if mount.type == "ssh":
            raise node.error("--mount=type=ssh is not supported: use a secret for the key", "--mount")
        if mount.type != "secret" and self._target(mount) == "/":
            raise node.error(f'invalid mount target "{mount.target}": it cannot be the root', "--mount")
        return mount

    def _target(self, mount: RunMount) -> str:
        joined = posixpath.join("/", self._draft.defaults.working_dir, mount.target)
        return posixpath.normpath(f"/{joined.lstrip('/')}")

    def _command(self) -> list[str]:
        """Return the command: a here-document alone is a script, others are the shell's business."""
        if not self._one.heredocs:
            return self._draft.command(self._one)
        shell = [*self._draft.command(self._one)[:-1]]
        text, documents = self._one.words[0], self._one.heredocs
        try:
            alone = mark(text)
        except ExpansionError as error:
            raise self._one.node.error(str(error), text) from error
        if alone is None:
            bodies = "".join(f"\n{document.content}{document.name}" for document in documents)
            return [*shell, f"{text}{bodies}"]
        script = documents[0].text
        if not script.startswith("#!"):
            return [*shell, script]
        self._script = script
        return [f"{_SCRIPTS}/{documents[0].name}"]

    async def key(self, trees: dict[str, Tree]) -> str:
        """Return the step's key.

        Args:
            trees: For each name that a mount has with ``from``, what is meant.
        """
        defaults = self._draft.defaults
        parts = [repr(self._words), repr(sorted(self._env.items())), defaults.user, defaults.working_dir]
        parts += [self._network, self._script]
        for mount in self.mounts:
            parts.append(repr(mount))
            if mount.from_:
                parts.append(trees[mount.from_].key)
            elif mount.type == "bind":
                parts.append(await asyncio.to_thread(self._digest, mount))
        return cache.key(self._draft.key, "RUN", *parts)

    def _digest(self, mount: RunMount) -> str:
        with self._context.root() as root:
            return selection.digest(root.pick(mount.source or "/", None), with_owners=False)

    async def command(self, trees: dict[str, Tree], caches: Caches, held: contextlib.AsyncExitStack) -> Command:
        """Return what is to be run; what it needs is there as long as ``held`` is open.

        Raises:
            BuildError: A secret was not given, or a mount's source is not there.
        """
        secrets: dict[str, str] = {}
        mounts: list[Mount] = []
        for number, mount in enumerate(self.mounts):
            if mount.type == "secret":
                mounts += self._secret(number, mount, secrets)
            elif mount.type == "tmpfs":
                mounts.append(self._tmpfs(mount))
            elif mount.type == "cache":
                mounts.append(await self._cache(mount, trees, caches, held))
            else:
                mounts.append(self._bind(number, mount, trees))
        if self._script:
            mounts.append(self._script_mount())
        return Command(
            args=self._words,
            env={**self._draft.proxies, **self._env, **secrets},
            cwd=self._draft.defaults.working_dir,
            user=self._draft.defaults.user,
            network=self._network,
            resources=self._options.resources,
            shm_bytes=self._options.shm_bytes,
            extra_hosts=self._options.extra_hosts,
            mounts=mounts,
        )

    def _mount(self, target: str, source: str, *options: str) -> Mount:
        return {"destination": target, "type": "bind", "source": source, "options": ["bind", *options]}

    def _script_mount(self) -> Mount:
        directory = self._scratch.directory("script")
        path = directory / posixpath.basename(self._words[0])
        path.write_bytes(self._script.encode("utf-8", "surrogateescape"))
        path.chmod(0o755)
        return self._mount(_SCRIPTS, str(directory), "ro")

    def _tmpfs(self, mount: RunMount) -> Mount:
        options = ["nosuid", "nodev"] + ([f"size={mount.size_bytes}"] if mount.size_bytes else [])
        return {"destination": self._target(mount), "type": "tmpfs", "source": "tmpfs", "options": options}

    def _secret(self, number: int, mount: RunMount, environment: dict[str, str]) -> list[Mount]:
        name = mount.source or mount.id or posixpath.basename(mount.target)
        value = self._options.secrets.get(name)
        if value is None:
            if mount.required:
                raise BuildError(f"secret {name}: not found: give it with --secret id={name},src=FILE")
            return []
        if mount.env is not None:
            environment[mount.env or name] = value.decode("utf-8", "surrogateescape")
            if not mount.target:
                return []
        path = self._scratch.file(f"secret-{number}")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(value)
            os.fchown(fd, mount.uid, mount.gid)
            os.fchmod(fd, _SECRET_MODE if mount.mode is None else mount.mode)
        target = self._target(mount) if mount.target else f"{_SECRETS}/{posixpath.basename(name)}"
        return [self._mount(target, str(path), "ro", "nosuid", "nodev", "noexec")]

    async def _cache(
        self, mount: RunMount, trees: dict[str, Tree], caches: Caches, held: contextlib.AsyncExitStack
    ) -> Mount:
        def fill(directory: str) -> None:
            if mount.from_:
                _copy_from(trees[mount.from_].rootfs, mount.source, directory)

        target = self._target(mount)
        path = await held.enter_async_context(caches.lease(mount, mount.id or target, fill))
        made = self._mount(target, path, *(["ro"] if mount.readonly else []))
        if mount.source and not mount.from_:
            made["subpath"] = mount.source
        return made

    def _bind(self, number: int, mount: RunMount, trees: dict[str, Tree]) -> Mount:
        """Show a part of the context, of a stage or of an image; what is written there is for this command alone."""
        if mount.from_:
            rootfs = trees[mount.from_].rootfs
        else:
            self._context.purge()
            # An overlay without an upper directory wants two lower ones.
            lower = [str(self._context.directory), str(self._scratch.directory(f"empty-{number}"))]
            rootfs = Rootfs(lower=lower, upper=None, work=None, host=None, volatile=True)
        _check_source(mount, rootfs)
        if not mount.readonly:
            upper, work = (
                str(self._scratch.directory(f"upper-{number}")),
                str(self._scratch.directory(f"work-{number}")),
            )
            rootfs = Rootfs(lower=rootfs["lower"], upper=upper, work=work, host=rootfs["host"], volatile=True)
        made = self._mount(self._target(mount), "", *(["ro"] if mount.readonly else []))
        made["rootfs"] = rootfs
        made["subpath"] = mount.source or "."
        return made


def _check_source(mount: RunMount, rootfs: Rootfs) -> None:
    with opened(rootfs) as root_fd:
        try:
            os.close(openat2(root_fd, mount.source or ".", os.O_PATH))
        except OSError as error:
            raise BuildError(f"invalid mount source '{mount.source}': {os.strerror(error.errno or 0)}") from error


def _copy_from(rootfs: Rootfs, source: str, directory: str) -> None:
    """Copy a directory of a stage or image into an empty one."""
    with opened(rootfs) as root_fd:
        source_fd = openat2(root_fd, source or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            target_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                files.copy_tree(source_fd, target_fd)
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)
