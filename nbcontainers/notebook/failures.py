"""Errors in a notebook: one short message, no traceback. The only place that makes ``UsageError``s.

IPython shows a ``UsageError`` as its message alone, and still stops a run of all cells.
"""

import contextlib
from collections.abc import Iterator

import click
import docker.errors
from IPython.core.error import UsageError

from nbcontainers.cli import Face
from nbcontainers.client.connect import LOST
from nbcontainers.errors import Error


@contextlib.contextmanager
def explained(face: Face) -> Iterator[None]:
    """Turn what the user or the engine did wrong into one short message.

    Args:
        face: Where the engine was asked; it forgets one that is gone.
    """
    try:
        yield
    except click.exceptions.Exit:
        return
    except click.UsageError as error:
        raise UsageError(_with_advice(error)) from None
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    except docker.errors.APIError as error:
        raise UsageError(str(error.explanation or error)) from None
    except docker.errors.BuildError as error:
        raise UsageError(str(error.msg)) from None
    except (docker.errors.DockerException, Error) as error:
        raise UsageError(str(error)) from None
    except LOST as error:
        raise UsageError(str(face.lost(error))) from None


def _with_advice(error: click.UsageError) -> str:
    """Return what is wrong with a command's words, and where its help is."""
    message = error.format_message()
    if error.ctx is None:
        return message
    return f"{message}{'' if message.endswith(('.', '?', ')')) else '.'} See {error.ctx.command_path} --help"
