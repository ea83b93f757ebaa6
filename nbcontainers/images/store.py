"""The image store: which images there are, what they are called, and the layers they stand on.

On disk it is ``blobs/sha256`` (image configurations, named by their digests) and ``index.json`` (for each image its
top layer and parent; for each reference its image), which is always replaced whole. Layers are in ``Snapshots``.

The image ``host`` is always there: this machine's own file system. It has no layers of its own, and cannot be
removed, pushed or given to another image.
"""

import os
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

import msgspec

from nbcontainers import errors
from nbcontainers.images import config as image_config
from nbcontainers.images import layers
from nbcontainers.images.config import ContainerDefaults, HistoryEntry, ImageConfig, RootFS
from nbcontainers.images.references import normalize
from nbcontainers.images.snapshots import HOST_SNAPSHOT, Snapshots

HOST = "host"
HOST_REFERENCE = "host:latest"
_SHORTEST_ID = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image.

    Args:
        id: ``sha256:…``, the digest of its configuration.
        config: The configuration.
        repo_tags: Its references, sorted.
        repo_digests: Its digests in registries.
        size_bytes: Of the files in all its layers.
        created_ns: Nanoseconds since the epoch.
        parent: The id of the image it was built on, or empty.
        snapshot: Its top layer, None for an image without layers.
    """

    id: str
    config: ImageConfig
    repo_tags: list[str]
    repo_digests: list[str]
    size_bytes: int
    created_ns: int
    parent: str
    snapshot: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One step of an image's making, as ``docker history`` shows it."""

    id: str
    created_ns: int
    created_by: str
    tags: list[str]
    size_bytes: int
    comment: str


Changes = list[str]
InUse = Callable[[str], list[str]]
Removals = list[tuple[Literal["Untagged", "Deleted"], str]]
Rows = list[HistoryRow]


class _Entry(msgspec.Struct):
    snapshot: str | None
    parent: str
    size_bytes: int
    created_ns: int


class _Index(msgspec.Struct):
    images: dict[str, _Entry] = {}
    references: dict[str, str] = {}


