"""Questions and answers, without a network."""

import time

import dnslib
import pytest

from nbcontainers.networks.names import Names, Seat, address_of_pointer
from nbcontainers.networks.resolver import Resolver

SEATS = [Seat(network_id="1", network_name="net", links={"shop": "web"}), Seat(network_id="2", network_name="other")]


@pytest.fixture
def names() -> Names:
    names = Names()
    names.enter("1", "a", ["web", "www"], ["10.0.0.2", "fd00::2"])
    names.enter("2", "a", ["web"], ["10.1.0.2", ""])
    names.enter("2", "b", ["db"], ["10.1.0.3", ""])
    names.enter("1", "c", ["gone"], ["", ""])
    return names


def ask(
    resolver: Resolver, name: str, kind: str = "A", *, edns: int = 0, stream: bool = False
) -> dnslib.DNSRecord | None:
    question = dnslib.DNSRecord.question(name, kind)
    if edns:
        question.add_ar(dnslib.EDNS0(udp_len=edns))
    answer = resolver.answer(bytes(question.pack()), stream=stream)
    return None if answer is None else dnslib.DNSRecord.parse(answer)


def test_names_stand_for_addresses(names: Names) -> None:
    assert names.lookup(SEATS, "web") == ["10.0.0.2", "fd00::2"]  # the first network that knows the name
    assert names.lookup(SEATS, "web.other") == ["10.1.0.2"]
    assert names.lookup(SEATS, "shop") == ["10.0.0.2", "fd00::2"]
    assert names.lookup(SEATS, "db") == ["10.1.0.3"]
    assert names.lookup(SEATS[:1], "db") is None
    assert names.lookup(SEATS, "gone") == []
    assert names.lookup(SEATS, "nobody") is None
    assert names.reverse(SEATS, "10.1.0.3") == "db.other"
    assert names.reverse(SEATS, "10.9.9.9") == ""
    names.leave("2", "b")
    assert names.lookup(SEATS, "db") is None


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("2.0.18.172.in-addr.arpa", "172.18.0.2"),
        ("0.18.172.in-addr.arpa", ""),
        ("x.0.18.172.in-addr.arpa", ""),
        (".".join("2" + "0" * 27 + "00df") + ".ip6.arpa", "fd00::2"),
        ("web", ""),
    ],
)
def test_pointers(name: str, address: str) -> None:
    assert address_of_pointer(name) == address


def test_what_is_not_ours_is_for_others(names: Names) -> None:
    resolver = Resolver(names, SEATS, forwards=True)
    assert ask(resolver, "example.org") is None
    assert ask(resolver, "nobody") is None
    closed = Resolver(names, SEATS, forwards=False)
    for name, code in (("example.org", "SERVFAIL"), ("nobody", "NXDOMAIN"), ("gone", "NXDOMAIN")):
        answer = ask(closed, name)
        assert answer is not None
        assert dnslib.RCODE.get(answer.header.rcode) == code


def test_an_answer_that_is_kept_is_as_good_as_new(names: Names) -> None:
    resolver = Resolver(names, SEATS, forwards=True)
    first, again = ask(resolver, "web"), ask(resolver, "web")
    assert first is not None
    assert again is not None
    assert first.header.id != again.header.id
    assert first.rr == again.rr
    names.enter("1", "a", ["web"], ["10.0.0.9", ""])
    changed = ask(resolver, "web")
    assert changed is not None
    assert str(changed.a.rdata) == "10.0.0.9"
    resolver.change(SEATS[1:], forwards=True)
    changed = ask(resolver, "web")
    assert changed is not None
    assert str(changed.a.rdata) == "10.1.0.2"


def test_long_answers_are_cut_to_what_who_asks_can_take(names: Names) -> None:
    for number in range(100):
        names.enter("1", f"many{number}", ["many"], [f"10.2.0.{number}", ""])
    resolver = Resolver(names, SEATS, forwards=True)
    sizes = {}
    for edns, stream in ((0, False), (1232, False), (4096, False), (0, True)):
        answer = ask(resolver, "many", edns=edns, stream=stream)
        assert answer is not None
        assert bool(answer.header.tc) == (len(answer.rr) < 100)
        assert stream or len(answer.pack()) <= max(edns, 512)
        assert bool(edns) == any(record.rtype == dnslib.QTYPE.OPT for record in answer.ar)
        sizes[edns, stream] = len(answer.rr)
    assert 20 < sizes[0, False] < sizes[1232, False] < sizes[4096, False] == sizes[0, True] == 100


@pytest.mark.parametrize("length", range(30))
def test_what_is_cut_off_anywhere_is_answered_or_dropped(names: Names, length: int) -> None:
    resolver = Resolver(names, SEATS, forwards=False)
    question = bytes(dnslib.DNSRecord.question("web.net").pack())
    answer = resolver.answer(question[:length], stream=False)
    assert answer is not None
    assert answer[:2] == question[:2][:length]
    assert len(answer) in (min(length, 2), 12) or length >= len(question)


def test_answers_are_many_a_second(names: Names) -> None:
    """Ten thousand a second are promised, over sockets; here it is the thinking alone."""
    resolver = Resolver(names, SEATS, forwards=True)
    query = bytes(dnslib.DNSRecord.question("web").pack())
    began, count = time.process_time(), 20_000
    for _ in range(count):
        resolver.answer(query, stream=False)
    assert count / (time.process_time() - began) > 50_000
