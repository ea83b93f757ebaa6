"""Docker's options that this engine has no use for: each is refused by its name, with the reason, or changes nothing.

They stand in no help and no completion. What changes nothing is what happens here anyway.
"""

from typing import Any

import click

_WINDOWS = "it is for containers of Windows"
_LIMIT_OF_BUILD = "a build's steps have no such limit here: --memory is the one there is"
_CHECKPOINTS = "this engine makes no checkpoints of processes"
_SWARM = "it belongs to a swarm, and this engine is one machine's"
_PLATFORM = "an image is of one platform here: choose it when you pull or build"
_TABLE = "what is found is a DataFrame, with everything in it"
_CREATION = {
    "--attach,-a": "all output is shown: redirect what you do not want, and take -i for an input",
    "--cpu-count": _WINDOWS,
    "--cpu-percent": _WINDOWS,
    "--gpus": "this engine sets no GPUs up: give their device files with --device",
    "--io-maxbandwidth": _WINDOWS,
    "--io-maxiops": _WINDOWS,
    "--kernel-memory": "the kernel has no limit of its own for that any more: --memory counts it",
    "--storage-opt": "a container's root has no size of its own: take a volume with a size",
    "--use-api-socket/": "mount the engine's socket with --volume",
}
REFUSED: dict[str, dict[str, str]] = {
    "run": _CREATION,
    "create": _CREATION,
    "update": dict.fromkeys(
        ("--cpu-rt-period", "--cpu-rt-runtime"), "it is given when a container is created, and stays"
    ),
    "start": {"--checkpoint": _CHECKPOINTS, "--checkpoint-dir": _CHECKPOINTS},
    "build": {
        **dict.fromkeys(("--cpu-period", "--cpu-quota", "--cpu-shares,-c", "--cpuset-cpus"), _LIMIT_OF_BUILD),
        **dict.fromkeys(("--cpuset-mems", "--memory-swap", "--ulimit", "--cgroup-parent"), _LIMIT_OF_BUILD),
        "--isolation": _WINDOWS,
        "--security-opt": "a build's steps run with the default profile",
        "--squash/": "layers stay apart, so that others share them: copy the files into a stage 'FROM scratch'",
    },
    "images": {"--tree/": _PLATFORM},
    **{path: {"--platform": _PLATFORM} for path in ("history", "load", "push", "rmi", "save", "image inspect")},
    "search": {"--format": _TABLE, "--no-trunc/": _TABLE},
    "context ls": {"--format": _TABLE, "--quiet,-q/": _TABLE},
    "network create": {
        "--config-from": _SWARM,
        "--config-only/": _SWARM,
        "--ingress/": _SWARM,
        "--ipam-driver": "addresses are given by the engine itself",
        "--ipam-opt": "addresses are given by the engine itself, which has no options",
        "--scope": _SWARM,
    },
    "network connect": {"--gw-priority": "the way out is through the first network, by name, that has one"},
    "network inspect": {"--verbose,-v/": _SWARM},
    "volume create": dict.fromkeys(
        (
            *("--availability", "--group", "--limit-bytes", "--required-bytes", "--scope", "--secret", "--sharing"),
            *("--topology-preferred", "--topology-required", "--type"),
        ),
        _SWARM,
    ),
    "volume ls": {"--cluster/": _SWARM},
}
"""Command → option, with its short one after a comma, and a slash where it has no value → why it is refused."""

_NOT_TRUSTED = ("--disable-content-trust",)
AS_IT_IS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("run", "create", "pull", "push"), _NOT_TRUSTED),
    "build": (*_NOT_TRUSTED, "--compress", "--force-rm", "--rm"),
    "history": ("--human,-H",),
    "network create": ("--ipv4",),
}
"""Command → flags that ask for what is done anyway."""


def _refused(names: list[str], reason: str, *, is_flag: bool) -> click.Option:
    def refuse(context: click.Context, option: click.Parameter, value: object) -> None:
        if context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{names[0]} is not supported: {reason}", context)

    settings: dict[str, Any] = {"is_flag": True} if is_flag else {"multiple": True}
    return click.Option(names, hidden=True, expose_value=False, callback=refuse, **settings)


def give(tree: click.Group) -> None:
    """Give a whole tree of commands these options."""
    for path, refused in REFUSED.items():
        for option, reason in refused.items():
            names = option.removesuffix("/").split(",")
            _command(tree, path).params.append(_refused(names, reason, is_flag=option.endswith("/")))
    for path, flags in AS_IT_IS.items():
        for flag in flags:
            unneeded = click.Option(flag.split(","), is_flag=True, hidden=True, expose_value=False)
            _command(tree, path).params.append(unneeded)


def _command(tree: click.Group, path: str) -> click.Command:
    command: click.Command = tree
    for word in path.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command
