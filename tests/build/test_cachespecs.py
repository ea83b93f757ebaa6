import pytest

from nbcontainers.build import cachespecs
from nbcontainers.build.cachespecs import CacheSpec
from nbcontainers.errors import Error

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["app:1", ""], [CacheSpec(kind="image", where="app:1")]),
        (["type=local,src=/c"], [CacheSpec(kind="local", where="/c")]),
        (["src=/a//b/,type=local,tag=x"], [CacheSpec(kind="local", where="/a/b", tag="x")]),
        ([f"type=local,src=/c,digest={DIGEST}"], [CacheSpec(kind="local", where="/c", digest=DIGEST)]),
        (['type=local,"src=/a,b"'], [CacheSpec(kind="local", where="/a,b")]),
        (["type=registry,ref=app"], [CacheSpec(kind="registry", where="app:latest")]),
        (["ref=localhost:5000/app:1"], [CacheSpec(kind="registry", where="localhost:5000/app:1")]),
        (  # as docker's own client splits it
            ["app", "type=local", "src=/c", "tag=x", "app:2"],
            [
                CacheSpec(kind="image", where="app"),
                CacheSpec(kind="local", where="/c", tag="x"),
                CacheSpec(kind="image", where="app:2"),
            ],
        ),
    ],
)
def test_sources(texts: list[str], expected: list[CacheSpec]) -> None:
    assert list(cachespecs.sources(texts)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=local,dest=/c", CacheSpec(kind="local", where="/c")),
        ("type=local,dest=/c,mode=max,tag=b", CacheSpec(kind="local", where="/c", tag="b", everything=True)),
        (
            "type=registry,ref=r/a:c,mode=min,ignore-error=true,image-manifest=true,oci-mediatypes=true",
            CacheSpec(kind="registry", where="r/a:c", may_fail=True),
        ),
        ("r/a:c", CacheSpec(kind="registry", where="r/a:c")),
        ("type=inline", CacheSpec(kind="inline")),
        ("type=local,dest=/c,compression=gzip", CacheSpec(kind="local", where="/c")),
    ],
)
def test_targets(text: str, expected: CacheSpec) -> None:
    assert cachespecs.targets([text]) == (expected,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=local,src=c", "no absolute path"),
        ("type=local", "src=FOLDER is wanted"),
        ("type=local,src=/c,dest=/d", "'dest' is not known"),
        ("type=local,src=/c,src=/d", "once for each name"),
        ("type=local,src=/c,x", "NAME=VALUE is wanted"),
        ("type=local,src=/c,digest=sha256:1", "no digest"),
        ("type=local,src=/c,tag=a/b", "is no tag"),
        ("type=registry", "ref=NAME is wanted"),
        ("type=registry,ref=UPPER", "invalid reference format"),
        ("type=gha,scope=x", "'gha' is not supported"),
        ("type=inline", "'inline' is not supported"),
        ("type=x", "local or registry, not 'x'"),
        ("mode=max", "local or registry, not ''"),
    ],
)
def test_sources_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(Error, match=reason):
        cachespecs.sources([text])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type=local,dest=c", "no absolute path"),
        ("type=local,src=/c", "'src' is not known"),
        ("type=local,dest=/c,mode=all", "min or max, not 'all'"),
        ("type=local,dest=/c,compression=zstd", "compression=gzip is"),
        ("type=registry,ref=a,image-manifest=false", "image-manifest=true is"),
        (f"type=registry,ref=a@{DIGEST}", "not to a digest"),
        ("type=inline,mode=max", "own stage alone"),
        ("type=s3,bucket=b", "'s3' is not supported"),
    ],
)
def test_targets_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(Error, match=reason):
        cachespecs.targets([text])
