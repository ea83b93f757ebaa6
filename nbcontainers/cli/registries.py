"""``login``, ``logout`` and ``search``, in docker's grammar.

What a login keeps is what docker's own CLI finds, and the reverse.
"""

import getpass
import json
import sys

import click
import pandas as pd

from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import filters_of, pass_face, tree
from nbcontainers.client.logins import Kept, Logins, server_name


@tree.command()
@click.option("-u", "--username", default="", help="Who.")
@click.option("-p", "--password", default=None, help="Better not: it stays in the notebook, or in the shell's history.")
@click.option("--password-stdin", is_flag=True, help="Take the password from standard input, or from the cell.")
@click.argument("server", default="")
@pass_face
def login(face: Face, server: str, username: str, password: str | None, password_stdin: bool) -> str:
    """Log in to a registry, by default Docker Hub."""
    if password_stdin:
        if password is not None:
            raise click.UsageError("--password and --password-stdin are mutually exclusive")
        if not username:
            raise click.UsageError("must provide --username with --password-stdin")
        password = _from_stdin(face)
    elif password is not None:
        face.err(b"WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
    logins, name = Logins(), server_name(server)
    kept = logins.find(name) if not username and password is None else None
    if kept is not None:
        face.out(b"Authenticating with existing credentials...\n")
    else:
        username = username or _asked("Username: ", face, hidden=False)
        secret = password if password is not None else _asked("Password: ", face, hidden=True)
        kept = Kept(username=username, secret=secret, token=False)
    answer = _check(face, name, kept)
    if not kept.token:
        file = logins.store(name, kept.username, kept.secret, str(answer.get("IdentityToken") or ""))
        if file:
            face.err(f"WARNING! Your password will be stored unencrypted in {file}.\n".encode())
    face.client.api.reload_config()
    return str(answer.get("Status") or "Login Succeeded")


def _check(face: Face, name: str, kept: Kept) -> dict[str, object]:
    """Have the engine ask the registry."""
    api = face.client.api
    config = {"serveraddress": name, "username": kept.username, "password": kept.secret}
    if kept.token:
        config = {"serveraddress": name, "identitytoken": kept.secret}
    answer: dict[str, object] = api._result(api._post_json(api._url("/auth"), data=config), json=True)
    return answer


@tree.command()
@click.argument("server", default="")
@pass_face
def logout(face: Face, server: str) -> str:
    """Forget the credentials for a registry, by default Docker Hub."""
    name = server_name(server)
    if not Logins().erase(name):
        return f"Not logged in to {name}"
    face.client.api.reload_config()
    return f"Removing login credentials for {name}"


@tree.command()
@click.option("-f", "--filter", "filters", multiple=True, help="is-official=true, or stars=N.")
@click.option("--limit", type=int, default=0, help="How many, 100 at most.")
@click.argument("term")
@pass_face
def search(face: Face, term: str, filters: tuple[str, ...], limit: int) -> pd.DataFrame:
    """Look for images in Docker Hub, or in the registry that TERM begins with."""
    api = face.client.api
    params = {"term": term, "limit": limit or None, "filters": json.dumps(filters_of(filters)) if filters else None}
    found = api._result(api._get(api._url("/images/search"), params=params), json=True)
    rows = [(one["name"], one["description"] or "", one["star_count"], one["is_official"]) for one in found]
    return pd.DataFrame(rows, columns=["name", "description", "stars", "official"])


def _from_stdin(face: Face) -> str:
    data = face.stdin if face.stdin is not None else sys.stdin.buffer.read() if face.own_stdin else b""
    password = data.decode().rstrip("\r\n")
    if not password:
        raise click.UsageError("password is empty: it is read from standard input, or from the cell")
    return password


def _asked(question: str, face: Face, *, hidden: bool) -> str:
    """Ask the user; a notebook has a field for it."""
    if face.own_stdin and not sys.stdin.isatty():
        raise click.ClickException("cannot perform an interactive login from a non TTY device: give --password-stdin")
    try:
        answer = getpass.getpass(question) if hidden else input(question)
    except (EOFError, RuntimeError) as error:  # ipykernel has one of the second kind where a program runs a notebook
        raise click.ClickException("there is nobody to ask: give --username and --password-stdin") from error
    if not answer:
        raise click.ClickException(f"{question.rstrip(': ').lower()} is required")
    return answer
