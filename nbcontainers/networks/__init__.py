"""Networks: how containers reach each other and the world.

The engine asks for an ``Endpoint`` and gets a network namespace that is ready to be entered; when the container has
ended it gives the endpoint back. What a network knows about containers is their ids, and what they are called.

Reading order: ``model`` (what a network is), ``addresses`` (who has which address), ``ownership`` (which engine a
bridge belongs to), ``ground`` (the host's side, namespaces), ``rules`` (what packets may do), ``bridge`` and
``macvlan`` (the drivers: cables), ``switchboard`` (all networks, in the thread that may enter namespaces), ``ports``
(published ones), ``names``, ``resolver``, ``upstream`` and ``nameserver`` (who is called what, and who says so),
``capture`` with ``pcapng`` (what comes and goes), ``endpoint_pool`` and ``isolated`` (what lies ready), ``network``
(the room's door).

Example:
    >>> networks = Networks("1a2b3c4d")
    >>> await networks.start([])
    >>> endpoint = await networks.attach("my-container")
"""

from nbcontainers.networks.capture import Capture
from nbcontainers.networks.model import Endpoint, Lease, Network, Shaping, Subnet, Wish
from nbcontainers.networks.network import Networks
from nbcontainers.networks.ports import PortWish
from nbcontainers.networks.rules import Forwarding

__all__ = ["Capture", "Endpoint", "Forwarding", "Lease", "Network", "Networks", "PortWish", "Shaping", "Subnet", "Wish"]
