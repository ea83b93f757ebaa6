"""Secrets of builds, on their way from the client to the build that is to use them: in memory only, and once."""

import asyncio
import os

from nbcontainers import errors

_SECRETS_SECONDS = 600.0


class BuildSecrets:
    """The secrets of builds that have not begun."""

    def __init__(self) -> None:
        self._secrets: dict[str, dict[str, bytes]] = {}

    def keep(self, secrets: dict[str, bytes]) -> str:
        """Keep secrets for one build, in memory only; returns the token that the build is to name."""
        token = os.urandom(16).hex()
        self._secrets[token] = secrets
        asyncio.get_running_loop().call_later(_SECRETS_SECONDS, self._secrets.pop, token, None)
        return token

    def take(self, token: str) -> dict[str, bytes]:
        """Return the secrets kept under a token, once.

        Raises:
            errors.NotFound: There are none.
        """
        secrets = self._secrets.pop(token, None)
        if secrets is None:
            raise errors.NotFound("the build's secrets are no longer kept: give them again")
        return secrets
