"""``build``: a Dockerfile and a folder, sent to the engine; what it tells is the face's business to show."""

import base64
import io
import os
import re
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import click
import docker.errors
from docker.utils.build import exclude_paths

from nbcontainers.cli import caching
from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import image_group, pass_face, tree
from nbcontainers.cli.values import Size
from nbcontainers.client import extension

DOCKERFILE = ".nbcontainers-dockerfile"
SECRETS_ARG = "NBCONTAINERS_SECRETS"
_USES_CONTEXT = re.compile(r"^\s*(?:COPY|ADD|ONBUILD)\b|--mount", re.IGNORECASE | re.MULTILINE)
_BASE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
_SPOOLED_BYTES = 8 << 20
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("-t", "--tag", "tags", multiple=True, help="Name of the image; may be given several times."),
    click.option("--build-arg", "buildargs", multiple=True, help="NAME=value, or NAME to take its value from here."),
    click.option("--target", default=None, help="Stage to stop at."),
    click.option("--no-cache", is_flag=True, help="Run every step anew."),
    click.option(
        "--cache-from",
        multiple=True,
        help="IMAGE (what made it alone), type=local,src=FOLDER or type=registry,ref=NAME: take steps from there.",
    ),
    click.option(
        "--cache-to",
        multiple=True,
        help="type=local,dest=FOLDER or type=registry,ref=NAME[,mode=max]: give the steps to others.",
    ),
    click.option("--pull", is_flag=True, help="Look for newer base images."),
    click.option("--secret", "secrets", multiple=True, help="id=NAME[,src=FILE|,env=VARIABLE], for RUN --mount."),
    click.option("--platform", default=None, help="What to build for, such as linux/amd64."),
    click.option(
        "--progress",
        type=click.Choice(["auto", "tree", "plain", "quiet"]),
        default="auto",
        help="How to show what happens.",
    ),
    click.option("-q", "--quiet", "progress", flag_value="quiet", help="Show nothing but the image's id."),
    click.option("--label", "labels", multiple=True, help="NAME=value."),
    click.option("--network", default=None, help="Network of RUN."),
    click.option("--add-host", "extra_hosts", multiple=True, help="name:address, for RUN."),
    click.option("-m", "--memory", type=Size(), default=0, help="Memory limit of RUN, such as 64m."),
    click.option("--shm-size", type=Size(), default=0, help="Size of /dev/shm in RUN."),
)


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a build."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be built, as the options have it.

    ``dockerfile`` is the text; ``called`` is what it is called where the engine points at a place in it; ``ignore`` is
    the path of an ignore file, or empty; ``variables`` are those that a build argument without a value may mean.
    """

    context: str
    dockerfile: str
    called: str = "Dockerfile"
    ignore: str = ""
    tags: tuple[str, ...] = ()
    buildargs: tuple[str, ...] = ()
    target: str | None = None
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    pull: bool = False
    secrets: tuple[str, ...] = ()
    platform: str | None = None
    labels: tuple[str, ...] = ()
    network: str | None = None
    extra_hosts: tuple[str, ...] = ()
    memory: int = 0
    shm_size: int = 0
    variables: dict[str, object] = field(default_factory=dict)


@tree.command()
@click.option("-f", "--file", "dockerfile", default=None, help="Path of the Dockerfile; - for standard input.")
@click.option("--iidfile", default="", type=click.Path(dir_okay=False), help="File to write the image's id to.")
@with_options
@click.argument("context", default=".")
@pass_face
def build(face: Face, /, context: str, iidfile: str, **options: Any) -> str:
    """Build an image from a Dockerfile, and return its id.

    CONTEXT is a folder, a URL of a tar archive or Dockerfile, or - for either on standard input.
    """
    image = _built(face, context, **options)
    if iidfile:
        try:
            Path(iidfile).write_text(image, encoding="ascii")
        except OSError as error:
            raise click.ClickException(f"the id cannot be written to '{iidfile}': {error.strerror}") from None
    return image


def _built(face: Face, context: str, dockerfile: str | None, progress: str, **options: Any) -> str:
    if context.startswith(("http://", "https://")):
        wish = Wish(context=context, dockerfile=dockerfile or "", **options)
        return _run(face, wish, progress, {"path": context, "dockerfile": dockerfile})
    if context == "-":
        data = _standard_input(face)
        with_files = io.BytesIO(data) if _is_archive(data) else _archive_of(data)
        wish = Wish(context=context, dockerfile=dockerfile or "", **options)
        sent = {"fileobj": with_files, "custom_context": True, "dockerfile": dockerfile or "Dockerfile"}
        return _run(face, wish, progress, sent)
    if not os.path.isdir(context):
        raise click.UsageError(f"the context '{context}' is no folder")
    if dockerfile == "-":
        return build_image(face, Wish(context=context, dockerfile=_standard_input(face).decode(), **options), progress)
    path = dockerfile or os.path.join(context, "Dockerfile")
    wish = Wish(context=context, dockerfile=read(path), called=path, ignore=ignore_file(context, path), **options)
    return build_image(face, wish, progress)


def _standard_input(face: Face) -> bytes:
    return face.stdin if face.stdin is not None else sys.stdin.buffer.read()


def _is_archive(data: bytes) -> bool:
    return tarfile.is_tarfile(io.BytesIO(data))


def _archive_of(dockerfile: bytes) -> IO[bytes]:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add(tar, "Dockerfile", dockerfile)
    archive.seek(0)
    return archive


def read(path: str) -> str:
    """Return a Dockerfile's text.

    Raises:
        click.UsageError: It cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise click.UsageError(f"cannot read '{path}': {(error.strerror or '').lower()}") from error


