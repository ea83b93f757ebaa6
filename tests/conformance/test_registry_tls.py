"""An image to a registry with a private authority's certificate and back, through a proxy that wants a password."""

from collections.abc import Callable
from pathlib import Path

import docker.errors
import pytest

from tests.busybox import root_file_system
from tests.engine_process import running_engine
from tests.images.registry.servers import running_registry
from tests.images.registry.tls import OWN_ADDRESS, Authority, ConnectProxy, own_host

pytestmark = [pytest.mark.root, pytest.mark.registry]


def test_an_engine_finds_certificates_and_proxies(
    need: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("busybox")
    authority = Authority("test authority")
    with (
        own_host(),
        running_registry(host=OWN_ADDRESS, tls=authority.issue(OWN_ADDRESS)) as registry,
        ConnectProxy("me", "secret") as proxy,
        monkeypatch.context() as environment,
    ):
        for name in ("https_proxy", "NO_PROXY", "no_proxy"):
            environment.delenv(name, raising=False)
        environment.setenv("HTTPS_PROXY", f"http://me:secret@{proxy.address}")
        with running_engine(["--registry-certificates", str(tmp_path)]) as engine:
            client, name = engine.client, f"{registry.address}/app"
            client.api.import_image_from_data(root_file_system(), repository=name, tag="1")
            words = "x509: certificate signed by unknown authority"
            assert words in list(client.api.push(name, "1", stream=True, decode=True))[-1]["error"]
            with pytest.raises(docker.errors.APIError, match=words):
                client.images.pull(f"{name}:2")
            authority.trusted_in(tmp_path, registry.address)
            assert "aux" in list(client.api.push(name, "1", stream=True, decode=True))[-1]
            pushed = client.images.get(f"{name}:1").id
            client.images.remove(f"{name}:1")
            assert client.images.pull(f"{name}:1").id == pushed
            assert set(proxy.tunnels) == {registry.address}
            assert client.info()["HttpsProxy"] == f"http://xxxxx:xxxxx@{proxy.address}"
