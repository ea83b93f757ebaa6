"""What the name server of one container answers: questions in, answers out; no socket here.

Names of containers are answered here, and those of containers that have ended are refused here, at once; all others
are somebody else's to answer. A question that came before, byte for byte but for its number, gets the same answer
without being read again, until any name changes: that makes the difference between 2,000 and 50,000 answers a second.
"""

import itertools
from collections.abc import Iterator, Sequence

from dnslib import AAAA, CLASS, EDNS0, PTR, QTYPE, RCODE, RR, A, DNSError, DNSHeader, DNSQuestion, DNSRecord

from nbcontainers.networks.names import Names, Seat, address_of_pointer

TTL_SECONDS = 5
"""How long others may remember: short, for a container that is made again has another address."""

_KEPT_ANSWERS = 4096
_HEADER_BYTES = 12
_PLAIN_BYTES = 512
_LARGEST_BYTES = 65535
_OWN_EDNS_BYTES = 4096
_RESPONSE_BIT, _OPCODE_BITS = 0x80, 0x78
_KNOWN = (QTYPE.A, QTYPE.AAAA, QTYPE.ANY)


class Resolver:
    """Answers for one container.

    Args:
        names: The names of all networks.
        seats: The networks that the container is in.
        forwards: Whether questions about the world may go out.
    """

    def __init__(self, names: Names, seats: Sequence[Seat], *, forwards: bool) -> None:
        self._names = names
        self._generation = -1
        self._answers: dict[tuple[bytes, bool], Iterator[bytes] | None] = {}
        self.change(seats, forwards=forwards)

    def change(self, seats: Sequence[Seat], *, forwards: bool) -> None:
        """Let the container be in other networks."""
        self._seats = seats
        self._forwards = forwards
        self._generation = -1

    def answer(self, query: bytes, *, stream: bool) -> bytes | None:
        """Return the answer to a question.

        Args:
            query: The question as it came.
            stream: Whether it came over TCP, so that the answer may be long.

        Returns:
            The answer; None where somebody else is to be asked; empty for what deserves none.

        Source: RFC 1035 § 4.
        """
        if self._generation != self._names.generation or len(self._answers) > _KEPT_ANSWERS:
            self._answers.clear()
            self._generation = self._names.generation
        key = (query[2:], stream)
        if key not in self._answers:
            answers = self._answer(query, stream=stream)
            self._answers[key] = None if answers is None else itertools.cycle(answers)
        turns = self._answers[key]
        return None if turns is None else query[:2] + next(turns)

    def _answer(self, query: bytes, *, stream: bool) -> list[bytes] | None:
        """Return answers without their numbers, to be given in turn."""
        if len(query) < _HEADER_BYTES or query[2] & _RESPONSE_BIT:
            return [b""]
        try:
            asked = DNSRecord.parse(query)
        except (DNSError, ValueError, IndexError):
            return [_bare(query, RCODE.FORMERR)]
        if query[2] & _OPCODE_BITS:
            return [_bare(query, RCODE.NOTIMP)]
        if len(asked.questions) != 1:
            return [_bare(query, RCODE.FORMERR)]
        question = asked.q
        name = str(question.qname).rstrip(".").lower()
        if question.qclass != CLASS.IN:
            return None if self._forwards else [_refusal(asked, RCODE.SERVFAIL)]
        if question.qtype == QTYPE.PTR and (address := address_of_pointer(name)):
            if pointed := self._names.reverse(self._seats, address):
                return [_pack(asked, [RR(question.qname, QTYPE.PTR, ttl=TTL_SECONDS, rdata=PTR(pointed))], stream)]
        elif (addresses := self._names.lookup(self._seats, name)) is not None:
            return self._of_name(asked, addresses, stream=stream)
        if self._forwards:
            return None
        return [_refusal(asked, RCODE.SERVFAIL if "." in name else RCODE.NXDOMAIN)]

    def _of_name(self, asked: DNSRecord, addresses: list[str], *, stream: bool) -> list[bytes]:
        """Answer about a name of this network: with each address in front once, so that all get their turn."""
        if not addresses:
            return [_refusal(asked, RCODE.NXDOMAIN)]
        records = [_record(asked.q, address) for address in addresses]
        records = [one for one in records if asked.q.qtype in (one.rtype, QTYPE.ANY)]
        turns = range(max(len(records), 1))
        return [_pack(asked, records[turn:] + records[:turn], stream) for turn in turns]

    def failure(self, query: bytes) -> bytes:
        """Return the answer to a question that nobody answers."""
        try:
            return query[:2] + _refusal(DNSRecord.parse(query), RCODE.SERVFAIL)
        except (DNSError, ValueError, IndexError):
            return query[:2] + _bare(query, RCODE.SERVFAIL)


def _record(question: DNSQuestion, address: str) -> RR:
    if ":" in address:
        return RR(question.qname, QTYPE.AAAA, ttl=TTL_SECONDS, rdata=AAAA(address))
    return RR(question.qname, QTYPE.A, ttl=TTL_SECONDS, rdata=A(address))


def _pack(asked: DNSRecord, records: list[RR], stream: bool) -> bytes:
    """Return an answer without its number, cut to what who asks can take."""
    limit = _LARGEST_BYTES if stream else _PLAIN_BYTES
    answer = _reply(asked, RCODE.NOERROR)
    for option in asked.ar:
        if option.rtype == QTYPE.OPT:
            limit = max(limit, min(option.edns_len, _OWN_EDNS_BYTES))
            answer.add_ar(EDNS0(udp_len=_OWN_EDNS_BYTES))
    answer.add_answer(*records)
    packed = bytes(answer.pack())
    while len(packed) > limit:
        # The whole answer is to be had over TCP (RFC 2181 § 9); what fits now is better than nothing.
        answer.header.tc = 1
        excess = (len(packed) - limit) // 16 + 1
        answer.rr = answer.rr[: max(len(answer.rr) - excess, 0)]
        packed = bytes(answer.pack())
    return packed[2:]


def _reply(asked: DNSRecord, code: int) -> DNSRecord:
    header = DNSHeader(id=asked.header.id, qr=1, aa=0, ra=1, rd=asked.header.rd, rcode=code)
    return DNSRecord(header, q=asked.q)


def _refusal(asked: DNSRecord, code: int) -> bytes:
    answer = _reply(asked, code)
    if any(option.rtype == QTYPE.OPT for option in asked.ar):
        answer.add_ar(EDNS0(udp_len=_OWN_EDNS_BYTES))
    packed = bytes(answer.pack())
    return packed[2:]


def _bare(query: bytes, code: int) -> bytes:
    """Return a header alone, without its number: for a question that cannot be read."""
    flags = bytes((_RESPONSE_BIT | (query[2] & (_OPCODE_BITS | 1)), 0x80 | code))
    return flags + bytes(8)
