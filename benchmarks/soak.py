"""Random operations by many clients while engine, launcher and shims are killed: nothing lost, nothing leaked.

Every client keeps a *ledger* of its own containers: what the engine has acknowledged, and what is unsure because the
engine was killed before it could answer. When the time is over, a last engine is compared with the ledgers: whoever
was acknowledged is there, with its output and exit code, and whoever was removed is not. Then everything is removed
and the machine must look as before.

``make soak SECONDS=300 SEED=7``; the seed is printed, so that a run can be had again, as far as threads allow.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import requests

from tests.busybox import root_file_system
from tests.engine_process import EngineProcess, leftovers
from tests.leaks import Watch

CLIENTS = 4
MOST_CONTAINERS = 6
GONE, NOT_SO = 404, (304, 409)
PATIENCE_SECONDS = 30
_SLEEPER = "trap 'exit 0' TERM; echo {token}; while true; do sleep 0.1; done"
_ENDER = "echo {token}; sleep 0.1; exit {code}"


@dataclass(slots=True)
class Made:
    """A container in a ledger; ``there`` is None while nobody knows."""

    name: str
    code: int
    id: str = ""
    there: bool | None = None
    started: bool | None = False
    """Once, and never again: then there is one line of output."""


class Soak:
    """One engine, its clients, and who kills.

    Args:
        seconds: How long it goes.
        seed: Of the random choices.
    """

    def __init__(self, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.directory = Path(tempfile.mkdtemp(prefix="nbs-", dir="/tmp"))
        self.engine = EngineProcess(self.directory)
        self._end = 0.0
        self._up = threading.Event()
        self._ledgers: list[dict[str, Made]] = [{} for _ in range(CLIENTS)]
        self._victims: set[str] = set()

    def run(self) -> list[str]:
        """Do it all and return what is wrong, one line each: it should be nothing."""
        try:
            self._restart()
            self.engine.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
            self._end = time.monotonic() + self.seconds
            with ThreadPoolExecutor(CLIENTS + 1) as pool:
                work = [pool.submit(self._client, number) for number in range(CLIENTS)]
                work.append(pool.submit(self._killer))
                for one in work:
                    one.result()
            self.engine.kill()
            self._restart()
            wrong = self._compare()
            return wrong + self._remove_everything()
        finally:
            if self.engine.process is not None:
                self.engine.kill()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _restart(self) -> None:
        line = self.engine.start()
        assert line == "ready", line
        self._up.set()

    # Those who kill.

    def _killer(self) -> None:
        chance = random.Random(self.seed)
        while time.monotonic() < self._end:
            time.sleep(chance.uniform(0.1, 1.2))
            kill = chance.choice((self._kill_engine, self._kill_launcher, self._kill_shim, self._kill_prepared))
            if kill(chance):
                self.counts[kill.__name__.strip("_")] += 1

    def _kill_engine(self, _: random.Random) -> bool:
        self._up.clear()
        self.engine.kill()
        self._restart()
        return True

    def _kill_launcher(self, _: random.Random) -> bool:
        return any(_kill(launcher) for launcher in self._launchers())

    def _launchers(self) -> list[int]:
        assert self.engine.process is not None
        return [child for child in _children(self.engine.process.pid) if _name(child) == "nbc-launcher"]

    def _kill_prepared(self, chance: random.Random) -> bool:
        prepared = [shim for launcher in self._launchers() for shim in _children(launcher)]
        if not prepared:
            return False
        victim = chance.choice(prepared)
        # It may have got its container by now, and would get on with it while we look.
        if not _kill(victim, signal.SIGSTOP):
            return False
        while _state(victim) not in "TtZX":
            time.sleep(0.001)
        self._victims.update(_groups_of(victim))
        return _kill(victim)

    def _kill_shim(self, chance: random.Random) -> bool:
        running = self.engine.client.api.containers()
        if not running:
            return False
        victim = chance.choice(running)["Id"]
        with contextlib.suppress(docker.errors.APIError, OSError):
            pid = self.engine.client.api.inspect_container(victim)["State"]["Pid"]
            shim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if pid and _name(shim) == "nbc-shim":
                self._victims.add(victim)
                return _kill(shim)
        return False

    # Those who use the engine.

    def _client(self, number: int) -> None:
        chance = random.Random(self.seed * 100 + number)
        ledger = self._ledgers[number]
        acts = (self._create, self._create, self._start, self._start, self._stop, self._freeze, self._read, self._run)
        while time.monotonic() < self._end:
            act = self._remove if len(ledger) >= MOST_CONTAINERS else chance.choice((*acts, self._remove))
            self._up.wait(PATIENCE_SECONDS)
            try:
                with contextlib.closing(docker.DockerClient(base_url=self.engine.url, timeout=60)) as client:
                    act(client, ledger, chance)
                    self.counts[act.__name__.strip("_")] += 1
            except docker.errors.APIError as error:
                if error.response.status_code not in (GONE, *NOT_SO, 500):
                    raise
                reason = f": {error.explanation}"[:160] if error.response.status_code == 500 else ""
                self.counts[f"refused {error.response.status_code}{reason}"] += 1
            except (requests.exceptions.RequestException, docker.errors.DockerException, OSError):
                self.counts["unanswered"] += 1

    def _create(self, client: docker.DockerClient, ledger: dict[str, Made], chance: random.Random) -> None:
        code = chance.choice((0, 3, 7, -1))
        made = Made(f"soak-{self.seed}-{chance.getrandbits(48):012x}", code)
        made.there = None
        ledger[made.name] = made
        script = (_SLEEPER if code < 0 else _ENDER).format(token=made.name, code=code)
        network = chance.choice(("none", "bridge"))
        made.id = client.containers.create("busybox", ["sh", "-c", script], name=made.name, network_mode=network).id
        made.there = True

    def _pick(self, ledger: dict[str, Made], chance: random.Random) -> Made | None:
        known = [made for made in ledger.values() if made.there]
        return chance.choice(known) if known else None

    def _start(self, client: docker.DockerClient, ledger: dict[str, Made], chance: random.Random) -> None:
        made = self._pick(ledger, chance)
        if made is not None and made.started is False:
            made.started = None
            client.api.start(made.id)
            made.started = True

    def _stop(self, client: docker.DockerClient, ledger: dict[str, Made], chance: random.Random) -> None:
        if made := self._pick(ledger, chance):
            self._victims.add(made.id)  # its exit code is no longer its own
            if chance.random() < 0.5:
                client.api.stop(made.id, timeout=1)
            else:
                client.api.kill(made.id)

    def _freeze(self, client: docker.DockerClient, ledger: dict[str, Made], chance: random.Random) -> None:
        if made := self._pick(ledger, chance):
            client.api.pause(made.id)
            client.api.unpause(made.id)

    def _read(self, client: docker.DockerClient, ledger: dict[str, Made], chance: random.Random) -> None:
        if made := self._pick(ledger, chance):
            said = client.api.logs(made.id).decode()
            assert said in ("", f"{made.name}\n"), f"{made.name} says {said!r}"

    def _run(self, client: docker.DockerClient, ledger: dict[str, Made], chance: random.Random) -> None:
        token = f"soak-{self.seed}-{chance.getrandbits(48):012x}"
        said = client.containers.run("busybox", ["echo", token], remove=True, network_mode="none")
        assert said in (b"", f"{token}\n".encode()), f"{token} says {said!r}"

    def _remove(self, client: docker.DockerClient, ledger: dict[str, Made], chance: random.Random) -> None:
        if (made := self._pick(ledger, chance)) is None:
            for name in [name for name, unsure in ledger.items() if unsure.there is False]:
                del ledger[name]
            made = next(iter(ledger.values()), None)
        if made is not None:
            made.there = None
            with contextlib.suppress(docker.errors.NotFound):
                client.api.remove_container(made.id or made.name, force=True, v=True)
            del ledger[made.name]
            made.there = False

    # What must be so at the end.

    def _compare(self) -> list[str]:
        """Compare the engine with the ledgers."""
        wrong = []
        found = {one["Names"][0].lstrip("/"): one["Id"] for one in self.engine.client.api.containers(all=True)}
        for made in [made for ledger in self._ledgers for made in ledger.values() if made.there]:
            if found.get(made.name) != made.id:
                wrong.append(f"lost: {made}")
            elif made.started and made.id not in self._victims:
                wrong += self._compare_one(made)
        return wrong

    def _compare_one(self, made: Made) -> list[str]:
        """Check a container that was started once, and neither stopped nor robbed of its shim."""
        api, wrong = self.engine.client.api, []
        if api.inspect_container(made.id)["State"]["Paused"]:
            api.unpause(made.id)  # the engine was killed between the two words
        if made.code >= 0 and (code := api.wait(made.id, timeout=PATIENCE_SECONDS)["StatusCode"]) != made.code:
            wrong.append(f"exit code {code}: {made}: {api.inspect_container(made.id)['State']}")
        state = api.inspect_container(made.id)["State"]
        if made.code < 0 and (state["Status"] != "running" or not os.path.exists(f"/proc/{state['Pid']}")):
            wrong.append(f"does not run: {made}: {state}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (said := api.logs(made.id)) != f"{made.name}\n".encode() and time.monotonic() < deadline:
            time.sleep(0.05)
        return wrong if said == f"{made.name}\n".encode() else [*wrong, f"says {said!r}: {made}"]

    def _settle(self) -> None:
        """Wait until what was removed is gone: its directories, and with them what the engine holds of them."""
        self.engine.client.containers.run("busybox", "true", remove=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any((self.engine.root / "trash").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _remove_everything(self) -> list[str]:
        """Remove all, look at the engine's own descriptors, and end it."""
        self.engine.remove_everything()
        self._settle()
        before = self.engine.held()
        for _ in range(3):
            self.engine.client.containers.run("busybox", "true", remove=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (held := self.engine.held()) <= before and time.monotonic() < deadline:
            time.sleep(0.1)
        wrong = [f"the engine held {before}, and now {held}"] if not held <= before else []
        status = self.engine.stop()
        return wrong + [f"exit status {status}"] * bool(status) + leftovers(self.engine)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _groups_of(shim: int) -> set[str]:
    """Return what the control groups of a shim's child are called: after its container, once it has one."""
    with contextlib.suppress(OSError):
        lines = [Path(f"/proc/{child}/cgroup").read_text().splitlines() for child in _children(shim)]
        return {line.rpartition("/")[2] for of_child in lines for line in of_child}
    return set()


def _state(pid: int) -> str:
    """Return the letter of a process's state; X when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def soak(seconds: float, seed: int) -> tuple[list[str], Counter[str]]:
    """Run one soak and return what is wrong, and how often what was done."""
    watch = Watch()
    try:
        run = Soak(seconds, seed)
        wrong = run.run()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (left := watch.leaks()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return wrong + left, run.counts
    finally:
        watch.close()


def main() -> None:
    """Run it from the command line; exit status 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description="Random operations and kills; nothing may be lost or leaked.")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    options = parser.parse_args()
    print(f"soak of {options.seconds:g} s, seed {options.seed}")
    wrong, counts = soak(options.seconds, options.seed)
    for what, count in sorted(counts.items()):
        print(f"{count:7}  {what}")
    print("\n".join(wrong) or "nothing lost, nothing leaked")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
