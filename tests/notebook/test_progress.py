"""A build as a cell shows it."""

import contextlib

from nbcontainers.notebook.progress import BuildProgress


def test_a_step_that_was_interrupted_is_not_done() -> None:
    progress = BuildProgress()
    with contextlib.suppress(KeyboardInterrupt), progress:
        progress({"stream": "Step 1/2 : FROM host\n", "nbcontainers": {"ms": 3}})
        progress({"stream": "Step 2/2 : RUN sleep 60\n"})
        progress({"stream": "so far\n"})
        raise KeyboardInterrupt
    assert repr(progress) == "✓ FROM host 0.00 s\n✗ RUN sleep 60\n  so far"


def test_a_build_that_ended_well_sums_up() -> None:
    with BuildProgress() as progress:
        progress({"stream": "Step 1/1 : FROM host\n"})
    first, last = repr(progress).splitlines()
    assert first.startswith("✓ FROM host ")
    assert last.startswith("1 step in ")