class Images:
    """All images of one engine; its methods may be called from any thread.

    Args:
        root: The store's directory; made when missing.
        hidden: Absolute paths that ``host`` does not show.
        discard: See ``Snapshots``.

    Raises:
        errors.Unavailable: The index is damaged.
    """

    def __init__(self, root: Path, hidden: list[str], discard: Callable[[Path], None] | None = None) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._blobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index_path = root / "index.json"
        self.snapshots = Snapshots(root / "snapshots", hidden, discard)
        self._lock = threading.RLock()
        self._index = self._read_index()
        self._configs: dict[str, ImageConfig] = {}
        self._protected: dict[str, int] = {}
        self._host = self._make_host()

    def _read_index(self) -> _Index:
        try:
            return msgspec.json.decode(self._index_path.read_bytes(), type=_Index)
        except FileNotFoundError:
            return _Index()
        except msgspec.DecodeError as error:
            raise errors.Unavailable(
                "the image store",
                f"'{self._index_path}' is damaged: {error}",
                "restore it, or remove it to lose all images",
            ) from error

    def _make_host(self) -> Image:
        """Describe the image of this machine: its root file system, and root's usual environment."""
        defaults = ContainerDefaults(env=[f"PATH={os.environ.get('PATH', os.defpath)}"], cmd=["/bin/sh"])
        config = ImageConfig(architecture=image_config.architecture(), config=defaults)
        return Image(
            id=image_config.digest(image_config.encode(config)),
            config=config,
            repo_tags=[HOST_REFERENCE],
            repo_digests=[],
            size_bytes=0,
            created_ns=int(os.stat("/").st_ctime) * 10**9,
            parent="",
            snapshot=HOST_SNAPSHOT,
        )

    def get(self, name: str) -> Image:
        """Return the image with this reference, id, or unique beginning of an id.

        Raises:
            errors.NoSuchImage: There is none.
            errors.InvalidReference: The name cannot be one.
        """
        with self._lock:
            return self._image(self._find(name))

    def _find(self, name: str) -> str:
        """Return an image's id."""
        bare = name.removeprefix("sha256:")
        if len(bare) >= _SHORTEST_ID and all(digit in "0123456789abcdef" for digit in bare):
            known = [*self._index.images, self._host.id]
            matches = [key for key in known if key.startswith(f"sha256:{bare}")]
            if len(matches) == 1:
                return matches[0]
            if len(matches) > 1:
                raise errors.InvalidArgument(f"the id '{name}' fits several images: give more of it")
        if not name or name.startswith("sha256:"):
            raise errors.NoSuchImage(name)
        reference = normalize(name)
        if reference == HOST_REFERENCE:
            return self._host.id
        try:
            return self._index.references[reference]
        except KeyError:
            raise errors.NoSuchImage(name) from None

    def _image(self, image_id: str) -> Image:
        if image_id == self._host.id:
            return self._host
        entry = self._index.images[image_id]
        return Image(
            id=image_id,
            config=self._config(image_id),
            repo_tags=sorted(ref for ref, target in self._index.references.items() if target == image_id),
            repo_digests=[],
            size_bytes=entry.size_bytes,
            created_ns=entry.created_ns,
            parent=entry.parent,
            snapshot=entry.snapshot,
        )

    def _config(self, image_id: str) -> ImageConfig:
        if image_id not in self._configs:
            data = (self._blobs / image_id.removeprefix("sha256:")).read_bytes()
            self._configs[image_id] = image_config.decode(data)
        return self._configs[image_id]

    def list(self) -> list[Image]:
        """Return all images: those that have a name, and those that no other image was built on."""
        with self._lock:
            parents = {entry.parent for entry in self._index.images.values()}
            named = set(self._index.references.values())
            shown = [key for key in self._index.images if key in named or key not in parents]
            return [self._host, *(self._image(key) for key in shown)]

    def tag(self, image_id: str, reference: str) -> str:
        """Give an image a reference, which another image loses, and return it in full.

        Raises:
            errors.InvalidReference: It is none.
            errors.Conflict: It is ``host``'s.
        """
        full = normalize(reference)
        if full.partition(":")[0] == HOST:
            raise errors.Conflict("the name 'host' stands for this machine's own file system: choose another")
        if "@" in full:
            raise errors.InvalidReference(f"cannot tag by digest: '{reference}'")
        if image_id == self._host.id:
            raise errors.Conflict("the image 'host' cannot be given another name: build one FROM host")
        with self._lock:
            self._index.references[full] = image_id
            self._write_index()
        return full

    def add(self, config: ImageConfig, *, parent: str, snapshot: str | None, size_bytes: int) -> Image:
        """Store an image.

        Args:
            config: Its configuration; its digest will be the id.
            parent: The image it was built on, or empty.
            snapshot: Its top layer.
            size_bytes: Of all layers together.
        """
        data = image_config.encode(config)
        image_id = image_config.digest(data)
        with self._lock:
            _replace(self._blobs / image_id.removeprefix("sha256:"), data)
            created_ns = time.time_ns()
            self._index.images[image_id] = _Entry(snapshot, parent, size_bytes, created_ns)
            self._write_index()
            return self._image(image_id)

    def import_tar(self, stream: IO[bytes], *, changes: Changes, message: str, reference: str) -> Image:
        """Make an image with one layer from a root file system's archive.

        Args:
            stream: A tar archive, compressed or not.
            changes: Dockerfile instructions that set defaults, such as ``CMD ["sh"]``.
            message: A comment for its history.
            reference: Its name, or empty.

        Raises:
            errors.InvalidArgument: The archive or a change makes no sense.
        """
        if reference:
            normalize(reference)
        defaults = apply_changes(ContainerDefaults(), changes)
        name = os.urandom(16).hex()
        self.snapshots.prepare(f"import-{name}", None)
        try:
            upper = self.snapshots.upper(f"import-{name}")
            layers.unpack(stream, upper)
            digest = layers.diff_id(upper)
            self.snapshots.commit(name, f"import-{name}")
        except BaseException:
            self.snapshots.remove(f"import-{name}")
            raise
        config = ImageConfig(
            created=timestamp(),
            architecture=image_config.architecture(),
            config=defaults,
            rootfs=RootFS(diff_ids=[digest]),
            history=[HistoryEntry(created=timestamp(), comment=message or "Imported from -")],
        )
        image = self.add(config, parent="", snapshot=name, size_bytes=self.snapshots.usage_bytes(name))
        if reference:
            self.tag(image.id, reference)
        return self.get(image.id)

    def remove(self, name: str, *, force: bool, in_use: InUse) -> Removals:
        """Remove a reference; with its last one, the image and what only it stood on.

        Args:
            name: A reference, or an id, which stands for all of its references.
            force: Remove several references, or the image of a stopped container.
            in_use: Tells which containers use an image.

        Raises:
            errors.NoSuchImage: There is none.
            errors.Conflict: It is in use, has several references, or is ``host``.
        """
        with self._lock:
            image = self.get(name)
            if image.id == self._host.id:
                raise errors.Conflict("the image 'host' is this machine's own file system: it cannot be removed")
            going = [name_] if (name_ := self._reference(name)) else image.repo_tags
            if len(going) > 1 and not force:
                raise errors.Conflict(
                    f"unable to delete {image.id[7:19]} (must be forced) - image is referenced in multiple repositories"
                )
            last = set(going) == set(image.repo_tags)
            if last and not force and (users := in_use(image.id)):
                raise errors.Conflict(
                    f'conflict: unable to remove repository reference "{name}" (must force) - '
                    f"container {users[0][:12]} is using its referenced image {image.id[7:19]}"
                )
            done: Removals = []
            for reference in going:
                del self._index.references[reference]
                done.append(("Untagged", reference))
            if last and not in_use(image.id):
                done += self._delete(image.id, in_use)
            self._write_index()
        self.sweep()
        return done

    def _reference(self, name: str) -> str:
        """Return ``name`` in full when it is a reference that exists, or nothing."""
        try:
            full = normalize(name)
        except errors.InvalidReference:
            return ""
        return full if full in self._index.references else ""

    def _delete(self, image_id: str, in_use: InUse) -> Removals:
        """Take an image out of the index, then its parents, as far as nothing else needs them."""
        done: Removals = []
        while image_id in self._index.images:
            needed = image_id in self._index.references.values() or in_use(image_id)
            if needed or any(entry.parent == image_id for entry in self._index.images.values()):
                break
            parent = self._index.images.pop(image_id).parent
            self._configs.pop(image_id, None)
            done.append(("Deleted", image_id))
            image_id = parent
        return done

    def protect(self, snapshot: str) -> None:
        """Keep a layer that no image has yet: a build is about to use it."""
        with self._lock:
            self._protected[snapshot] = self._protected.get(snapshot, 0) + 1

    def unprotect(self, snapshot: str) -> None:
        """Take one ``protect`` back."""
        with self._lock:
            self._protected[snapshot] -= 1
            if not self._protected[snapshot]:
                del self._protected[snapshot]

    def sweep(self) -> None:
        """Remove layers and blobs that no image has."""
        with self._lock:
            used = {layer for entry in self._index.images.values() for layer in self.snapshots.chain(entry.snapshot)}
            for parent in self.snapshots.parents_in_use() | {
                name for name in self._protected if self.snapshots.has(name)
            }:
                used.update(self.snapshots.chain(parent))
            known = {image_id.removeprefix("sha256:") for image_id in self._index.images}
            unused = [name for name in self.snapshots.committed() if name not in used]
            # A layer goes before the one it stands on.
            for name in sorted(unused, key=lambda layer: -len(self.snapshots.chain(layer))):
                self.snapshots.remove_layer(name)
            for entry in os.scandir(self._blobs):
                if entry.name not in known:
                    os.unlink(entry.path)

    def history(self, name: str) -> Rows:
        """Return how an image came about, the newest step first.

        Raises:
            errors.NoSuchImage: There is none.
        """
        image = self.get(name)
        chain = iter(self.snapshots.chain(image.snapshot))
        rows = []
        for number, entry in enumerate(reversed(image.config.history)):
            size = 0
            if not entry.empty_layer and (layer := next(chain, None)):
                size = self.snapshots.usage_bytes(layer)
            rows.append(
                HistoryRow(
                    id=image.id if number == 0 else "<missing>",
                    created_ns=parse_timestamp(entry.created),
                    created_by=entry.created_by,
                    tags=image.repo_tags if number == 0 else [],
                    size_bytes=size,
                    comment=entry.comment,
                )
            )
        return rows

    def _write_index(self) -> None:
        _replace(self._index_path, msgspec.json.encode(self._index))


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is there whole, the old one or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def timestamp(when_ns: int | None = None) -> str:
    """Return a time, by default now, as image configurations have it (RFC 3339)."""
    seconds = (time.time_ns() if when_ns is None else when_ns) / 10**9
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def parse_timestamp(text: str) -> int:
    """Return an image configuration's time in nanoseconds since the epoch; 0 for none."""
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**9)
    except ValueError:
        return 0


