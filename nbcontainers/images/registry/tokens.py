"""Logging in: Basic, and Bearer tokens that a server gives for a scope and a time.

A token is kept for the one address, the one scope and the one user it was given for, until shortly before it ends, so
that thirty layers ask for it once. Credentials go to the registry they are for and to the token server that it names,
and not in plain text where the registry itself was asked over TLS.

Source: distribution spec, auth/token.md, auth/oauth.md; RFC 7617.
"""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import aiohttp
import msgspec
from yarl import URL

from nbcontainers import errors
from nbcontainers.images.registry import failures
from nbcontainers.images.registry.challenges import Challenge
from nbcontainers.images.registry.hosts import Endpoint
from nbcontainers.images.registry.model import Credentials

CLIENT_ID = "nbcontainers"
_DEFAULT_SECONDS = 60  # distribution spec, auth/token.md § Token Response Fields
_MARGIN_SECONDS = 10
_MOST_KEPT = 1000
_LONGEST_ANSWER = 1 << 20
Scopes = tuple[str, ...]
Send = Callable[..., Awaitable[aiohttp.ClientResponse]]


@dataclass(frozen=True, slots=True)
class Access:
    """Who wants what of an address.

    Args:
        endpoint: The address.
        credentials: Whose.
        scopes: What for, such as ``repository:team/app:pull``.
    """

    endpoint: Endpoint
    credentials: Credentials
    scopes: Scopes = ()


class _Answer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: int | float | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    until: float


