"""The facade: everything the API may ask of the engine, by the names that clients use."""

import asyncio
import contextlib
import functools
import hashlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from nbcontainers import errors
from nbcontainers.build import Builder, BuildEvent, BuildOptions, Remote, Workspace
from nbcontainers.build.running import Runner
from nbcontainers.engine import boots, creation, limits, log_attributes, recovery, sharing, update, volume_mounts
from nbcontainers.engine.admission import Admission
from nbcontainers.engine.build_secrets import BuildSecrets
from nbcontainers.engine.captures import Captures
from nbcontainers.engine.commits import Asked, Commits
from nbcontainers.engine.configuration import ContainerConfig, EndpointConfig, HostConfig
from nbcontainers.engine.control import Control
from nbcontainers.engine.doctor import swap_limit
from nbcontainers.engine.events import Events
from nbcontainers.engine.execs import Execs
from nbcontainers.engine.filesystems import Filesystems
from nbcontainers.engine.health import Healths
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.metrics import Metrics
from nbcontainers.engine.model import Container, ContainerState
from nbcontainers.engine.names import check_name, new_name
from nbcontainers.engine.networking import Networking
from nbcontainers.engine.pruning import Pruning
from nbcontainers.engine.pulls import ImagePulls
from nbcontainers.engine.pushes import ImagePushes
from nbcontainers.engine.register import Register
from nbcontainers.engine.sizes import ContainerSizes
from nbcontainers.engine.specification import Specification
from nbcontainers.engine.state import State
from nbcontainers.engine.tagging import Tagging
from nbcontainers.engine.telling import Telling
from nbcontainers.engine.threads import run_apart
from nbcontainers.engine.usage import DiskUsage
from nbcontainers.engine.user_networks import UserNetworks
from nbcontainers.engine.volume_files import VolumeFiles
from nbcontainers.images import Image, Images, Snapshots
from nbcontainers.images.references import check_new
from nbcontainers.images.registry import Registries, Settings
from nbcontainers.networks import Networks, Shaping
from nbcontainers.networks.model import HOST
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.client import ShimConnection
from nbcontainers.runtime.launching import Launcher
from nbcontainers.volumes import Volumes


