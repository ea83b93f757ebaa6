import asyncio

from nbcontainers.engine.events import KEPT_EVENTS, Events
from nbcontainers.engine.model import Event


async def test_a_subscriber_sees_kept_events_then_new_ones() -> None:
    events = Events()
    events.emit("container", "create", "one", {"name": "x"})
    since = events.kept()[0].time_ns
    events.emit("container", "start", "one", {})
    seen: list[Event] = []
    with events.subscribe(since) as subscription:
        events.emit("container", "die", "one", {"exitCode": "0"})
        async for event in subscription:
            seen.append(event)
            if event.action == "die":
                break
    assert [event.action for event in seen] == ["create", "start", "die"]
    assert seen[0].attributes == {"name": "x"}
    assert sorted({event.time_ns for event in seen}) == [event.time_ns for event in seen]


async def test_a_waiting_subscriber_is_woken() -> None:
    events = Events()
    with events.subscribe() as subscription:
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
        events.emit("image", "tag", "sha256:1", {})
        assert (await waiting).action == "tag"


async def test_a_closed_subscription_holds_nothing() -> None:
    events = Events()
    with events.subscribe():
        pass
    assert not events._listeners


def test_kept_events_are_bounded_and_cut_by_time() -> None:
    events = Events()
    for number in range(KEPT_EVENTS + 10):
        events.emit("container", str(number), "id", {})
    kept = events.kept()
    assert len(kept) == KEPT_EVENTS
    assert kept[-1].action == str(KEPT_EVENTS + 9)
    assert [e.action for e in events.kept(kept[5].time_ns, kept[7].time_ns)] == [kept[5].action, kept[6].action]
