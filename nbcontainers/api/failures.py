"""Errors as Docker tells them: the one table from error class to HTTP status."""

import logging

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
    (errors.Unavailable, 503),
    (errors.Internal, 500),
)
COMMAND_FAULTS = (126, 127)

_log = logging.getLogger("nbcontainers.api")


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
    return str(error) or type(error).__name__
