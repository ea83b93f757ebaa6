"""Credentials for registries, where docker's own CLI keeps them: its config.json, or the helper that this names.

What is read comes from docker-py; it writes nothing itself. A file is replaced whole, for its owner alone.

Source: docker login § Credential stores, § Credential helpers.
"""

import base64
import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.auth
import docker.credentials
import docker.credentials.errors

from nbcontainers.errors import InvalidArgument, Unavailable

_DOCKER_HUB = ("", docker.auth.INDEX_NAME, "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = docker.auth.TOKEN_USERNAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept for a registry; ``token`` says whether the secret is an identity token, not a password."""

    username: str
    secret: str
    token: bool


def server_name(text: str) -> str:
    """Return what credentials for a registry are kept under: its host, or Docker Hub's old address."""
    host = docker.auth.convert_to_hostname(text)
    return str(docker.auth.INDEX_URL) if host in _DOCKER_HUB else str(host)


class Logins:
    """The credentials of this user.

    Args:
        directory: Where ``config.json`` is; by default ``$DOCKER_CONFIG``, or ``~/.docker``.
    """

    def __init__(self, directory: str | None = None) -> None:
        chosen = directory or os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        # Somebody may keep the file elsewhere, and have a link here: the link stays.
        self.path = Path(os.path.realpath(os.path.join(chosen, "config.json")))

    def find(self, server: str) -> Kept | None:
        """Return what is kept for a server, None for nothing.

        Raises:
            Unavailable: A helper does not work.
        """
        config = self._read()
        if helper := _helper(config, server):
            with _explained(helper), contextlib.suppress(docker.credentials.errors.CredentialsNotFound):
                found = docker.credentials.Store(helper).get(server)
                is_token = found["Username"] == _TOKEN_USER
                return Kept(username=found["Username"], secret=found["Secret"], token=is_token)
            return None
        entry = config.get("auths", {}).get(server, {})
        if entry.get("identitytoken"):
            return Kept(username=_TOKEN_USER, secret=entry["identitytoken"], token=True)
        if not entry.get("auth"):
            return None
        username, password = docker.auth.decode_auth(entry["auth"])
        return Kept(username=username, secret=password.rstrip("\0"), token=False)

    def store(self, server: str, username: str, password: str, identity_token: str) -> str:
        """Keep credentials, and return the file that has them in plain text; empty where a helper keeps them.

        Raises:
            Unavailable: The helper does not work, or the file cannot be written.
        """
        config = self._read()
        entries = config.setdefault("auths", {})
        if helper := _helper(config, server):
            with _explained(helper):
                secret = (_TOKEN_USER, identity_token) if identity_token else (username, password)
                docker.credentials.Store(helper).store(server, *secret)
            entries[server] = {}
            self._write(config)
            return ""
        entries[server] = {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}
        if identity_token:
            entries[server] = {
                "auth": base64.b64encode(f"{username}:".encode()).decode(),
                "identitytoken": identity_token,
            }
        self._write(config)
        return str(self.path)

    def erase(self, server: str) -> bool:
        """Keep nothing for a server any more; say whether anything was kept.

        Raises:
            Unavailable: The helper does not work, or the file cannot be written.
        """
        config = self._read()
        kept = server in config.get("auths", {})
        if helper := _helper(config, server):
            with _explained(helper), contextlib.suppress(docker.credentials.errors.CredentialsNotFound):
                docker.credentials.Store(helper).erase(server)
                kept = True
        if config.get("auths", {}).pop(server, None) is not None:
            self._write(config)
        return kept

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"'{self.path}' cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise InvalidArgument(f"'{self.path}' cannot be read: it is no JSON object")
        return found

    def _write(self, config: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes it for its owner alone, before there is a password in it.
            fd, partial = tempfile.mkstemp(prefix=".config-", dir=self.path.parent)
            try:
                with os.fdopen(fd, "w") as file:
                    json.dump(config, file, indent="\t")
                    file.flush()
                    os.fsync(fd)
                os.replace(partial, self.path)
            except BaseException:
                os.unlink(partial)
                raise
        except OSError as error:
            raise Unavailable("docker's configuration", str(error), "set DOCKER_CONFIG to a folder of yours") from error


def _helper(config: dict[str, Any], server: str) -> str:
    return str(config.get("credHelpers", {}).get(server) or config.get("credsStore") or "")


@contextlib.contextmanager
def _explained(helper: str) -> Any:
    """Say which helper has failed, where one has."""
    try:
        yield
    except docker.credentials.errors.CredentialsNotFound:
        raise
    except docker.credentials.errors.StoreError as error:
        program = f"docker-credential-{helper}"
        raise Unavailable(f"the credential helper '{program}'", str(error), "see credsStore in config.json") from error
