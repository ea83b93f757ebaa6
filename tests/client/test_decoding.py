"""What packets say, against packets written by hand after the standards, and against nonsense."""

import random

import pytest
from dnslib import RR, A, DNSHeader, DNSQuestion, DNSRecord

from nbcontainers.client import dns
from nbcontainers.client.decoding import decode

ETHERNET = "0242ac1200030242ac120002"
IPV4 = "4500001c00004000401100000a0000020a000003"
SYN = "9c40005000000001000000005002ffff00000000"
IPV6_HEAD, IPV6_ENDS = "60000000001c", "40fd00" + "0" * 26 + "02fd00" + "0" * 26 + "03"


def said(text: str) -> tuple[object, ...]:
    found = decode(bytes.fromhex(text))
    return (found.proto, found.src, found.src_port, found.dst, found.dst_port, found.flags, found.info)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (
            ETHERNET + "080600010800060400010242ac120002ac120002000000000000ac120003",
            ("ARP", "172.18.0.2", None, "172.18.0.3", None, "", "who has 172.18.0.3? tell 172.18.0.2"),
        ),
        (
            ETHERNET + "080600010800060400020242ac120002ac1200020242ac120003ac120003",
            ("ARP", "172.18.0.2", None, "172.18.0.3", None, "", "172.18.0.2 is at 02:42:ac:12:00:02"),
        ),
        (
            ETHERNET + "0800" + IPV4 + "04d2000900080000",
            ("UDP", "10.0.0.2", 1234, "10.0.0.3", 9, "", ""),
        ),
        (
            ETHERNET + "810000010800" + IPV4.replace("4011", "4006") + SYN,
            ("TCP", "10.0.0.2", 40000, "10.0.0.3", 80, "SYN", ""),
        ),
        (
            ETHERNET
            + "0800"
            + IPV4.replace("4011", "4006")
            + SYN.replace("5002", "5018")
            + b"GET / HTTP/1.1\r\n".hex(),
            ("TCP", "10.0.0.2", 40000, "10.0.0.3", 80, "PSH ACK", "GET / HTTP/1.1"),
        ),
        (
            ETHERNET + "0800" + IPV4.replace("4011", "4001") + "0800000000000000",
            ("ICMP", "10.0.0.2", None, "10.0.0.3", None, "", "echo request"),
        ),
        (
            ETHERNET + "0800" + IPV4.replace("00004000", "00000010") + "ffffffffffffffff",
            ("UDP", "10.0.0.2", None, "10.0.0.3", None, "", "a later part of a packet"),
        ),
        (
            ETHERNET + "86dd" + IPV6_HEAD + "06" + IPV6_ENDS + SYN,
            ("TCP", "fd00::2", 40000, "fd00::3", 80, "SYN", ""),
        ),
        (
            ETHERNET + "86dd" + IPV6_HEAD + "00" + IPV6_ENDS + "3a00050200000000" + "8700000000000000",
            ("ICMPv6", "fd00::2", None, "fd00::3", None, "", "neighbour solicitation"),
        ),
        (
            ETHERNET + "86dd" + IPV6_HEAD + "2c" + IPV6_ENDS + "1100000900000001" + "ffffffffffffffff",
            ("UDP", "fd00::2", None, "fd00::3", None, "", "a later part of a packet"),
        ),
        (
            ETHERNET + "0800" + IPV4.replace("4011", "4084") + "1f9000500000000000000000",
            ("SCTP", "10.0.0.2", 8080, "10.0.0.3", 80, "", ""),
        ),
        (
            ETHERNET + "0800" + IPV4.replace("4011", "40fe"),
            ("IP 254", "10.0.0.2", None, "10.0.0.3", None, "", ""),
        ),
        (ETHERNET + "9999", ("0x9999", "02:42:ac:12:00:02", None, "02:42:ac:12:00:03", None, "", "")),
        (
            ETHERNET + "0800" + IPV4.replace("4011", "4006") + "9c40",
            ("TCP", "10.0.0.2", None, "10.0.0.3", None, "", "cut short"),
        ),
    ],
)
def test_packets(packet: str, expected: tuple[object, ...]) -> None:
    assert said(packet) == expected


def test_one_without_the_hardwares_header() -> None:
    found = decode(bytes.fromhex(IPV4 + "04d2000900080000"), is_ethernet=False)
    assert (found.proto, found.src, found.dst_port) == ("UDP", "10.0.0.2", 9)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (DNSRecord.question("web"), "A? web"),
        (DNSRecord.question("web", "AAAA"), "AAAA? web"),
        (DNSRecord.question("web").reply(), "A web: nothing"),
        (DNSRecord(DNSHeader(qr=1, rcode=3), q=DNSQuestion("nobody")), "A nobody: NXDOMAIN"),
        (DNSRecord(DNSHeader(qr=1), q=DNSQuestion("a.b"), a=RR("a.b", rdata=A("10.0.0.3"))), "A a.b: 10.0.0.3"),
        (DNSRecord.question("3.0.0.10.in-addr.arpa", "PTR"), "PTR? 3.0.0.10.in-addr.arpa"),
    ],
)
def test_names(message: DNSRecord, expected: str) -> None:
    assert dns.describe(bytes(message.pack())) == expected


def test_nonsense_is_told_as_far_as_it_goes() -> None:
    chance = random.Random(7)
    whole = [bytes.fromhex(ETHERNET + kind) + chance.randbytes(80) for kind in ("0800", "86dd", "0806")]
    whole += [bytes.fromhex(ETHERNET + "0800" + IPV4 + "0035003500000000") + chance.randbytes(200)]
    for packet in whole:
        for _ in range(300):
            position, length = chance.randrange(12, len(packet)), chance.randrange(len(packet))
            decode((packet[:position] + chance.randbytes(1) + packet[position + 1 :])[:length])
