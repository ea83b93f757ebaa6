"""The endpoints of images, but for building them (see ``builds``)."""

from fnmatch import fnmatchcase

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import contexts, responses, times
from nbcontainers.api.calls import Call
from nbcontainers.api.filters import labels_match
from nbcontainers.api.routing import Route
from nbcontainers.images import Image

IMAGE_FILTERS = frozenset(("before", "dangling", "label", "reference", "since", "until"))
Json = dict[str, object]


async def list_images(call: Call) -> web.Response:
    """``GET /images/json``."""
    asked = call.filters(IMAGE_FILTERS)
    images = call.engine.images
    before = [images.get(name).created_ns for name in asked.get("before", ())]
    since = [images.get(name).created_ns for name in asked.get("since", ())]
    found = []
    for image in images.list():
        if "dangling" in asked and bool(image.repo_tags) == (asked["dangling"][0].lower() in ("1", "true")):
            continue
        if "reference" in asked and not any(_fits(image, pattern) for pattern in asked["reference"]):
            continue
        if any(image.created_ns >= time for time in before) or any(image.created_ns <= time for time in since):
            continue
        if labels_match(image.config.config.labels, asked.get("label", [])):
            found.append(image)
    found.sort(key=lambda image: image.created_ns, reverse=True)
    return responses.json([summary(call, image) for image in found])


def _fits(image: Image, pattern: str) -> bool:
    """Say whether a reference fits a pattern: with a tag it is matched whole, without one by its name."""
    return any(fnmatchcase(tag, pattern) or fnmatchcase(tag.rpartition(":")[0], pattern) for tag in image.repo_tags)


def summary(call: Call, image: Image) -> Json:
    """Return one row of ``docker images``."""
    return {
        "Id": image.id,
        "ParentId": image.parent or "",
        "RepoTags": image.repo_tags,
        "RepoDigests": image.repo_digests,
        "Created": image.created_ns // 10**9,
        "Size": image.size_bytes,
        "SharedSize": -1,
        "Labels": image.config.config.labels or {},
        "Containers": sum(container.image_id == image.id for container in call.engine.containers()),
    }


async def inspect(call: Call) -> web.Response:
    """``GET /images/{name}/json``."""
    image = call.engine.images.get(call.parameters["name"])
    document = image.config
    return responses.json(
        {
            "Id": image.id,
            "RepoTags": image.repo_tags,
            "RepoDigests": image.repo_digests,
            "Parent": image.parent or "",
            "Comment": (document.history[-1].comment or "") if document.history else "",
            "Created": times.rfc3339(image.created_ns),
            "DockerVersion": "",
            "Author": document.author or "",
            "Config": document.config,
            "Architecture": document.architecture,
            "Os": document.os,
            "Size": image.size_bytes,
            "GraphDriver": {"Name": "overlay2", "Data": None},
            "RootFS": {"Type": "layers", "Layers": document.rootfs.diff_ids},
            "Metadata": {"LastTagTime": times.NEVER},
            # Docker's until API 1.45; docker-compose 1.29 cannot make a container anew without it, whatever it speaks.
            "ContainerConfig": document.config,
        }
    )


async def history(call: Call) -> web.Response:
    """``GET /images/{name}/history``: the newest layer first."""
    rows = call.engine.images.history(call.parameters["name"])
    return responses.json(
        [
            {
                "Id": row.id,
                "Created": row.created_ns // 10**9,
                "CreatedBy": row.created_by,
                "Tags": row.tags or None,
                "Size": row.size_bytes,
                "Comment": row.comment,
            }
            for row in rows
        ]
    )


async def tag(call: Call) -> web.Response:
    """``POST /images/{name}/tag``."""
    call.engine.tag_image(call.parameters["name"], _reference(call))
    return responses.empty(201)


def _reference(call: Call) -> str:
    """Return repository and tag from the query as one reference."""
    repository, tag_name = call.text("repo"), call.text("tag")
    if not repository:
        raise errors.InvalidArgument("repository name must have at least one component: give repo")
    return f"{repository}:{tag_name}" if tag_name else repository


async def remove(call: Call) -> web.Response:
    """``DELETE /images/{name}``."""
    if call.flag("noprune"):
        raise errors.Unsupported("noprune is not supported")
    done = await call.engine.remove_image(call.parameters["name"], force=call.flag("force"))
    return responses.json([{action: what} for action, what in done])


async def create(call: Call) -> web.StreamResponse:
    """``POST /images/create``: import a root file system (``fromSrc=-``); pulling comes later."""
    if name := call.text("fromImage"):
        return _pulled(call, name)
    if call.text("fromSrc") != "-":
        raise errors.Unsupported(f"importing from a url is not supported: '{call.text('fromSrc')}', use fromSrc=-")
    if call.text("platform") not in ("", "linux"):
        raise errors.Unsupported(f"choosing a platform comes later: '{call.text('platform')}'")
    reference = _reference(call) if call.text("repo") else ""
    with await contexts.spool(call.request.content.iter_any(), call.engine.root / "contexts") as archive:
        image = await call.engine.import_image(
            archive, changes=call.texts("changes"), message=call.text("message"), reference=reference
        )
    return responses.raw_json(responses.encode({"status": image.id}) + b"\r\n")


def _pulled(call: Call, name: str) -> web.Response:
    """Answer a pull: there is nothing to do for an image that is here.

    Raises:
        errors.Unsupported: It is not here.
    """
    tag_name = call.text("tag")
    reference = name if not tag_name else f"{name}@{tag_name}" if ":" in tag_name else f"{name}:{tag_name}"
    try:
        image = call.engine.images.get(reference)
    except errors.NotFound:
        raise errors.Unsupported(
            f"no such image: {reference}: pull comes later, build it or import a root file system"
        ) from None
    lines = [{"status": f"Digest: {image.id}"}, {"status": f"Status: Image is up to date for {reference}"}]
    return responses.raw_json(b"".join(responses.encode(line) + b"\r\n" for line in lines))


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/images/json", list_images, interruptible=True),
        Route("POST", "/images/create", create),
        Route("GET", "/images/{name:.+}/json", inspect, interruptible=True),
        Route("GET", "/images/{name:.+}/history", history, interruptible=True),
        Route("POST", "/images/{name:.+}/tag", tag),
        Route("DELETE", "/images/{name:.+}", remove),
    ]