class Tokens:
    """What is sent as ``Authorization``, for every address and user.

    Args:
        send: Sends one request, without any of this; for token servers.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._challenges: dict[URL, Challenge] = {}
        self._tokens: dict[tuple[URL, Credentials, Scopes], _Token] = {}
        self._locks: dict[tuple[URL, Credentials, Scopes], asyncio.Lock] = {}

    async def header(self, access: Access) -> str:
        """Return the header for a request, empty where nothing is known to be wanted yet."""
        challenge = self._challenges.get(access.endpoint.url)
        if challenge is None:
            return f"Bearer {token}" if (token := access.credentials.registry_token) else ""
        if challenge.scheme == "basic" and not (access.credentials.username or access.credentials.registry_token):
            return ""  # what is wanted of one path need not be wanted of another: the registry says so when it is
        return await self._header(access, challenge)

    async def answer(self, access: Access, challenge: Challenge, refused: str) -> str:
        """Return the header that answers a challenge.

        Args:
            access: For what.
            challenge: What the registry wants.
            refused: The header that was sent, and not enough.

        Raises:
            errors.Unauthorized: There is nothing to log in with, or the token server refuses it.
        """
        # What it wants now is wanted of this request alone: the next may be about another repository.
        lasting = {name: value for name, value in challenge.parameters.items() if name not in ("scope", "error")}
        self._challenges[access.endpoint.url] = replace(challenge, parameters=lasting)
        self._forget(refused)
        header = await self._header(access, challenge)
        return "" if header == refused else header  # the same would be refused again

    def _forget(self, header: str) -> None:
        for key in [key for key, token in self._tokens.items() if token.header == header]:
            del self._tokens[key]

    async def _header(self, access: Access, challenge: Challenge) -> str:
        credentials = access.credentials
        if credentials.registry_token:
            return f"Bearer {credentials.registry_token}"
        if challenge.scheme == "basic":
            if not credentials.username:
                raise errors.Unauthorized("no basic auth credentials")
            return basic(credentials)
        key = (access.endpoint.url, credentials, access.scopes)
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._tokens.get(key)
            if known is None or known.until < time.monotonic():
                known = await self._fetch_kept(access, challenge)
                self._tidy()
                self._tokens[key] = known
        return known.header

    def _tidy(self) -> None:
        if len(self._tokens) > _MOST_KEPT:
            self._tokens.clear()
            self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}

    async def _fetch_kept(self, access: Access, challenge: Challenge) -> _Token:
        asked = [scope for scope in challenge.scopes if not _covered(scope, access.scopes)]
        found = await self._fetch(access, challenge, (*access.scopes, *asked), offline=False)
        token = found.token or found.access_token
        if not token:
            raise errors.RegistryError("authorization server did not include a token in the response")
        seconds = max(found.expires_in or 0, _DEFAULT_SECONDS)
        return _Token(f"Bearer {token}", time.monotonic() + seconds - _MARGIN_SECONDS)

    async def log_in(self, access: Access, challenge: Challenge) -> tuple[str, str]:
        """Ask the token server anew; return the header, and the identity token where it gives one.

        Raises:
            errors.Unauthorized: It refuses the credentials.
        """
        if challenge.scheme == "basic":
            return await self._header(access, challenge), ""
        found = await self._fetch(access, challenge, challenge.scopes, offline=True)
        return f"Bearer {found.token or found.access_token or ''}", found.refresh_token or ""

    async def _fetch(self, access: Access, challenge: Challenge, scopes: Scopes, *, offline: bool) -> _Answer:
        realm, credentials = _realm(access, challenge), access.credentials
        fields = {"service": challenge.parameters.get("service", "")}
        if credentials.identity_token:
            form = {**fields, "grant_type": "refresh_token", "refresh_token": credentials.identity_token}
            form |= {"client_id": CLIENT_ID, "scope": " ".join(scopes)}
            return await self._ask(access, "POST", realm, {}, data=aiohttp.FormData(form))
        if offline:
            fields |= {"client_id": CLIENT_ID, "offline_token": "true"}
        headers = {}
        if credentials.username:
            fields["account"] = credentials.username
            headers["Authorization"] = basic(credentials)
        query = [(name, value) for name, value in fields.items() if value]
        url = realm.extend_query([*query, *(("scope", scope) for scope in scopes)])
        return await self._ask(access, "GET", url, headers)

    async def _ask(
        self, access: Access, method: str, url: URL, headers: dict[str, str], data: aiohttp.FormData | None = None
    ) -> _Answer:
        # No redirect is followed: the token server is the one that the registry has named.
        response = await self._send(method, url, access.endpoint, headers=headers, data=data)
        async with response:
            body = await read_at_most(response, _LONGEST_ANSWER)
            if response.status >= 300:
                what = f"{method} {url.with_query(None)}"
                raise failures.of_answer(response.status, response.reason or "", body, what)
        try:
            return msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.RegistryError(
                f"the token server '{url.with_query(None)}' answers nonsense: {error}"
            ) from error


def _covered(scope: str, scopes: Scopes) -> bool:
    """Say whether others allow what a scope does: ``repository:x:pull,push`` covers ``repository:x:pull``."""
    name, _, actions = scope.rpartition(":")
    allowed = {
        action for other in scopes if other.startswith(f"{name}:") for action in other.rpartition(":")[2].split(",")
    }
    return set(actions.split(",")) <= allowed


def _realm(access: Access, challenge: Challenge) -> URL:
    """Return the token server's address.

    Raises:
        errors.RegistryError: It is none, or credentials would go to it for all to read.
    """
    text = challenge.parameters.get("realm", "")
    try:
        realm = URL(text)
    except ValueError:
        realm = URL()
    if realm.scheme not in ("http", "https") or not realm.host:
        raise errors.RegistryError(f"the registry '{access.endpoint.url}' names no token server: realm '{text}'")
    if realm.scheme == "http" and not access.endpoint.insecure and not access.credentials.anonymous:
        raise errors.RegistryError(
            f"the registry '{access.endpoint.url}' wants the password sent to '{realm}' without encryption: refused"
        )
    return realm


def basic(credentials: Credentials) -> str:
    """Return the header for a username and a password.

    Source: RFC 7617 § 2.
    """
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


async def read_at_most(response: aiohttp.ClientResponse, longest: int) -> bytes:
    """Return a response's body.

    Raises:
        errors.RegistryError: It is longer.
    """
    body = bytearray()
    async for data in response.content.iter_any():
        body += data
        if len(body) > longest:
            raise errors.RegistryError(f"the answer of '{response.url.origin()}' is longer than {longest} bytes")
    return bytes(body)
