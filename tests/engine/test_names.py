import pytest

from nbcontainers import errors
from nbcontainers.engine.names import check_name, new_id, new_name


@pytest.mark.parametrize(("given", "bare"), [("web", "web"), ("/web", "web"), ("a.b-c_d1", "a.b-c_d1")])
def test_valid_names(given: str, bare: str) -> None:
    assert check_name(given) == bare


@pytest.mark.parametrize("given", ["a", "-web", "we b", "web/1", "", "/", "ä" * 3, "web\n", "../x"])
def test_invalid_names(given: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="invalid container name"):
        check_name(given)


def test_fresh_names_are_valid_and_not_taken() -> None:
    class Everything:
        def __contains__(self, name: object) -> bool:
            return True

    assert check_name(new_name(Everything()))
    assert len(new_id()) == 64
