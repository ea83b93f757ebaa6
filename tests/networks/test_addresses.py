"""Which subnet, and who has which address: without a kernel."""

import ipaddress

import pytest

from nbcontainers import errors
from nbcontainers.networks.addresses import DEFAULT_POOLS, Addresses, choose_subnet, mac_address


def test_the_first_pool_is_taken_when_nothing_is_in_the_way() -> None:
    assert choose_subnet([]) == DEFAULT_POOLS[0]


@pytest.mark.parametrize(
    ("used", "subnet"),
    [
        (["172.18.0.0/16"], "172.19.0.0/16"),
        (["172.18.5.0/24"], "172.19.0.0/16"),  # inside a pool
        (["172.18.0.1/16"], "172.19.0.0/16"),  # an address with its prefix
        (["172.18.255.255/32", "172.19.0.0/30"], "172.20.0.0/16"),
        (["172.16.0.0/12"], "192.168.96.0/24"),  # around all pools of one kind
        (["172.16.0.0/12", "192.168.96.0/20"], "192.168.112.0/24"),
        (["0.0.0.0/1", "128.0.0.0/1"], "172.18.0.0/16"),  # a VPN's default route
        (["10.0.0.0/8", "192.0.2.0/24"], "172.18.0.0/16"),
    ],
)
def test_what_the_host_uses_is_avoided(used: list[str], subnet: str) -> None:
    assert str(choose_subnet(used)) == subnet


def test_no_pool_is_left() -> None:
    with pytest.raises(errors.Unavailable, match="a subnet is not available"):
        choose_subnet(["172.16.0.0/12", "192.168.0.0/16"])


def test_addresses_are_given_in_turn_and_once() -> None:
    addresses = Addresses(ipaddress.IPv4Network("10.9.0.0/29"))
    assert addresses.gateway == "10.9.0.1"
    taken = [addresses.take() for _ in range(5)]
    assert taken == [f"10.9.0.{last}" for last in range(2, 7)]
    with pytest.raises(errors.Unavailable, match=r"all of 10\.9\.0\.0/29 are in use"):
        addresses.take()
    addresses.give_back("10.9.0.4")
    assert addresses.take() == "10.9.0.4"


def test_an_address_rests_before_somebody_else_has_it() -> None:
    addresses = Addresses(ipaddress.IPv4Network("10.9.0.0/29"))
    first = addresses.take()
    addresses.give_back(first)
    assert [addresses.take() for _ in range(5)][-1] == first


def test_reserved_addresses_are_not_given() -> None:
    addresses = Addresses(ipaddress.IPv4Network("10.9.0.0/29"))
    addresses.reserve("10.9.0.3")
    assert "10.9.0.3" not in [addresses.take() for _ in range(4)]


def test_no_two_addresses_have_one_hardware_address() -> None:
    assert mac_address("172.18.0.255") == "02:42:ac:12:00:ff"
    assert len({mac_address(str(address)) for address in ipaddress.IPv4Network("10.9.0.0/24")}) == 256
