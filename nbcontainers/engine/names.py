"""Names and ids of containers: what is valid, and what one gets who does not choose."""

import re
import secrets
from collections.abc import Container as Holding

from nbcontainers import errors

_VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_QUALITIES = (
    "airy amber bold brave bright brisk calm candid clear clever cosy deft eager fair fleet fond gentle glad golden "
    "hardy hasty keen kind lively lucid lunar merry mild modest neat nimble noble patient plucky polite proud quick "
    "quiet rapid ready solar steady stout sunny swift tidy tranquil vivid warm wise witty"
).split()
_CARRIERS = (
    "barge barrel basket bottle bowl bucket caddy canister carafe cart casket chest cistern coffer cooler crate "
    "creel cruet decanter drum dory ewer ferry flagon flask freighter galleon hamper hopper jar jug keg ketch kist "
    "lighter mug pannier pitcher pouch punnet purse satchel sloop tanker trunk tub urn vat vessel vial wagon"
).split()


def new_id() -> str:
    """Return a fresh container id: 64 hexadecimal digits."""
    return secrets.token_hex(32)


def new_name(taken: Holding[str]) -> str:
    """Return a name that is not ``taken``: a quality and something that holds things."""
    for _ in range(8):
        name = f"{secrets.choice(_QUALITIES)}_{secrets.choice(_CARRIERS)}"
        if name not in taken:
            return name
    return f"{name}_{secrets.token_hex(4)}"


def check_name(name: str) -> str:
    """Return a container's name without its leading slash.

    Raises:
        errors.InvalidArgument: The name has other characters than Docker allows.
    """
    bare = name.removeprefix("/")
    if not _VALID.fullmatch(bare):
        raise errors.InvalidArgument(
            f"invalid container name '{name}', only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, two characters at least"
        )
    return bare
