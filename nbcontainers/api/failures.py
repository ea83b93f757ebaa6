"""Errors as Docker tells them: the one table from error class to HTTP status."""

import errno
import logging
import sqlite3

from nbcontainers import errors
from nbcontainers.runtime.client import StartError

# The most special class first; StartError's status depends on who is at fault, see ``status_of``.
STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.InvalidArgument, 400),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.NotModified, 304),
    (errors.Unsupported, 501),
    (errors.RegistryError, 500),
    (errors.NoSpace, 500),
    (errors.Unavailable, 503),
    (errors.Internal, 500),
)
COMMAND_FAULTS = (126, 127)

_log = logging.getLogger("nbcontainers.api")


def explained(error: Exception, root: object) -> Exception:
    """Return an error as clients are to hear it: a full disk is told as such, wherever it was run into.

    Args:
        error: What a request has failed with.
        root: The directory of the engine's state, which people know.
    """
    if isinstance(error, errors.Error) and not isinstance(error, errors.Unavailable):
        return error
    link: BaseException | None = error
    while link is not None:
        full = isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT)
        # A system call that is wrapped for its own sake means another limit: of inotify, or of namespaces.
        if full and not isinstance(link, errors.SyscallError):
            return errors.NoSpace(root)
        if isinstance(link, sqlite3.Error) and getattr(link, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            return errors.NoSpace(root)
        link = link.__cause__ or link.__context__
    return error


def in_stream(raw: Exception, root: object, *, coded: bool = False) -> dict[str, object]:
    """Return the last line of a stream, which tells what its request has failed with.

    Args:
        raw: What it has failed with.
        root: The directory of the engine's state.
        coded: Whether a number goes with it: a command's exit code, or the HTTP status that it would have had.
    """
    error = explained(raw, root)
    text = message_of(error)
    code = {"code": getattr(error, "exit_code", None) or status_of(error)} if coded else {}
    return {"errorDetail": {**code, "message": text}, "error": text}


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error.

    A container that could not be started is the user's fault where its command is (126, 127), else ours, as in Docker.
    """
    if isinstance(error, StartError):
        return 400 if error.exit_code in COMMAND_FAULTS else 500
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return status
    return 500


def message_of(error: BaseException) -> str:
    """Return the sentence that the client shows; a fault of ours is logged with its place as well."""
    if not isinstance(error, errors.Error):
        _log.error("a request failed", exc_info=error)
    return "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
