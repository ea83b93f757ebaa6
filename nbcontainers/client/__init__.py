"""What every face shares: finding or starting an engine, and its answers as DataFrames and plots.

Only the Docker Engine API enters here, through docker-py, so everything works against this engine, Docker and Podman
alike; what only this engine has (``/nbcontainers/v1``) is asked for where it is there.

Reading order: ``connect``, ``attached`` (streams), ``extension``, ``listing``, ``logins``, ``tables``,
``log_tables``, ``history``, ``plots``, ``shaping``, ``capturing`` (with ``pcapng``, ``decoding`` and ``dns``),
``topology`` (with ``drawing``), ``doctor``; volumes' files: ``volume_access``, ``volumes``; what images hold:
``contents`` (``saved``), ``stacking``, ``comparing``, ``image``, ``explorer``.

Example:
    >>> client = connect()
    >>> tables.containers(client, all=True)
"""

from nbcontainers.client.connect import Client, connect
from nbcontainers.client.doctor import doctor

__all__ = ["Client", "connect", "doctor"]
