import pytest

from nbcontainers.build import instructions
from nbcontainers.build.durations import duration_ns
from nbcontainers.build.instructions import Copy, From, Health, Onbuild, Run
from nbcontainers.build.parser import parse
from nbcontainers.errors import DockerfileError

BAD = [
    ("RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
    ("RNU x", "unknown instruction: RNU (did you mean RUN?)"),
    ("coppy a b", "unknown instruction: coppy (did you mean COPY?)"),
    ("XYZZY x", "unknown instruction: XYZZY"),
    ("RUN", "RUN requires at least one argument"),
    ("ENV", "ENV requires at least one argument"),
    ("LABEL =x", "LABEL names can not be blank"),
    ("ARG =x", "ARG names can not be blank"),
    ("VOLUME", "VOLUME requires at least one argument"),
    ('VOLUME ["a", " "]', "VOLUME specified can not be an empty string"),
    ("USER", "USER requires exactly one argument"),
    ("WORKDIR", "WORKDIR requires exactly one argument"),
    ("COPY a", "COPY requires at least two arguments"),
    ("COPY a <<E\nE", "cannot accept a heredoc as a destination"),
    ("COPY --from=$X a b", "variable expansion"),
    ("COPY --chwon=1 a b", "unknown flag: --chwon (did you mean --chown?)"),
    ("COPY --chown a b", "missing a value on flag: --chown"),
    ("COPY --chown=1 --chown=2 a b", "duplicate flag specified: --chown"),
    ("COPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe"),
    ("ADD --keep-git-dir a b", "--keep-git-dir is not supported"),
    ("MAINTAINER --boo me", "unknown flag: --boo"),
    ("FROM a b", "FROM requires either one or three arguments"),
    ("FROM a AS 1st", "name can't start with a number or contain symbols"),
    ("SHELL sh -c", "SHELL requires the arguments to be in JSON form"),
    ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
    ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
    ("HEALTHCHECK RUN x", 'Unknown type "RUN" in HEALTHCHECK'),
    ("HEALTHCHECK --interval=5 CMD x", "invalid duration '5'"),
    ("HEALTHCHECK --timeout=1us CMD x", "cannot be less than 1ms"),
    ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative"),
    ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
    ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
    ("ONBUILD RUNN x", "unknown instruction: RUNN"),
    ("RUN --network=other x", "unsupported network mode 'other'"),
    ("RUN --security=insecure x", "--security=insecure is not supported: "),
    ("RUN --device=gpu x", "--device is not supported: "),
    ("RUN --mount=type=ssh x", "--mount=type=ssh is not supported: use a secret"),
    ("RUN --mount=type=cahce,target=/x x", 'unsupported mount type "cahce" (did you mean cache?)'),
    ("RUN --mount=type=bind,targte=/x x", "unexpected key 'targte' in 'targte=/x' (did you mean target?)"),
    ("RUN --mount=type=bind,from=$X,target=/x x", "'from' doesn't support variable expansion"),
    ("RUN --mount=type=bind,target x", "invalid field 'target' must be a key=value pair"),
    ("RUN --mount=type=bind,target=/x,size=1 x", "unexpected key 'size' for mount type 'bind'"),
    ("RUN --mount=type=cache,target=/x,sharing=none x", 'unsupported sharing value "none"'),
    ("RUN --mount=type=cache,target=/x,mode=9 x", "invalid value 9 for mode"),
    ("RUN --mount=type=tmpfs,target=/x,size=big x", "invalid value for size: big"),
    ("RUN --mount=type=secret,required x", "one of source, target or id is required"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        instructions.parse(parse(text).nodes[0])
    assert message in caught.value.message
    assert caught.value.line == 1


def _read(text: str) -> instructions.Instruction:
    return instructions.parse(parse(text).nodes[0])


def test_from() -> None:
    start = _read("FROM --platform=linux/amd64 Base as My-Stage.1")
    assert isinstance(start, From)
    assert (start.base, start.stage, start.platform) == ("Base", "my-stage.1", "linux/amd64")


def test_copy() -> None:
    one = _read("COPY --from=x --link --parents=false --exclude=a --exclude=b <<F s1 s2 /d/\nfile\nF")
    assert isinstance(one, Copy)
    assert (one.sources, one.destination, one.from_, one.link, one.parents) == (("s1", "s2"), "/d/", "x", True, False)
    assert one.excludes == ("a", "b")
    assert [(heredoc.name, heredoc.content) for heredoc in one.contents] == [("F", "file\n")]


def test_run() -> None:
    one = _read("RUN --mount=type=tmpfs,target=/a --mount=type=cache,target=/b --network=host make all")
    assert isinstance(one, Run)
    assert (one.words, one.is_exec, one.network, len(one.mounts)) == (("make all",), False, "host", 2)


def test_healthcheck() -> None:
    one = _read('HEALTHCHECK --interval=1m30s --timeout=.5s --retries=3 CMD ["a", "b"]')
    assert isinstance(one, Health)
    assert (one.check.test, one.check.interval, one.check.timeout, one.check.retries) == (
        ["CMD", "a", "b"],
        90 * 10**9,
        5 * 10**8,
        3,
    )


def test_onbuild_keeps_its_here_documents() -> None:
    one = _read("ONBUILD COPY <<E /x\nhello\nE")
    assert isinstance(one, Onbuild)
    assert one.trigger == "COPY <<E /x\nhello\nE"


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("30s", 30 * 10**9), ("1m30s", 90 * 10**9), ("1.5ms", 1_500_000), ("0", 0), ("-1s", -(10**9)), ("2µs", 2000)],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1 s", "300000h9999999h", "--1s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        duration_ns(text)
