"""Volumes: directories that outlive the containers that use them.

A volume is a directory with ``_data`` (the files) and ``volume.json`` (its labels), made whole by a rename. Volumes
know nothing of containers: who uses one is the engine's to know.

Example:
    >>> volumes = Volumes(Path("/var/lib/nbcontainers/volumes"))
    >>> volumes.create("database", labels={}, driver_opts={}).mountpoint
"""

from nbcontainers.volumes.store import Draft, Volume, Volumes

__all__ = ["Draft", "Volume", "Volumes"]
