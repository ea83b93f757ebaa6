"""Errors in a notebook: one short message, no traceback. The only place that makes ``UsageError``s.

IPython shows a ``UsageError`` as its message alone, and still stops a run of all cells.
"""

import contextlib
from collections.abc import Iterator

import click
import docker.errors
from IPython.core.error import UsageError

from nbcontainers.errors import Error


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what the user or the engine did wrong into one short message."""
    try:
        yield
    except click.exceptions.Exit:
        return
    except click.UsageError as error:
        more = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
        raise UsageError(error.format_message().rstrip(".") + more) from None
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    except docker.errors.APIError as error:
        raise UsageError(str(error.explanation or error)) from None
    except docker.errors.BuildError as error:
        raise UsageError(str(error.msg)) from None
    except (docker.errors.DockerException, Error) as error:
        raise UsageError(str(error)) from None
