"""A network as a picture: namespaces as frames, the bridge as a bar, cables that lead from one into the other.

It is one file of SVG, without scripts, and with a ground of its own, light or dark as the page or the system
wants it: so it is legible wherever it is shown.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbcontainers.client.topology import Member, Topology

_WIDTH = 960
_HOST_LEFT, _HOST_RIGHT = 8, 500
_PORTS_RIGHT = 268
_BRIDGE_LEFT, _BRIDGE_RIGHT = 300, 328
_CARD_LEFT, _CARD_RIGHT = 584, 952
_TOP, _FIRST_ROW, _FIRST_ROW_WITHOUT_CABLES = 56, 128, 92
_LINE, _PAD, _GAP, _PORT = 18, 12, 14, 22
_SMALL, _NORMAL, _LARGE = 11, 13, 18
_CHARACTER = {_SMALL: 6.7, _NORMAL: 7.9, _LARGE: 12.2}
"""How wide a character is at most, in pixels, by the size of the type."""
_SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_CABLE, _PUBLISHED, _LIMITED = "#3b82f6", "#16a34a", "#d97706"
_STYLE = (
    "<style>svg{color:#1f2328}.ground{fill:#fff}"
    "@media(prefers-color-scheme:dark){svg{color:#e6edf3}.ground{fill:#111418}}</style>"
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One container: where its card is, and the middle of it."""

    member: Member
    top: float
    height: float

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


