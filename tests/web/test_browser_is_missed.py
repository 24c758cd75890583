"""Tests that need a browser are never left out in silence."""

import os
import subprocess
import sys

from support.pages import ROOT


def test_what_was_not_run_is_counted_at_the_end() -> None:
    """Without Chromium the run ends with the number of tests it left out, and how to get the browser."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/browser/test_login_by_keyboard.py"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "CHROMIUM": "/nowhere/chromium"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 browser tests were NOT RUN" in done.stdout
    assert "`make browser`" in done.stdout