def ignore_file(context: str, dockerfile: str = "") -> str:
    """Return the path of the ignore file: the Dockerfile's own, or the context's; empty for none."""
    candidates = [f"{dockerfile}.dockerignore"] if dockerfile else []
    return next(filter(os.path.exists, [*candidates, os.path.join(context, ".dockerignore")]), "")


def build_image(face: Face, wish: Wish, progress: str = "auto") -> str:
    """Build an image from a Dockerfile's text and a folder, telling the face what happens.

    Returns:
        The image's id.

    Raises:
        docker.errors.BuildError: A step has failed.
        docker.errors.APIError: The engine refuses.
    """
    with tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES) as archive:
        _pack(archive, wish, needs_context=_needs_context(face, wish.dockerfile))
        archive.seek(0)
        return _run(face, wish, progress, {"fileobj": archive, "custom_context": True, "dockerfile": DOCKERFILE})


def _run(face: Face, wish: Wish, progress: str, sent: dict[str, Any]) -> str:
    """Send it, and pass on what is told."""
    limits = {"memory": wish.memory} if wish.memory else {}
    stream = _messages(
        face.client.api,
        wish.called,
        **sent,
        tag=wish.tags[0] if wish.tags else None,
        buildargs=_arguments(face, wish),
        target=wish.target,
        nocache=wish.no_cache,
        cache_from=caching.sources(face, wish.cache_from) or None,
        pull=wish.pull,
        platform=wish.platform,
        labels=dict(label.partition("=")[::2] for label in wish.labels),
        network_mode=wish.network,
        extra_hosts=dict(entry.split(":", 1) for entry in wish.extra_hosts) or None,
        container_limits=limits,
        shmsize=wish.shm_size or None,
        rm=True,
        decode=True,
    )
    tell = _teller(face, progress)
    image = ""
    for message in stream:
        tell(message)
        image = (message.get("aux") or {}).get("ID", image)
        if "error" in message:
            raise docker.errors.BuildError(message["error"].replace(DOCKERFILE, wish.called), [])
    for reference in wish.tags[1:]:
        face.client.api.tag(image, *_repository_and_tag(reference))
        tell({"stream": f"Successfully tagged {reference}\n"})
    return image


def _messages(api: Any, called: str, **options: Any) -> Iterator[dict[str, Any]]:
    """Build, and yield what the engine says; a Dockerfile that is refused is called what its author calls it."""
    try:
        yield from api.build(**options)
    except docker.errors.APIError as error:
        error.explanation = str(error.explanation).replace(DOCKERFILE, called)
        raise