def draw(network: Topology) -> str:
    """Return the picture."""
    first = _FIRST_ROW if _has_cables(network) else _FIRST_ROW_WITHOUT_CABLES
    rows = _rows(network.members, first)
    bottom = rows[-1].top + rows[-1].height if rows else first + 40
    height = bottom + _PAD + 12
    pieces = [*_heading(network), *_host(network, bottom)]
    for row in rows:
        pieces += [*_cable(network, row), *_card(network, row), *_published(row)]
    if not rows:
        pieces.append(_text(_CARD_LEFT, first + 24, "nobody is in it", dim=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" '
        f'height="{height:g}" role="img" font-family="{_SANS}" font-size="{_NORMAL}">'
        f"{_STYLE}<title>network {_escape(network.name)}</title>"
        f'<desc>{_escape(str(network))}</desc><rect class="ground" width="{_WIDTH}" height="{height:g}" rx="8"/>'
        f"{''.join(pieces)}</svg>"
    )


def _has_cables(network: Topology) -> bool:
    return network.driver not in ("host", "null")


def _rows(members: Iterable[Member], top: float) -> list[_Row]:
    rows: list[_Row] = []
    for member in members:
        lines = 3 + bool(member.ipv6_address) + bool(member.other_networks)
        height = max(lines * _LINE + _PAD, len(member.ports) * _PORT)
        rows.append(_Row(member, top, height))
        top += height + _GAP
    return rows


def _heading(network: Topology) -> Iterable[str]:
    name = _cut(network.name, 28)
    yield _text(_HOST_LEFT + 4, 30, name, size=_LARGE, bold=True)
    left = _HOST_LEFT + 4 + len(name) * _CHARACTER[_LARGE] + 14
    tags = [network.driver, *(["internal"] if network.internal else []), *([] if network.icc else ["no icc"])]
    for tag in tags:
        width = len(tag) * _CHARACTER[_SMALL] + 16
        yield _box(left, 16, width, 19, radius=9.5, stroke=_CABLE, fill=_CABLE, opacity=0.14)
        yield _text(left + width / 2, 29.5, tag, size=_SMALL, anchor="middle")
        left += width + 8
    yield _text(_CARD_RIGHT, 30, "   ".join(network.subnets), mono=True, anchor="end")


def _host(network: Topology, bottom: float) -> Iterable[str]:
    """Draw the host's network namespace, in it the bridge with its address, and the way out."""
    if network.driver == "null":
        return
    right = _WIDTH - 2 if network.driver == "host" else _HOST_RIGHT
    yield _box(_HOST_LEFT, _TOP, right - _HOST_LEFT, bottom + _PAD - _TOP, radius=12, opacity=0.04)
    yield _text(_HOST_LEFT + 14, _TOP + 21, "host", bold=True)
    yield _text(_HOST_LEFT + 56, _TOP + 21, f"way out: {network.way_out}", size=_SMALL, dim=True)
    if network.driver == "host":
        return
    middle = (_BRIDGE_LEFT + _BRIDGE_RIGHT) / 2
    yield _text(middle, _FIRST_ROW - 30, _cut(network.bridge or network.driver, 20), mono=True, anchor="middle")
    gateways = "" if network.driver != "bridge" else "  ".join(network.gateways)
    yield _text(middle, _FIRST_ROW - 14, _cut(gateways, 44), size=_SMALL, mono=True, anchor="middle", dim=True)
    top = _FIRST_ROW - 6
    yield _box(
        _BRIDGE_LEFT,
        top,
        _BRIDGE_RIGHT - _BRIDGE_LEFT,
        bottom + 4 - top,
        radius=6,
        stroke=_CABLE,
        fill=_CABLE,
        opacity=0.22,
    )


def _cable(network: Topology, row: _Row) -> Iterable[str]:
    member, y = row.member, row.middle
    if not _has_cables(network):
        return
    colour = _LIMITED if member.limits else _CABLE
    dashes = ' stroke-dasharray="7 4"' if member.limits else ""
    yield f'<path d="M{_BRIDGE_RIGHT} {y:g}H{_CARD_LEFT}" stroke="{colour}" stroke-width="2.5" fill="none"{dashes}/>'
    for x in (_BRIDGE_RIGHT, _CARD_LEFT):
        yield f'<rect x="{x - 5}" y="{y - 6:g}" width="10" height="12" rx="2.5" fill="{colour}"/>'
    if member.host_interface:
        yield _text(_BRIDGE_RIGHT + 14, y - 8, member.host_interface, size=_SMALL, mono=True)
    if member.limits:
        yield _text(_BRIDGE_RIGHT + 14, y + 18, f"⇄ {member.limits}", size=_SMALL, colour=_LIMITED, bold=True)


def _card(network: Topology, row: _Row) -> Iterable[str]:
    """Draw a container's network namespace with what is in it."""
    member, left = row.member, _CARD_LEFT + 16
    shares = network.driver == "host"
    yield _box(_CARD_LEFT, row.top, _CARD_RIGHT - _CARD_LEFT, row.height, radius=10, opacity=0.04, dashed=not shares)
    name = _cut(member.name, 30)
    y = row.top + _LINE + 3
    yield _text(left, y, name, bold=True)
    room = int((_CARD_RIGHT - left - 16 - len(name) * _CHARACTER[_NORMAL]) / _CHARACTER[_SMALL]) - 2
    yield _text(_CARD_RIGHT - 14, y, _cut(member.image, max(room, 1)), size=_SMALL, anchor="end", dim=True)
    y += _LINE
    if shares:
        yield _text(left, y, "in the host's network namespace", dim=True)
        return
    addresses = [address for address in (member.ipv4_address, member.ipv6_address) if address]
    for number, address in enumerate(addresses or ["only lo"]):
        interface = member.interface or ("eth" if network.driver == "bridge" else "")
        yield _text(left, y, "" if number else interface, size=_SMALL, mono=True, colour=_CABLE, bold=True)
        yield _text(left + (46 if interface else 0), y, address, mono=True, dim=not addresses)
        y += _LINE
    yield _text(left + 46, y, member.mac_address, size=_SMALL, mono=True, dim=True)
    if member.namespace:
        yield _text(_CARD_RIGHT - 14, y, f"netns {member.namespace}", size=_SMALL, mono=True, anchor="end", dim=True)
    if member.other_networks:
        others = _cut(f"also in {', '.join(member.other_networks)}", 50)
        yield _text(left, y + _LINE, others, size=_SMALL, dim=True)


def _published(row: _Row) -> Iterable[str]:
    """Draw the ports of the host that lead to a container."""
    ports = row.member.ports
    for number, port in enumerate(ports):
        y = row.middle + (number - (len(ports) - 1) / 2) * _PORT
        text = _cut(port.replace("→", " → "), 36)
        width = len(text) * _CHARACTER[_SMALL] + 18
        yield _box(_PORTS_RIGHT - width, y - 9, width, 18, radius=9, stroke=_PUBLISHED, fill=_PUBLISHED, opacity=0.14)
        yield _text(_PORTS_RIGHT - width / 2, y + 4, text, size=_SMALL, mono=True, anchor="middle")
        yield f'<path d="M{_PORTS_RIGHT} {y:g}H{_BRIDGE_LEFT - 7}" stroke="{_PUBLISHED}" stroke-width="2" fill="none"/>'
        x = _BRIDGE_LEFT - 9
        yield f'<path d="M{x} {y - 5:g}L{x + 9} {y:g}L{x} {y + 5:g}Z" fill="{_PUBLISHED}"/>'


def _box(  # noqa: PLR0913  attributes of SVG
    left: float,
    top: float,
    width: float,
    height: float,
    *,
    radius: float,
    stroke: str = "currentColor",
    fill: str = "currentColor",
    opacity: float,
    dashed: bool = False,
) -> str:
    edge = "0.45" if stroke == "currentColor" else "0.9"
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}" '
        f'fill-opacity="{opacity}" stroke="{stroke}" stroke-opacity="{edge}"{dashes}/>'
    )


def _text(  # noqa: PLR0913  attributes of SVG
    x: float,
    y: float,
    text: str,
    *,
    size: int = _NORMAL,
    bold: bool = False,
    mono: bool = False,
    dim: bool = False,
    anchor: str = "start",
    colour: str = "currentColor",
) -> str:
    if not text:
        return ""
    family = f' font-family="{_MONO}"' if mono else ""
    smaller = size - 1 if mono and size == _NORMAL else size
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{smaller}" fill="{colour}" fill-opacity="{0.65 if dim else 1}" '
        f'text-anchor="{anchor}"{weight}{family}>{_escape(text)}</text>'
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _escape(text: str) -> str:
    return html.escape(text)