def apply_changes(defaults: ContainerDefaults, changes: Changes) -> ContainerDefaults:
    """Apply Dockerfile instructions that only set defaults, as ``docker import --change`` takes them.

    Raises:
        errors.InvalidArgument: An instruction is another one, or has no value.
    """
    for change in changes:
        keyword, _, rest = change.strip().partition(" ")
        setter = _CHANGES.get(keyword.upper())
        if setter is None or not rest.strip():
            known = ", ".join(_CHANGES)
            raise errors.InvalidArgument(f"'{change}' is no valid change: one of {known} with a value is wanted")
        setter(defaults, rest.strip())
    return defaults


def words(text: str) -> list[str]:
    """Return a command in exec form, or in shell form as ``/bin/sh -c``."""
    if text.startswith("["):
        try:
            return msgspec.json.decode(text.encode(), type=list[str])
        except msgspec.DecodeError:
            pass
    return ["/bin/sh", "-c", text]


def assignments(text: str) -> dict[str, str]:
    """Return ``A=1 B="two words"``, or the old form ``A value``, as a table.

    Raises:
        errors.InvalidArgument: It is neither.
    """
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise errors.InvalidArgument(f"'{text}': {str(error).lower()}") from error
    if parts and "=" not in parts[0]:
        name, _, value = text.partition(" ")
        return {name: value.strip()}
    if not all("=" in part for part in parts):
        raise errors.InvalidArgument(f"'{text}' is not of the form NAME=value")
    return dict(part.partition("=")[::2] for part in parts)