class Engine:
    """One engine with its own state; ``start`` before use, ``close`` after.

    Args:
        root: Directory of what lasts: images, containers, volumes, the database. Made when missing.
        run: Directory of this boot's sockets. Made when missing.
        registry_settings: How registries are reached.
    """

    def __init__(self, root: Path, run: Path, registry_settings: Settings | None = None) -> None:
        self.root = root.resolve()
        self.run = run.resolve()
        self.identity = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]
        self.events = Events()
        self.telling = Telling(self.events)
        self.register = Register()
        self.registries = Registries(registry_settings or Settings())
        self.secrets = BuildSecrets()

    async def start(self) -> None:
        """Open the state, find what is still running, and be ready for requests.

        Raises:
            errors.Conflict: Another engine works on this root.
            errors.Unavailable: This machine lacks something the engine cannot do without.
        """
        if os.geteuid() != 0:
            raise errors.Unavailable(
                "the engine",
                f"it needs root, this is user {os.geteuid()}",
                "start it with sudo, or use a Docker: NBCONTAINERS_HOST=docker",
            )
        for directory in (self.root, self.run, self.root / "containers"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state = State(self.root)
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(self._state.close)
            undo.push_async_callback(self.registries.close)
            await self._open_rooms(undo)
            boots.note(self.root)
            undo.pop_all()

    async def _open_rooms(self, undo: contextlib.AsyncExitStack) -> None:
        self.cleanup = Cleanup(self.root / "trash")
        undo.callback(self.cleanup.close)
        self.images = Images(self.root / "images", [str(self.root), str(self.run)], self.cleanup.discard)
        self.snapshots: Snapshots = self.images.snapshots
        self.sizes = ContainerSizes(self.images)
        self.volumes = Volumes(self.root / "volumes")
        self.networks = Networks(self.identity)
        self.metrics = Metrics()
        self._swap_limit = swap_limit()
        self.specification = Specification(
            self.root, self.identity, self.snapshots, self.cleanup, swap_limit=self._swap_limit
        )
        self.cleanup.refill(self.specification.stock.refill)
        self.cleanup.refill(self.snapshots.stock.refill)
        self.cleanup.refill(self.snapshots.standby.refill)
        undo.callback(self.snapshots.standby.close)
        self.launcher = Launcher(self.specification.cgroup_parent)
        containers = self._state.containers()
        found = await recovery.find(containers, self.specification, rebooted=boots.is_another(self.root))
        # Before the launcher starts: its prepared groups belong to no container either.
        kept = {container.id for container in containers}
        await asyncio.to_thread(recovery.sweep, kept, found, self.specification, self.snapshots)
        await asyncio.to_thread(self.volumes.unmount_others, recovery.volumes(containers, found))
        await self.networks.start(
            recovery.leases(containers, found), self._state.networks(), recovery.published(containers, found)
        )
        undo.push_async_callback(self.networks.close, purge=False)
        self.launcher.start()
        undo.push_async_callback(self.launcher.close)
        await self._open_builder(undo)
        self._open_containers()
        await recovery.resume(self.lifecycle, containers, found)
        await self.networking.resume()

    def _open_containers(self) -> None:
        """Be ready for containers; there are none yet."""
        by_id = self.register.by_id
        self.admission = Admission(self.networks, by_id)
        self.user_networks = UserNetworks(self.networks, self._state, self.telling, by_id)
        self.networking = Networking(
            networks=self.networks,
            admission=self.admission,
            state=self._state,
            telling=self.telling,
            specification=self.specification,
            containers=by_id,
        )
        self.lifecycle = Lifecycle(
            register=self.register,
            state=self._state,
            telling=self.telling,
            launcher=self.launcher,
            networking=self.networking,
            volumes=self.volumes,
            metrics=self.metrics,
            cleanup=self.cleanup,
            specification=self.specification,
        )
        self.lifecycle.when_started.append(self._note_log_attributes)
        self.volume_files = VolumeFiles(self.volumes, self.lifecycle)
        self.tagging = Tagging(self.images, self.register, self.lifecycle.live, self.telling)
        self.filesystems = Filesystems(self.lifecycle, self.specification, self.snapshots, self.volumes)
        self.usage = DiskUsage(self.images)
        self.pruning = Pruning(self)
        self.execs = Execs(self.lifecycle, self.launcher, self.specification)
        self.healths = Healths(self.lifecycle, self.execs)
        self.control = Control(self.lifecycle, self.healths)
        self.commits = Commits(self.lifecycle, self.control, self.images)
        self.captures = Captures(self.lifecycle, self.networking, self.networks)

    async def _open_builder(self, undo: contextlib.AsyncExitStack) -> None:
        """Be ready to build and pull; away goes what an engine that was killed has left of that."""
        runner = Runner(
            self.root / "build",
            self.launcher,
            self.networks,
            self.cleanup,
            self.specification.stock,
            self.specification.cgroup_parent,
        )
        self.pulls = ImagePulls(self.images, self.registries, self.events)
        undo.push_async_callback(self.pulls.close)
        self.pushes = ImagePushes(self.images, self.registries, self.events)
        undo.push_async_callback(self.pushes.close)
        remote = Remote(
            pull=self.pulls.provide, registries=self.registries, pulls=self.pulls.pulls, pushes=self.pushes.pushes
        )
        self.builder = Builder(self.images, runner, self.root / "build", self.cleanup.discard, remote)
        await asyncio.to_thread(self.builder.sweep)

    async def close(self) -> None:
        """End the engine; containers that run go on, and the next engine finds them."""
        idle = not any(container in self.lifecycle.live for container in self.containers())
        await self.pulls.close()
        await self.pushes.close()
        await self.healths.close()
        await self.execs.close()
        await self.lifecycle.close()
        self.metrics.close()
        await self.registries.close()
        await self.launcher.close()
        await self.networks.close(purge=idle)
        await asyncio.to_thread(self.cleanup.close)
        await asyncio.to_thread(self.snapshots.standby.close)
        if idle:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(recovery.remove_cgroups, self.specification.cgroup_parent)
        self._state.close()

    # Containers: what there is.

    def containers(self) -> list[Container]:
        """Return all containers, oldest first."""
        return list(self.register.by_id.values())

    def container(self, name: str) -> Container:
        """Return the container with this id, name or unique beginning of an id.

        Raises:
            errors.NoSuchContainer: There is none.
            errors.InvalidArgument: The beginning fits several ids.
        """
        return self.register.get(name)

    # Containers: what may happen to them.

    async def create(
        self,
        name: str,
        config: ContainerConfig,
        host_config: HostConfig,
        endpoints: dict[str, EndpointConfig] | None = None,
    ) -> tuple[Container, list[str]]:
        """Create a container.

        Args:
            name: Its name, or empty for a fresh one.
            config: What runs in it; what is left out is taken from the image.
            host_config: What it may use of this machine.
            endpoints: What it wants in networks, by their names; the network of its mode when there are none.

        Returns:
            The container, and warnings for the user.

        Raises:
            errors.InvalidArgument: A name, limit, path or signal makes no sense.
            errors.NoSuchImage: The image is not here.
            errors.Conflict: The name is taken.
        """
        limits.check(host_config)
        host_config = sharing.resolve(host_config, self.container)
        config = creation.share(config, host_config, self.register.by_id)
        donors = [self.container(entry.partition(":")[0]) for entry in host_config.volumes_from]
        name = check_name(name) if name else new_name(self.register.names)
        if holder := self.register.names.get(name):
            raise errors.Conflict(
                f"the container name '/{name}' is already in use by container '{holder}': "
                f"remove or rename that container to be able to reuse that name"
            )
        image = self.images.get(config.image)
        host_config, warnings = limits.adapt(host_config, swap_limit=self._swap_limit)
        container = creation.plan(name, image, config, host_config)
        container.networks = self.admission.plan(host_config, endpoints or {})
        container.links = self.admission.plan_links(host_config)
        if host_config.network_mode == HOST and host_config.port_bindings:
            warnings.append("Published ports are discarded when using host network mode")
        with creation.undone_on_error(self.specification, container):
            creation.make(self.specification, self.snapshots, self.volumes, image, container, donors)
            if any(mount.copy_up for mount in volume_mounts.of(container)):
                fill = functools.partial(creation.fill_own_file_systems, container, self.snapshots, self.volumes)
                await run_apart(fill, "volume")
            self._state.save(container)
        self.lifecycle.add(container)
        self._tell_new_volumes(container)
        self.telling.tell(container, "create")
        return container, warnings

    def _tell_new_volumes(self, container: Container) -> None:
        """Emit the events of the volumes that were made for a new container."""
        for mount in container.mounts:
            if mount.kind == "volume" and self.volumes.get(mount.name).created_ns >= container.created_ns:
                self.telling.tell_volume(mount.name, "create")

    def anticipate(self, container: Container) -> None:
        """Get ready for the start of a container that was just created; see ``Anticipation``."""
        self.cleanup.postpone()
        self.lifecycle.anticipation.prepare(container)

    async def start_container(self, name: str) -> None:
        """Start a container; see ``Lifecycle.start``."""
        await self.lifecycle.start(self.container(name))

    async def stop(self, name: str, *, signal: str = "", timeout_seconds: int | None = None) -> None:
        """Stop a container; see ``Control.stop``."""
        await self.control.stop(self.container(name), signal, timeout_seconds)

    async def restart(self, name: str, *, signal: str = "", timeout_seconds: int | None = None) -> None:
        """Stop a container if it runs, and start it."""
        await self.control.restart(self.container(name), signal, timeout_seconds)

    async def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Send a signal to a container; see ``Control.kill``."""
        await self.control.kill(self.container(name), signal)

    async def pause(self, name: str) -> None:
        """Freeze a container's processes."""
        self.control.pause(self.container(name))

    async def unpause(self, name: str) -> None:
        """Let a paused container go on."""
        self.control.unpause(self.container(name))

    async def update(self, name: str, changes: update.Update) -> list[str]:
        """Change a container's limits and restart policy; see ``update.apply``."""
        return await update.apply(self.lifecycle, self.container(name), changes, swap_limit=self._swap_limit)

    async def rename(self, name: str, new: str) -> None:
        """Give a container another name; a slash in front is no part of it."""
        container = self.container(name)
        self.lifecycle.rename(container, check_name(new.removeprefix("/")))

    async def wait(self, name: str, condition: str = "not-running") -> ContainerState:
        """Wait for a container; see ``Lifecycle.wait``."""
        return await self.lifecycle.wait(self.container(name), condition)

    async def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container; see ``Lifecycle.remove``."""
        container = self.container(name)
        await self.lifecycle.remove(container, force=force, volumes=volumes)
        self.sizes.forget(container)

    async def connect(self, network: str, name: str, config: EndpointConfig) -> None:
        """Put a container into one more network; see ``Networking.connect``."""
        container = self.container(name)
        async with self.lifecycle.turns.lock(container):
            self.lifecycle.anticipation.give_up(container)
            await self.networking.connect(container, self.networks.get(network), config)
        self.lifecycle.anticipation.prepare(container)

    async def disconnect(self, network: str, name: str) -> None:
        """Take a container out of a network; see ``Networking.disconnect``."""
        container = self.container(name)
        async with self.lifecycle.turns.lock(container):
            self.lifecycle.anticipation.give_up(container)
            await self.networking.disconnect(container, network)

    async def shape(self, name: str, network: str, shaping: Shaping) -> None:
        """Set how a container's packets go in a network; see ``Networking.shape``."""
        container = self.container(name)
        async with self.lifecycle.turns.lock(container):
            self.lifecycle.anticipation.give_up(container)
            await self.networking.shape(container, network, shaping)
            self.telling.tell(container, "update")

    def resize(self, name: str, *, rows: int, columns: int) -> None:
        """Tell a container's terminal its size in characters.

        Raises:
            errors.Conflict: The container does not run.
            errors.InvalidArgument: The size is not one.
        """
        if not (0 <= rows < 1 << 16 and 0 <= columns < 1 << 16):
            raise errors.InvalidArgument(f"invalid terminal size '{columns}x{rows}'")
        container = self.container(name)
        self.lifecycle.live.get(container).connection.resize(rows, columns)
        self.telling.tell(container, "resize", height=str(rows), width=str(columns))

    def connection(self, name: str) -> ShimConnection:
        """Return the way to a running container's standard input and terminal.

        Raises:
            errors.Conflict: The container does not run.
        """
        return self.lifecycle.live.get(self.container(name)).connection

    def is_live(self, container: Container) -> bool:
        """Say whether a container has a process, running or paused."""
        return container in self.lifecycle.live

    def trace(self, name: str) -> list[tuple[str, int, int]]:
        """Return the steps of a container's last start: name, begin, end; nanoseconds of the monotonic clock."""
        return self.lifecycle.traces.get(self.container(name).id, [])

    def processes(self, name: str) -> list[int]:
        """Return the host's process ids of a running container's processes.

        Raises:
            errors.Conflict: The container does not run.
        """
        return self.lifecycle.live.get(self.container(name)).cgroup.procs()

    def log_directory(self, name: str) -> str:
        """Return where a container's log lies, for ``nbcontainers.runtime.log``.

        Raises:
            errors.Unsupported: The container keeps no log.
        """
        container = self.container(name)
        if container.host_config.log_driver == "none":
            raise errors.Unsupported("configured logging driver does not support reading")
        return self.output_directory(container)

    def output_directory(self, container: Container) -> str:
        """Return where a container's output is written, whether or not it may be read back as a log."""
        return str(self.specification.directory(container.id))

    def _note_log_attributes(self, container: Container) -> None:
        with contextlib.suppress(OSError):  # the disk is full: the container goes on all the same
            log_attributes.record(self.output_directory(container), container)

    def tell(self, container: Container, action: str) -> None:
        """Emit an event of a container that no change of state stands behind."""
        self.telling.tell(container, action)

    # Images.

    @property
    def swap_limit(self) -> bool:
        """Whether this machine can limit swap."""
        return self._swap_limit

    async def build(self, context: Workspace, options: BuildOptions) -> AsyncGenerator[BuildEvent, None]:
        """Build an image; see ``nbcontainers.build.Builder.build``."""
        async with contextlib.aclosing(self.builder.build(context, options)) as events:
            async for event in events:
                yield event

    async def commit(self, name: str, asked: Asked) -> Image:
        """Make an image of a container; see ``Commits.commit``."""
        container = self.container(name)
        if asked.reference:
            check_new(asked.reference)
        image = await self.commits.commit(container, asked)
        if asked.reference:
            self.tagging.tag(image.id, asked.reference)
        self.telling.tell(container, "commit", comment=asked.comment, imageID=image.id, imageRef=asked.reference)
        return self.images.get(image.id)
