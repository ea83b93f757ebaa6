import platform as machine

import pytest

from nbcontainers.build import checking, graph, rules
from nbcontainers.build.graph import Graph, Wish
from nbcontainers.build.parser import parse
from nbcontainers.build.rules import RULES, Checks
from nbcontainers.errors import DockerfileError, InvalidArgument

TRIGGERS = {"base-with-triggers": ["RUN one", "COPY --from=early /a /b"]}


def _plan(
    text: str,
    checks: Checks | None = None,
    *,
    buildargs: dict[str, str] | None = None,
    target: str = "",
) -> Graph:
    wish = Wish(
        buildargs=buildargs or {}, target=target, platform="", triggers_of=lambda name, _: TRIGGERS.get(name, [])
    )
    return graph.plan(parse(text), wish, checks or Checks())


def _names(plan: Graph) -> list[str]:
    return [stage.name for stage in plan.stages]


STAGES = """
FROM a AS one
FROM b AS two
COPY --from=one /x /y
FROM c AS unused
FROM two
RUN --mount=type=bind,from=three,target=/m --mount=type=cache,target=/c true
FROM d AS four
"""


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("", ["four"]),
        ("two", ["one", "two"]),
        ("TWO", ["one", "two"]),
        ("3", ["one", "two", "stage-3"]),
        ("unused", ["unused"]),
    ],
)
def test_only_what_the_target_needs_is_built(target: str, wanted: list[str]) -> None:
    assert _names(_plan(STAGES, target=target)) == wanted


def test_an_unknown_target() -> None:
    with pytest.raises(InvalidArgument, match=r"target stage 'unusd' could not be found \(did you mean unused\?\)"):
        _plan(STAGES, target="unusd")


def test_a_name_is_the_last_stage_of_that_name_so_far() -> None:
    plan = _plan("FROM a AS x\nFROM b AS x\nFROM c\nCOPY --from=x / /\nCOPY --from=0 / /")
    assert plan.stages[-1].needs() == {0, 1}
    assert _names(plan) == ["x", "x", "stage-2"]


def test_arguments_before_the_first_from() -> None:
    plan = _plan("ARG V=1 W=$V.2\nARG X\nFROM i:$W AS s\nFROM j:${X:-none}", buildargs={"V": "7"})
    assert [stage.base for stage in plan.all_stages] == ["i:7.2", "j:none"]
    assert plan.declared == {"V", "W", "X"}


def test_platform_arguments() -> None:
    plan = _plan("FROM --platform=$BUILDPLATFORM a:$TARGETARCH AS last")
    assert plan.stages[0].base.endswith("amd64" if machine.machine() == "x86_64" else "arm64")
    assert plan.arguments["TARGETSTAGE"] == "last"


def test_triggers_come_first_and_may_need_other_stages() -> None:
    plan = _plan("FROM a AS early\nFROM base-with-triggers\nRUN two")
    assert [str(one) for one in plan.stages[1].triggers] == ["RUN one", "COPY --from=early /a /b"]
    assert plan.stages[1].needs() == {0}


def test_a_stage_passes_its_triggers_to_the_stage_on_it() -> None:
    plan = _plan("FROM a AS x\nONBUILD RUN one\nFROM x AS y\nFROM y")
    assert [len(stage.triggers) for stage in plan.stages] == [0, 1, 0]


