"""The arguments that tell a Dockerfile which platform it is built on and for.

Source: Dockerfile reference § Automatic platform ARGs in the global scope.
"""

from nbcontainers.images.platforms import Platform, parse, this

__all__ = ["Platform", "arguments", "parse", "this"]


def arguments(target: Platform, stage: str) -> dict[str, str]:
    """Return the platform arguments of a build."""
    build = this()
    return {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": "",
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": "",
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }
