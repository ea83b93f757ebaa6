"""How much gets through a published port: iperf3 in a container, and on the host, at 127.0.0.1."""

import io
import json
import re
import shutil
import subprocess
import tarfile
import time
from typing import Any

from tests.busybox import root_file_system

SECONDS, TIMES = 1, 5
WAIT_SECONDS = 10
_PORT = "5201/tcp"
_LIBRARY = re.compile(r"(/\S+)")


def _image() -> bytes:
    """Return busybox with this machine's iperf3 and the libraries that it takes, as a tar archive."""
    program = shutil.which("iperf3")
    if program is None:
        raise FileNotFoundError("needs iperf3: apt install iperf3")
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    buffer = io.BytesIO(root_file_system())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for path in (program, *_LIBRARY.findall(needed)):
            with open(path, "rb") as file:
                member = tarfile.TarInfo(path.lstrip("/"))
                data = file.read()
                member.size, member.mode = len(data), 0o755
                tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def throughput(client: Any) -> float:
    """One connection to a container through 127.0.0.1, Gbit a second: the best of some, for others are busy, too."""
    client.api.import_image_from_data(_image(), repository="iperf3", tag="latest")
    command = [str(shutil.which("iperf3")), "-s"]
    container = client.containers.run("iperf3", command, detach=True, ports={_PORT: ("127.0.0.1", None)})
    try:
        container.reload()
        port = container.attrs["NetworkSettings"]["Ports"][_PORT][0]["HostPort"]
        return max(_measure(port) for _ in range(TIMES))
    finally:
        container.remove(force=True)


def _measure(port: str) -> float:
    command = ["iperf3", "-c", "127.0.0.1", "-p", port, "-t", str(SECONDS), "-J"]
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = json.loads(done.stdout)
        if "error" not in said:
            return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9
        if time.monotonic() > deadline:
            raise RuntimeError(f"iperf3: {said['error']}")
        time.sleep(0.1)
