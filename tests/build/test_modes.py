import os
import stat
import subprocess
from pathlib import Path

import pytest

from nbcontainers.build.modes import parse

MODES = ["755", "0644", "7777", "u=rwx,go=rx", "a+x", "+x", "go-rwx", "u+s,g=u", "a=rX", "u=rwX,go=rX", "o=g-w", "a+t"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("before", [0o644, 0o750, 0o600])
def test_the_same_as_chmod(mode: str, before: int, tmp_path: Path) -> None:
    for make in (Path.touch, Path.mkdir):
        path = tmp_path / make.__name__
        make(path)
        path.chmod(before)
        status = os.stat(path)
        subprocess.run(["chmod", mode, path], check=True, preexec_fn=lambda: os.umask(0) and None)
        kept = 0 if path.is_file() or not mode.isdecimal() else stat.S_IMODE(os.stat(path).st_mode) & 0o6000
        assert parse(mode)(status.st_mode) | kept == stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("mode", ["", "8", "77777", "u", "u+rz", "rwx", "u=rw,", "=,"])
def test_what_is_no_mode(mode: str) -> None:
    with pytest.raises(ValueError, match="invalid chmod parameter"):
        parse(mode)