def _set_env(defaults: ContainerDefaults, text: str) -> None:
    values = dict(entry.partition("=")[::2] for entry in defaults.env or [])
    values.update(assignments(text))
    defaults.env = [f"{name}={value}" for name, value in values.items()]


def _set_labels(defaults: ContainerDefaults, text: str) -> None:
    defaults.labels = {**(defaults.labels or {}), **assignments(text)}


def _set_volumes(defaults: ContainerDefaults, text: str) -> None:
    paths = words(text) if text.startswith("[") else text.split()
    defaults.volumes = {**(defaults.volumes or {}), **{path: {} for path in paths}}


def _set_ports(defaults: ContainerDefaults, text: str) -> None:
    ports = {port if "/" in port else f"{port}/tcp": dict[str, str]() for port in text.split()}
    defaults.exposed_ports = {**(defaults.exposed_ports or {}), **ports}


def _set_cmd(defaults: ContainerDefaults, text: str) -> None:
    defaults.cmd = words(text)


def _set_entrypoint(defaults: ContainerDefaults, text: str) -> None:
    defaults.entrypoint = words(text)


def _set_user(defaults: ContainerDefaults, text: str) -> None:
    defaults.user = text


def _set_working_dir(defaults: ContainerDefaults, text: str) -> None:
    defaults.working_dir = os.path.join(defaults.working_dir or "/", text)


def _set_stop_signal(defaults: ContainerDefaults, text: str) -> None:
    defaults.stop_signal = text


_CHANGES: dict[str, Callable[[ContainerDefaults, str], None]] = {
    "CMD": _set_cmd,
    "ENTRYPOINT": _set_entrypoint,
    "ENV": _set_env,
    "EXPOSE": _set_ports,
    "LABEL": _set_labels,
    "STOPSIGNAL": _set_stop_signal,
    "USER": _set_user,
    "VOLUME": _set_volumes,
    "WORKDIR": _set_working_dir,
}
