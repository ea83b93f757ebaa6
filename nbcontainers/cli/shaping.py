"""``network limit``: how fast, how late and how surely a container's packets go."""

import re
from typing import Any

import click

from nbcontainers.cli.face import Face
from nbcontainers.cli.networks import network
from nbcontainers.cli.tree import pass_face
from nbcontainers.cli.values import duration_ns
from nbcontainers.client import shaping

_RATE = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)bit(?:/s)?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_LOSS = re.compile(r"(\d+(?:\.\d+)?)%?")


@network.command()
@click.option("--rate", default=None, help="How fast, each way: 512kbit, 10mbit, 1gbit.")
@click.option("--delay", default=None, help="How much later each packet arrives: 100ms.")
@click.option("--loss", default=None, help="How many of a hundred packets are lost: 1%.")
@click.option("--off", is_flag=True, help="No limit any more.")
@click.option("--network", "name", default="", help="Which network, where the container is in several.")
@click.argument("container")
@pass_face
def limit(  # noqa: PLR0913  one for each option
    face: Face, *, container: str, rate: str | None, delay: str | None, loss: str | None, off: bool, name: str
) -> Any:
    """Limit a container's link, both ways; without options, tell how it is limited."""
    changes: dict[str, float] = dict(shaping.NOTHING) if off else {}
    if off and (rate or delay or loss):
        raise click.UsageError("--off goes with no other limit")
    if rate is not None:
        changes["rate_bits_per_second"] = _rate(rate)
    if delay is not None:
        changes["delay_usec"] = duration_ns(delay, "--delay") // 1000
    if loss is not None:
        changes["loss_percent"] = _loss(loss)
    if not changes:
        return shaping.shown(face.client, container)
    return shaping.change(face.client, container, network=name, **changes)


def _rate(text: str) -> int:
    found = _RATE.fullmatch(text)
    rate = round(float(found[1]) * _FACTORS[found[2].lower()]) if found else 0
    if not rate:
        raise click.UsageError(
            f"invalid value '{text}' for --rate: bits per second are wanted, such as 512kbit or 1mbit"
        )
    return rate


def _loss(text: str) -> float:
    found = _LOSS.fullmatch(text)
    if found is None or float(found[1]) > 100:
        raise click.UsageError(f"invalid value '{text}' for --loss: a percentage is wanted, such as 1%")
    return float(found[1])
