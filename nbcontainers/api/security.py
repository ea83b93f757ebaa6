"""Security options of a create request: what they ask for, and what this machine cannot do of it.

Source: Docker documentation, "docker container run" § Optional security options; moby, daemon/daemon_unix.go.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from nbcontainers import errors
from nbcontainers.api.wire import requests as wire

_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_SELINUX, _APPARMOR = "/sys/fs/selinux/enforce", "/sys/module/apparmor/parameters/enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """What the options ask for.

    Args:
        no_new_privileges: No program may get more privileges than it was started with.
        seccomp_profile: Empty for the default filter, ``unconfined``, or a profile in Docker's JSON.
        apparmor_profile: As given.
        unmasked: No path of /proc or /sys is hidden or read-only.
        writable_cgroups: Whether the container may write to its control groups; None: if it is privileged.
    """

    no_new_privileges: bool = False
    seccomp_profile: str = ""
    apparmor_profile: str = ""
    unmasked: bool = False
    writable_cgroups: bool | None = None


def read(options: list[str]) -> SecurityOptions:
    """Read security options.

    Raises:
        errors.InvalidArgument: There is no such option.
        errors.Unsupported: This machine has AppArmor or SELinux, and a profile or label is asked for.
    """
    found: dict[str, str] = {}
    for option in options:
        if option in ("no-new-privileges", "writable-cgroups"):
            found[option] = "true"
            continue
        separator = "=" if "=" in option else ":"
        name, given, value = option.partition(separator)
        if not given and option != "disable":
            raise errors.InvalidArgument(f'invalid --security-opt 1: "{option}"')
        _check(option, name, value)
        found[name] = value
    return SecurityOptions(
        no_new_privileges=_TRUTHS[found.get("no-new-privileges", "false")],
        seccomp_profile="" if found.get("seccomp") == "builtin" else found.get("seccomp", ""),
        apparmor_profile=found.get("apparmor", ""),
        unmasked=found.get("systempaths") == "unconfined",
        writable_cgroups=_TRUTHS[found["writable-cgroups"]] if "writable-cgroups" in found else None,
    )


def implied(asked: wire.HostConfig) -> list[str]:
    """Return the options that Docker adds by itself: what is so near to the host gets no label of its own."""
    near = asked.privileged or "host" in (asked.ipc_mode, asked.pid_mode)
    given = any(option.split("=")[0] == "label" for option in asked.security_opt or ())
    return ["label=disable"] if near and not given else []


def _check(option: str, name: str, value: str) -> None:
    """Refuse an option that does not exist, and what only a machine with such a module could do.

    On a machine without AppArmor or SELinux their options have no effect, as in Docker.
    """
    if name in ("no-new-privileges", "writable-cgroups"):
        valid = value in _TRUTHS
    elif name == "systempaths":
        valid = value == "unconfined"
    else:
        valid = name in ("seccomp", "apparmor", "label", "disable")
    if not valid:
        raise errors.InvalidArgument(f'invalid --security-opt 2: "{option}"')
    if name == "apparmor" and value not in ("", "unconfined") and _says(_APPARMOR, "Y"):
        raise errors.Unsupported(f"AppArmor profiles are not supported: '{value}', use apparmor=unconfined")
    if name == "label" and value != "disable" and os.path.exists(_SELINUX):
        raise errors.Unsupported(f"SELinux labels are not supported: '{value}', use label=disable")


def _says(path: str, text: str) -> bool:
    try:
        return Path(path).read_text().strip() == text
    except OSError:
        return False
