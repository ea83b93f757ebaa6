"""Kernel parameters of a container: those that each namespace has for itself, and no others.

Source: OCI runtime-spec, config-linux.md § Sysctl; Docker documentation, "docker container run" § Configure namespaced
kernel parameters; runc, libcontainer/configs/validate/validator.go.
"""

import re

from nbcontainers import errors
from nbcontainers.engine.configuration import HostConfig

_OF_IPC = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
_NAME = re.compile(r"[a-zA-Z0-9_-]+([./][a-zA-Z0-9_-]+)*")


def check(host_config: HostConfig) -> None:
    """Refuse parameters that are the host's.

    Raises:
        errors.InvalidArgument: With the name, and whose it is.
    """
    for name in host_config.sysctls:
        dotted = name.replace("/", ".")
        problem = "is not in a separate kernel namespace"
        if not _NAME.fullmatch(name):
            problem = "is no name of a parameter: such as net.ipv4.ip_forward is wanted"
        elif dotted in _OF_IPC or dotted.startswith("fs.mqueue."):
            problem = "is not allowed in the hosts ipc namespace" if host_config.namespaces.ipc == "host" else ""
        elif dotted.startswith("net."):
            problem = "not allowed in host network namespace" if host_config.network_mode == "host" else ""
        elif host_config.namespaces.uts != "host" and dotted == "kernel.domainname":
            problem = ""
        elif host_config.namespaces.uts != "host" and dotted == "kernel.hostname":
            problem = 'is not allowed as it conflicts with the OCI "hostname" field'
        if problem:
            raise errors.InvalidArgument(f'sysctl "{name}" {problem}')
