"""See `kills.py`, which a reader can run as well."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kills.py")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tokenizer", "bidirectional"])
def test_twenty_kills_change_nothing(stage):
    command = [sys.executable, str(SCRIPT), "--stage", stage, "--kills", "20"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[3])
    assert done.returncode == 0, done.stderr
    assert "writing a state" in done.stderr and "bit for bit" in done.stderr
