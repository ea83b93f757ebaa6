"""One request to a registry, with all that belongs to it: logging in, redirects, and patience.

What fails for a reason that may pass (a broken connection, 429, 500 to 504) is asked again, after a while that doubles
and is not the same for everybody, or that the registry has named (``Retry-After``); never forever. A request whose body
has been read from a stream is not: who sends it knows where to go on (see ``uploads``).

Source: RFC 9110 § 10.2.3, § 15.4; OCI distribution-spec.
"""

import asyncio
import contextlib
import email.utils
import os
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from nbcontainers import __version__, errors
from nbcontainers.images.registry import challenges, failures
from nbcontainers.images.registry.hosts import Endpoint
from nbcontainers.images.registry.proxies import proxy_of
from nbcontainers.images.registry.tokens import Access, Tokens, read_at_most
from nbcontainers.images.registry.unreachable import BROKEN, broken, is_final, is_refused

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
_BUFFER_BYTES = 1 << 20
_LONGEST_ERROR = 1 << 16
_MOST_REDIRECTS = 10
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PASSING = frozenset((408, 429, 500, 502, 503, 504))
_HEADERS = {"User-Agent": f"nbcontainers/{__version__} (linux)", "Accept-Encoding": "identity"}
Headers = Mapping[str, str]
Body = bytes | AsyncIterator[bytes] | aiohttp.FormData | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often, and how long, the same thing is tried.

    Args:
        attempts: Altogether.
        first_seconds: The longest pause after the first; the next are twice as long each.
        longest_seconds: No pause is longer, whatever the registry says.
    """

    attempts: int = 6
    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def pause_seconds(self, failed: int, named: float | None = None) -> float:
        """Return how long to wait after so many failures."""
        if named is not None:
            return min(named, self.longest_seconds) + random.uniform(0, self.first_seconds)
        longest = min(self.first_seconds * 2 ** (failed - 1), self.longest_seconds)
        return random.uniform(longest / 2, longest)


class Transport:
    """Sends requests; ``close`` when it is no longer needed. The connections are made when first wanted.

    Args:
        patience: With which.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._session: aiohttp.ClientSession | None = None
        self._met: set[URL] = set()
        self.tokens = Tokens(self.send)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def answers(self, endpoint: Endpoint) -> bool:
        """Say whether a server answers at an address, whatever it says."""
        try:
            async with await self.send("GET", endpoint.url / "v2/", endpoint):
                return True
        except (*BROKEN, ValueError):
            return False

    async def send(
        self, method: str, url: URL, endpoint: Endpoint, *, headers: Headers | None = None, data: Body = None
    ) -> aiohttp.ClientResponse:
        """Send one request as it is; the response must be released.

        Args:
            method: Of HTTP.
            url: Where to; of this or another host.
            endpoint: Whose certificates count, as far as it is the same host.
            headers: Beside those that all requests have.
            data: The body.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=_TIMEOUT,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_BUFFER_BYTES,
            )
        response = await self._session.request(
            method,
            url,
            headers={**_HEADERS, **(headers or {})},
            data=data,
            allow_redirects=False,
            ssl=endpoint.context_for(url),
            proxy=proxy_of(url, os.environ),
        )
        self._met.add(url.origin())
        return response

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: URL, access: Access, *, headers: Headers | None = None, data: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request until it has an answer that is not an error.

        Raises:
            errors.RegistryError: There is none, and not for want of trying.
            errors.Unauthorized: The credentials are not enough.
            errors.Forbidden: They are good, but not for this.
            errors.NotFound: What the URL names does not exist.
        """
        response = await self._until_answered(method, url, access, headers=headers or {}, data=data)
        async with response:
            yield response

    async def _until_answered(
        self, method: str, url: URL, access: Access, *, headers: Headers, data: bytes | None
    ) -> aiohttp.ClientResponse:
        failed = 0
        while True:
            named: float | None = None
            try:
                response = await self.attempt(method, url, access, headers=headers, data=data)
            except BROKEN as error:
                failed += 1
                # Where nobody has ever answered, nobody is about to; a registry that was there may be starting again.
                nobody = is_refused(error) and url.origin() not in self._met
                if failed >= self.patience.attempts or is_final(error) or nobody:
                    raise broken(access.endpoint, error) from error
            else:
                if response.status < 300:
                    return response
                failed += 1
                if failed >= self.patience.attempts or response.status not in _PASSING:
                    raise await refusal(response)
                named = retry_after_seconds(response)
                response.release()
            await asyncio.sleep(self.patience.pause_seconds(failed, named))

    async def attempt(
        self, method: str, url: URL, access: Access, *, headers: Headers, data: Body = None
    ) -> aiohttp.ClientResponse:
        """Send a request once, or once more where it turns out that one must log in; follow redirects of GET and HEAD.

        Raises:
            errors.Unauthorized: One must, and there is nothing to log in with.
        """
        at_home = url.origin() == access.endpoint.url
        authorization = await self.tokens.header(access) if at_home else ""
        response = await self._follow(method, url, access, headers, authorization, data)
        if response.status != 401 or response.url.origin() != access.endpoint.url:
            return response
        challenge = challenges.choose(response.headers.getall("WWW-Authenticate", []))
        if challenge is None or not (data is None or isinstance(data, bytes)):
            return response
        answer = await self._answer(access, challenge, authorization, response)
        if not answer:
            return response
        response.release()
        return await self._follow(method, url, access, headers, answer, data)

    async def _answer(
        self, access: Access, challenge: challenges.Challenge, refused: str, response: aiohttp.ClientResponse
    ) -> str:
        try:
            return await self.tokens.answer(access, challenge, refused)
        except BaseException:
            response.release()
            raise

    async def _follow(
        self, method: str, url: URL, access: Access, headers: Headers, authorization: str, data: Body
    ) -> aiohttp.ClientResponse:
        """Send a request and follow where it is sent on to; the credentials stay with their own host."""
        endpoint, first = access.endpoint, url
        for _ in range(_MOST_REDIRECTS + 1):
            own = {"Authorization": authorization} if authorization and url.origin() == endpoint.url else {}
            response = await self.send(method, url, endpoint, headers={**headers, **own}, data=data)
            location = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or method not in ("GET", "HEAD") or not location:
                return response
            response.release()
            url = url.join(URL(location))
            if url.scheme not in ("http", "https") or (url.scheme == "http" and not endpoint.insecure):
                raise errors.RegistryError(f"'{first}' leads to '{url}', without encryption: refused")
        raise errors.RegistryError(f"'{first}' leads from one address to the next, more than {_MOST_REDIRECTS} times")


async def refusal(response: aiohttp.ClientResponse) -> errors.Error:
    """Return the error that a response stands for, and release it."""
    async with response:
        body = b""
        with contextlib.suppress(errors.RegistryError, *BROKEN):
            body = await read_at_most(response, _LONGEST_ERROR)
        what = f"{response.method} {response.url.with_query(None)}"
        return failures.of_answer(response.status, response.reason or "", body, what)


def retry_after_seconds(response: aiohttp.ClientResponse) -> float | None:
    """Return how long a server wants us to wait, None when it does not say.

    Source: RFC 9110 § 10.2.3.
    """
    text = response.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
