import asyncio
import os
import random

from nbcontainers.api import relay
from nbcontainers.api.relay import Relay


def _read_all(stream: Relay, sizes: random.Random) -> bytes:
    parts = []
    while part := stream.read(sizes.choice([-1, 1, 100, 1 << 20])):
        parts.append(part)
    assert stream.read() == b""  # and again
    return b"".join(parts)


async def test_what_is_put_is_read_in_pieces_of_any_size() -> None:
    chance = random.Random(3)
    chunks = [os.urandom(chance.choice([1, 10, 70_000, 3 << 20])) for _ in range(40)]
    stream = Relay()
    reading = asyncio.ensure_future(asyncio.to_thread(_read_all, stream, chance))
    for chunk in chunks:
        await stream.put(chunk)
    stream.end()
    assert await reading == b"".join(chunks)


async def test_who_sends_waits_for_room_and_not_for_a_reader_that_has_gone() -> None:
    stream = Relay()
    putting = asyncio.ensure_future(stream.put(bytes(relay._MOST_BYTES + 1)))
    await asyncio.sleep(0)
    assert not putting.done()
    assert len(await asyncio.to_thread(stream.read)) == relay._MOST_BYTES + 1
    await putting
    putting = asyncio.ensure_future(stream.put(bytes(relay._MOST_BYTES + 1)))
    await asyncio.sleep(0)
    await asyncio.to_thread(stream.close)
    await putting
    await stream.put(bytes(relay._MOST_BYTES + 1))
