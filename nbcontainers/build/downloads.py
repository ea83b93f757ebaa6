"""ADD of a URL: fetched into a file, checked against a digest where one is given.

Source: Dockerfile reference § ADD (Adding files from a URL), § ADD --checksum.
"""

import email.utils
import hashlib
import os
import posixpath
import re
from urllib.parse import unquote, urlsplit

import aiohttp

from nbcontainers.build.events import BuildError

_CHUNK_BYTES = 1 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=30, sock_read=60)
_CHECKSUM = re.compile(r"(sha256):([0-9a-f]{64})|(sha384):([0-9a-f]{96})|(sha512):([0-9a-f]{128})")
_UNNAMED = "__unnamed__"


def is_url(source: str) -> bool:
    """Say whether a source is to be fetched."""
    return source.startswith(("http://", "https://"))


def is_git(source: str) -> bool:
    """Say whether a source is a git repository, which is not fetched here."""
    url = source.partition("#")[0].partition("?")[0]
    return source.startswith(("git@", "git://", "ssh://")) or (is_url(source) and url.endswith(".git"))


def file_name(url: str) -> str:
    """Return the name that a URL's file has."""
    return posixpath.basename(unquote(urlsplit(url).path)) or _UNNAMED


def check_checksum(text: str) -> str:
    """Return a checksum.

    Raises:
        ValueError: It is none.
    """
    if not _CHECKSUM.fullmatch(text):
        raise ValueError(f"invalid checksum '{text}': such as sha256: and 64 hexadecimal digits is wanted")
    return text


async def fetch(url: str, path: str, checksum: str) -> None:
    """Fetch a URL into a new file, which has the time that the server says.

    Args:
        url: With http or https.
        path: The file.
        checksum: What it must have, or empty.

    Raises:
        BuildError: It cannot be fetched, or is something else.
    """
    algorithm = checksum.partition(":")[0]
    digest = hashlib.new(algorithm) if checksum else None
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True, auto_decompress=False) as session,
            session.get(url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status >= 400:
                raise BuildError(f"failed to GET {url} with status {response.status} {response.reason}")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    file.write(chunk)
                    if digest is not None:
                        digest.update(chunk)
            seconds = _seconds(response.headers.get("Last-Modified", ""))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise BuildError(f"failed to fetch {url}: {error or type(error).__name__}") from error
    if digest is not None and f"{algorithm}:{digest.hexdigest()}" != checksum:
        raise BuildError(f"digest mismatch {algorithm}:{digest.hexdigest()}: {checksum} was expected of {url}")
    os.utime(path, (seconds, seconds))


def _seconds(last_modified: str) -> float:
    """Return a Last-Modified header as seconds since the epoch; 0 for none, so that the layer is the same again."""
    try:
        return email.utils.parsedate_to_datetime(last_modified).timestamp()
    except ValueError:
        return 0.0
