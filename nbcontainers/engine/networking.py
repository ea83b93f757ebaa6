"""Containers in networks: what they get there when they start, what they give back, what changes while they run.

``nbcontainers.networks`` knows cables and addresses; here is what Docker makes of them: a container's ``Attachment`` in
each of its networks, its published ports, and the events of type network. Which networks those may be, ``admission``
decides.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

from nbcontainers import errors
from nbcontainers.engine import files, linking, places, publishing, shaping, sharing
from nbcontainers.engine.admission import Admission, Attachments
from nbcontainers.engine.configuration import EndpointConfig
from nbcontainers.engine.model import Attachment, Container, NetworkEndpoint
from nbcontainers.engine.naming import Naming
from nbcontainers.engine.specification import Specification
from nbcontainers.engine.state import State
from nbcontainers.engine.telling import Telling
from nbcontainers.linux import namespaces
from nbcontainers.networks import Endpoint, Network, Networks, Shaping, Wish
from nbcontainers.networks.model import BRIDGE, HOST, NONE, OPTION_HOST_BINDING


class Networking:
    """Puts containers into networks and takes them out.

    Args:
        networks: The networks.
        admission: Decides which of them a container may be in.
        state: Where containers are saved whose networks change.
        telling: Tells of it.
        specification: Knows where a container's files are.
        containers: All containers by their ids; read only.
    """

    def __init__(
        self,
        *,
        networks: Networks,
        admission: Admission,
        state: State,
        telling: Telling,
        specification: Specification,
        containers: Mapping[str, Container],
    ) -> None:
        self._networks = networks
        self._admission = admission
        self._state = state
        self._telling = telling
        self._specification = specification
        self._containers = containers
        self._naming = Naming(networks)

    def link_names(self, container: Container) -> list[str]:
        """Return the names that linked containers have for this one."""
        return linking.names(self._containers, container)

    def unlink(self, container: Container, alias: str) -> None:
        """Take a link from a container.

        Raises:
            errors.NotFound: It has none of this name.
        """
        linking.remove(container, alias)
        self._state.save(container)

    # At its start and end.

    def is_ready(self, container: Container) -> bool:
        """Say whether ``attach_at_once`` can be done."""
        if container.links or container.host_config.network_mode.startswith("container:"):
            return False
        if not self._admission.are_found(container):
            return False
        wishes = self._admission.wishes(container)
        if any(shaping.is_wanted(one) for one in container.networks.values()):
            return False
        return not wishes or (self._is_simple(wishes) and bool(self._networks.prepared))

    def _is_simple(self, wishes: list[Wish]) -> bool:
        return wishes == [Wish(network_id=self._networks.get(BRIDGE).id)]

    def attach_at_once(self, container: Container) -> int | None:
        """Do as ``attach`` does, where the container ``is_ready``."""
        if not self._admission.wishes(container):
            self._enter(container, [])
            return self._isolated(container)
        endpoint = self._networks.attach_at_once(container.id)
        self._enter(container, [endpoint])
        return endpoint.namespace_fd

    async def attach(self, container: Container) -> int | None:
        """Give a container that is to start its places.

        Returns:
            A descriptor of its network namespace, the caller's; None where it needs none that is made here.

        Raises:
            errors.Error: A network is gone, or has no address.
        """
        mode = container.host_config.network_mode
        if mode.startswith("container:"):
            return self._namespace_of(self._sharer(container, mode.removeprefix("container:")))
        if not self._admission.are_found(container):
            resolved = self._admission.resolve(container)
            self._naming.forget(container)
            container.networks = resolved
            self._naming.know(container)
        container.links = linking.resolve(self._containers, container)
        wishes = self._admission.wishes(container)
        endpoints = await self._networks.join(container.id, wishes) if wishes else []
        self._enter(container, endpoints)
        if not endpoints:
            return self._isolated(container)
        namespace_fd = endpoints[0].namespace_fd
        try:
            await self._naming.serve(container, namespace_fd)
            self._tell_linked(container)
            await shaping.apply(self._networks, container, namespace_fd)
        except BaseException:
            os.close(namespace_fd)
            raise
        return namespace_fd

    def _isolated(self, container: Container) -> int | None:
        """Return a namespace for a container without a network, where one lies ready."""
        return self._networks.isolated.take() if container.host_config.network_mode == NONE else None

    def _tell_linked(self, container: Container) -> None:
        """Have the running containers that are linked to one know its new address."""
        for other in self._containers.values():
            if other.state.pid and any(link.container_id == container.id for link in other.links):
                before = files.contents(other)
                other.links = linking.readdressed(other, container)
                files.follow(self._specification.directory(other.id), before, files.contents(other))

    def _sharer(self, container: Container, name: str) -> Container:
        """Return whose network a container is to have; one that came after it is found by its name, and then kept.

        Raises:
            errors.NoSuchContainer: There is none.
            errors.Conflict: It is the container itself.
        """
        sharer = linking.find(self._containers, name)
        if sharer is None:
            raise errors.NoSuchContainer(name)
        if sharer is container:
            raise errors.Conflict("cannot join own network")
        if sharer.id != name:
            container.host_config = replace(container.host_config, network_mode=f"container:{sharer.id}")
            container.config = sharing.named_as(container.config, sharer)
        return sharer

    def _namespace_of(self, container: Container) -> int:
        """Return a descriptor of a running container's network namespace.

        Raises:
            errors.Conflict: It does not run.
        """
        try:
            if container.state.pid:
                return namespaces.open_namespace("net", container.state.pid)
        except OSError:
            pass  # it has ended just now
        raise errors.Conflict(f"cannot join network of a non running container: {container.id}")

    def _enter(self, container: Container, endpoints: list[Endpoint]) -> None:
        """Note where a container is now; in the networks without cables, too."""
        given = {endpoint.network_id: places.noted(endpoint) for endpoint in endpoints}
        container.networks = {
            name: replace(one, endpoint=given.get(one.network_id) or places.without_cable(one.network_id))
            for name, one in container.networks.items()
        }
        self._naming.know(container)

    async def publish(self, container: Container) -> None:
        """Lead ports of the host to a container that is about to run, or whose networks have changed.

        Raises:
            errors.Internal: A port is taken, or cannot be published: with Docker's words.
        """
        target = self._networks.way_out(one for one in places.endpoints(container) if one.host_interface)
        default = self._networks.get(target.network_id).options.get(OPTION_HOST_BINDING, "") if target else ""
        wishes = publishing.wishes(container, default)
        if target and container.ports and all(port.address in _addresses(target) for port in container.ports):
            return
        self._networks.unpublish(container.id)
        container.ports = ()
        if target is None or not wishes:
            return
        try:
            forwardings = await self._networks.publish(container.id, wishes, target)
        except (errors.Conflict, errors.InvalidArgument) as error:
            raise errors.Internal(
                f"driver failed programming external connectivity on endpoint {container.name} "
                f"({target.endpoint_id}): {error}"
            ) from error
        container.ports = publishing.published(forwardings)

    def leave(self, container: Container) -> Attachments:
        """Take back all places of a container that has ended; return those that it had."""
        had = container.networks
        container.networks = self.without_places(container)
        container.ports = ()
        self._networks.release(container.id)
        self._naming.know(container)
        return {name: attachment for name, attachment in had.items() if attachment.endpoint.endpoint_id}

    def know(self, container: Container) -> None:
        """Take in a container that is new, has another name, or was read from the database."""
        self._naming.know(container)

    def forget(self, container: Container) -> None:
        """Let go of a container that is removed."""
        self._naming.forget(container)

    async def resume(self) -> None:
        """Answer again those that ask for names and went on while there was no engine, and slow down who is to be.

        An engine that was killed may have saved how a container's packets are to go, and not have told the kernel.
        """
        for container in list(self._containers.values()):
            with contextlib.suppress(OSError, errors.Error):  # it has ended meanwhile, which will be noticed
                if container.state.pid and files.has_name_server(container):
                    await self._serve(container)
                if container.state.pid and any(shaping.is_wanted(one) for one in container.networks.values()):
                    with self.inside(container) as namespace_fd:
                        await shaping.apply(self._networks, container, namespace_fd)

    async def _serve(self, container: Container) -> None:
        with self.inside(container) as namespace_fd:
            await self._naming.serve(container, namespace_fd)

    @contextlib.contextmanager
    def inside(self, container: Container) -> Iterator[int]:
        """Yield a descriptor of a running container's network namespace, which is not the host's."""
        namespace_fd = self._namespace_of(container)
        try:
            _check_not_ours(namespace_fd)
            yield namespace_fd
        finally:
            os.close(namespace_fd)

    def without_places(self, container: Container) -> Attachments:
        """Return a container's networks as they are while it does not run."""
        return {name: replace(one, endpoint=NetworkEndpoint()) for name, one in container.networks.items()}

    def tell(self, container: Container, action: str, attachments: Attachments) -> None:
        """Emit the events of a container's coming or going: ``connect`` or ``disconnect``."""
        for attachment in attachments.values():
            try:
                network = self._networks.get(attachment.network_id)
            except errors.NoSuchNetwork:
                continue
            self._telling.tell_network(network, action, container=container.id)

    # While it is there.

    async def connect(self, container: Container, network: Network, config: EndpointConfig) -> None:
        """Put a container into one more network, at once when it runs; the caller holds its lock.

        Raises:
            errors.Forbidden: It is in that network.
            errors.InvalidArgument: The networks do not go together, or cannot give what is wanted.
        """
        self._admission.check_connectable(container, network)
        self._admission.check(network, config)
        attachment = Attachment(network_id=network.id, config=config)
        if container.state.pid:
            with self.inside(container) as namespace_fd:
                endpoint = await self._networks.connect(
                    container.id, namespace_fd, places.endpoints(container), places.wish(network, config)
                )
            attachment = replace(attachment, endpoint=places.noted(endpoint))
        await self._change(container, {**container.networks, network.name: attachment})
        if container.state.pid:
            self._telling.tell_network(network, "connect", container=container.id)

    async def disconnect(self, container: Container, name: str) -> None:
        """Take a container out of a network, at once when it runs; the caller holds its lock.

        Args:
            container: The container.
            name: The name or id of the network, which need not be there if the container does not run.

        Raises:
            errors.NoSuchNetwork: There is no such network.
            errors.Forbidden: It is not in that network.
            errors.InvalidArgument: It has the host's network.
        """
        if name in container.networks and not container.state.pid and self._admission.found(name) is None:
            await self._change(container, {other: one for other, one in container.networks.items() if other != name})
            return
        network = self._networks.get(name)
        if HOST in (container.host_config.network_mode, network.name):
            raise errors.InvalidArgument(
                "container cannot be disconnected from host network or connected to host network"
            )
        attachment = container.networks.get(network.name)
        if attachment is None:
            raise errors.Forbidden(f"container {container.id} is not connected to network {network.name}")
        remaining = {name: one for name, one in container.networks.items() if name != network.name}
        if container.state.pid and attachment.endpoint.interface:
            with self.inside(container) as namespace_fd:
                await self._networks.disconnect(
                    container.id,
                    namespace_fd,
                    places.endpoint(attachment.endpoint),
                    [places.endpoint(one.endpoint) for one in remaining.values() if one.endpoint.interface],
                )
        await self._change(container, remaining)
        if attachment.endpoint.endpoint_id:
            self._telling.tell_network(network, "disconnect", container=container.id)

    async def shape(self, container: Container, name: str, wanted: Shaping) -> None:
        """Set how a container's packets go in a network, at once when it runs; the caller holds its lock.

        Args:
            container: The container.
            name: A network that it is in; empty for the only one.
            wanted: How.

        Raises:
            errors.InvalidArgument: It is in several networks and none is named, or in none.
            errors.Error: Its packets cannot be slowed down so.
        """
        network = shaping.choose(container, name and self._networks.get(name).name)
        await self._networks.check_shaping(self._networks.get(container.networks[network].network_id), wanted)
        before = container.networks
        container.networks = {**before, network: replace(before[network], shaping=wanted)}
        try:
            # Saved first, so that an engine that is killed in between is followed by one that finishes it.
            self._state.save(container)
            if container.state.pid:
                with self.inside(container) as namespace_fd:
                    endpoint = places.endpoint(container.networks[network].endpoint)
                    await self._networks.shape(namespace_fd, endpoint, wanted)
        except BaseException:
            container.networks = before
            self._state.save(container)
            raise

    async def _change(self, container: Container, networks: Attachments) -> None:
        """Give a container other networks: its files and its published ports follow, and it is saved."""
        before = files.contents(container)
        self._naming.forget(container)
        container.networks = networks
        self._naming.know(container)
        try:
            if container.state.pid:
                await self._serve(container)
                files.follow(self._specification.directory(container.id), before, files.contents(container))
                await self.publish(container)
        finally:
            self._state.save(container)


def _check_not_ours(namespace_fd: int) -> None:
    """Refuse to touch the host's own network, should a process id have been given to another process meanwhile."""
    if os.fstat(namespace_fd).st_ino == namespaces.namespace_id("net"):
        raise errors.Conflict("the container has ended")


def _addresses(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.address, endpoint.ipv6_address
