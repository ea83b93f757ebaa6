"""Networks: how containers reach each other and the world.

The engine asks for an ``Endpoint`` and gets a network namespace that is ready to be entered; when the container has
ended it gives the endpoint back. What a network knows about containers is their id.

Reading order: ``addresses`` (who has which address), ``ownership`` (which engine a bridge belongs to), ``bridge``
(namespaces, cables, the bridge), ``network`` (the room's door).

Example:
    >>> networks = Networks("1a2b3c4d")
    >>> await networks.start([])
    >>> endpoint = await networks.attach("my-container")
"""

from nbcontainers.networks.addresses import Lease
from nbcontainers.networks.bridge import Endpoint
from nbcontainers.networks.network import Networks

__all__ = ["Endpoint", "Lease", "Networks"]
