"""What can be configured, in ``jupyter_server_config.py`` or on the command line."""

from traitlets import Bool, Unicode
from traitlets.config import Configurable


class ContainersServer(Configurable):
    """The engine that the panel shows."""

    engine = Unicode(
        "",
        help="The engine's address: unix:///path, tcp://host:port, or 'docker' for the daemon of Docker's current "
        "context. Empty: $NBCONTAINERS_HOST, or this user's own engine.",
    ).tag(config=True)

    start_engine = Bool(
        False,
        help="Start this user's own engine when the panel is looked at and none runs. Otherwise it is started by the "
        "panel's button, and by notebooks that load nbcontainers.",
    ).tag(config=True)