BAD = [
    ("RUN x", 1, "the first instruction must be FROM"),
    ("ARG X\nCOPY a b", 2, "the first instruction must be FROM"),
    ("ARG X", 1, "the first instruction must be FROM"),
    ("FROM $NOTHING", 1, "base name ($NOTHING) should not be blank"),
    ("FROM --platform=$X a", 1, "empty platform value"),
    ("FROM --platform=plan9 a", 1, "unknown operating system"),
    ("FROM --platform=windows a", 1, "images for linux are built"),
    ("FROM a\nCOPY --from=1 a b", 2, "there is no earlier stage 1"),
    ("FROM a\nCOPY --from=late a b\nFROM b AS late", 2, "it needs to be defined before current stage"),
    ("FROM a AS me\nCOPY --from=me a b", 2, "it needs to be defined before current stage"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD)
def test_what_does_not_fit_together(text: str, line: int, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        _plan(text)
    assert message in caught.value.message
    assert caught.value.line == line


# Dockerfile, rules that warn, each with its line
WARNED = [
    ("FROM a\nrun x", ["ConsistentInstructionCasing 2"]),
    ('from a\nrun x\nCmd ["y"]', ["ConsistentInstructionCasing 3"]),
    ("FROM a as b", ["FromAsCasing 1"]),
    ("FROM a AS B", ["StageNameCasing 1"]),
    ("FROM a AS b\nFROM a AS b", ["DuplicateStageName 2"]),
    ("FROM a AS scratch", ["ReservedStageName 1"]),
    ("FROM a\nRUN x \\\n\n y", ["NoEmptyContinuation 4"]),
    ("FROM a\nCMD x", ["JSONArgsRecommended 2"]),
    ('FROM a\nSHELL ["x"]\nCMD x', []),
    ("FROM a\nMAINTAINER x", ["MaintainerDeprecated 2"]),
    ("FROM a:$X", ["InvalidDefaultArgInFrom 1", "UndefinedArgInFrom 1"]),
    ("ARG X\nFROM a:${X:-1}", []),
    ("FROM a\nWORKDIR x", ["WorkdirRelativePath 2"]),
    ("FROM a\nWORKDIR /x\nWORKDIR y", []),
    ('FROM a\nCMD ["x"]\nCMD ["y"]', ["MultipleInstructionsDisallowed 2"]),
    ('FROM a AS b\nCMD ["x"]\nFROM b\nCMD ["y"]', []),
    ("FROM a\nENV X y", ["LegacyKeyValueFormat 2"]),
    ("FROM a\nENV API_KEY=x PUBLIC_KEY=y KEYS=z", ["SecretsUsedInArgOrEnv 2"]),
    ("FROM a\nARG password", ["SecretsUsedInArgOrEnv 2"]),
    ("FROM --platform=$TARGETPLATFORM a", ["RedundantTargetPlatform 1"]),
    ("FROM --platform=linux a", ["FromPlatformFlagConstDisallowed 1"]),
    ("# check=skip=JSONArgsRecommended\nFROM a\nCMD x\nMAINTAINER x", ["MaintainerDeprecated 4"]),
    ("# check=skip=all\nFROM a\nCMD x\nMAINTAINER x", []),
    ("FROM a\n# check=skip=JSONArgsRecommended\nCMD x\nENTRYPOINT y", ["JSONArgsRecommended 4"]),
    ("# check=experimental=all\n# not about it\nFROM a AS b\n# x is one\nARG x", ["InvalidDefinitionDescription 3"]),
    ("FROM a\n# something\nARG x", []),
    ("# check=experimental=all\n# y is one\nARG x\nFROM a", ["InvalidDefinitionDescription 3"]),
    ("# check=experimental=all\nFROM a\n# not about it\n#\nARG x", []),
    ("FROM a\n# check=skip=all // for a reason\nARG password\nARG token", ["SecretsUsedInArgOrEnv 4"]),
    ('FROM a AS b\nSHELL ["x"]\nFROM b\nCMD x', []),
    ("FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y", []),
    ("FROM a AS unused\nENV X y\nWORKDIR y\nMAINTAINER z\nFROM a", ["MaintainerDeprecated 4"]),
]


@pytest.mark.parametrize(("text", "found"), WARNED, ids=[row[0] for row in WARNED])
def test_the_checks(text: str, found: list[str]) -> None:
    tree = parse(text)
    checks = Checks(settings=rules.settings(tree.directives.get("check", "")))
    plan = _plan(text, checks)
    checking.check(plan, checks)
    warnings = checks.take()
    assert sorted(f"{warning.rule} {warning.line}" for warning in warnings) == sorted(found)
    assert all(warning.rule in RULES and "{" not in warning.text for warning in warnings)


def test_every_rule_has_a_name_and_a_description() -> None:
    assert all(name == rule.name and rule.description and rule.text for name, rule in RULES.items())


@pytest.mark.parametrize("text", ["x", "skip", "error=perhaps", "what=all"])
def test_bad_check_options(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid check option"):
        rules.settings(text)