def _repository_and_tag(reference: str) -> tuple[str, str | None]:
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, None)


def _teller(face: Face, progress: str) -> Callable[[dict[str, Any]], object]:
    """Return what takes the messages: the face's own way, lines of text, or nothing at all."""
    if progress == "quiet":
        return lambda message: None
    if progress == "plain" or face.build_events is None:
        return lambda message: face.out(str(message.get("stream", "")).encode())
    return face.build_events


def _arguments(face: Face, wish: Wish) -> dict[str, str | None]:
    """Return the build arguments; one without a value takes it from Python or the environment."""
    arguments: dict[str, str | None] = {}
    for entry in wish.buildargs:
        name, equals, value = entry.partition("=")
        found = wish.variables.get(name, os.environ.get(name))
        arguments[name] = value if equals else None if found is None else str(found)
    if wish.secrets:
        arguments[SECRETS_ARG] = _keep_secrets(face, wish.secrets)
    if wish.cache_to:
        arguments[caching.CACHE_TO_ARG] = caching.targets(face, wish.cache_to)
    return arguments


def _keep_secrets(face: Face, secrets: tuple[str, ...]) -> str:
    """Give the engine the secrets of one build, and return the token for them.

    Raises:
        click.UsageError: One cannot be read, or the engine is Docker's, which takes none this way.
    """
    if not extension.is_ours(face.client):
        raise click.UsageError("--secret needs an nbcontainers engine: Docker's classic builder takes none")
    values = {}
    for text in secrets:
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        name = fields.get("id", "")
        if not name or not fields.keys() <= {"id", "src", "source", "env", "type"}:
            raise click.UsageError(f"invalid secret '{text}': id=NAME,src=FILE or id=NAME,env=VARIABLE is wanted")
        values[name] = base64.b64encode(_secret(name, fields)).decode()
    return str(extension.post_json(face.client, "/build/secrets", values)["Token"])


def _secret(name: str, fields: dict[str, str]) -> bytes:
    variable = fields.get("env", "")
    path = fields.get("src", fields.get("source", ""))
    if variable or (not path and name in os.environ):
        if (value := os.environ.get(variable or name)) is None:
            raise click.UsageError(f"the secret '{name}': there is no variable '{variable}' in the environment")
        return value.encode()
    try:
        with open(os.path.expanduser(path or name), "rb") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise click.UsageError(f"the secret '{name}' cannot be read from '{path or name}': {reason}") from error


def _needs_context(face: Face, dockerfile: str) -> bool:
    """Say whether a build looks at its folder: a notebook's may be large, and most Dockerfiles copy nothing."""
    if _USES_CONTEXT.search(dockerfile):
        return True
    for name in _BASE.findall(dockerfile):
        try:
            if face.client.api.inspect_image(name)["Config"].get("OnBuild"):
                return True
        except docker.errors.DockerException:
            continue  # a stage, or an image that is not here yet
    return False


def _pack(archive: IO[bytes], wish: Wish, *, needs_context: bool) -> None:
    """Write the context as a tar archive, without what is ignored, with the Dockerfile as ``DOCKERFILE``."""
    rules = read(wish.ignore) if wish.ignore else ""
    patterns = [line.strip() for line in rules.splitlines() if line.strip() and not line.startswith("#")]
    with tarfile.open(fileobj=archive, mode="w") as tar:
        if needs_context:
            for path in sorted(exclude_paths(wish.context, patterns)):
                tar.add(os.path.join(wish.context, path), arcname=path, recursive=False, filter=_in_seconds)
        _add(tar, DOCKERFILE, wish.dockerfile.encode("utf-8", "surrogateescape"))
        _add(tar, f"{DOCKERFILE}.dockerignore", f"{rules}\n{DOCKERFILE}*\n".encode())


def _in_seconds(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out what would need a second header for each file: names of users, and fractions of seconds."""
    member.mtime, member.uname, member.gname = int(member.mtime), "", ""
    return member


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


image_group.add_command(build, "build")
