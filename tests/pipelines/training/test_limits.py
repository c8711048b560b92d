"""Runs that a limit of the system stops: a disk that takes no more, memory that is used up."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.training import storage
from pipelines.training.checkpoint import open_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="ulimit as Linux has it"),
]

ROOT = Path(__file__).resolve().parents[3]
RUN = ["--config", "configs/tokenizer/tiny.yaml", "output=run", "training.save_every=2"]
RUN += ["training.validate_every=0", "training.sample_every=0"]


def train(folder: Path, limit: str, *more: str) -> tuple[int, str]:
    """Its exit code and what it said last."""
    script = str(ROOT / "pipelines" / "train_tokenizer.py")
    command = shlex.join([sys.executable, script, *RUN, *more])
    done = subprocess.run(
        ["bash", "-c", f"{limit}; exec {command}"], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_a_disk_that_takes_no_more(tmp_path):
    """No file may be larger than 600 KiB; a state's are."""
    assert train(tmp_path, "true", "training.steps=4")[0] == 0
    code, said = train(tmp_path, "ulimit -f 600", "training.steps=8", "--resume")
    assert code == 2
    assert "state/step_6 cannot be saved" in said and "step_4 is whole: make room" in said
    assert storage.saved_steps(tmp_path / "run" / "state") == [2, 4]
    assert {path.name for path in (tmp_path / "run" / "state").iterdir()} == {"step_2", "step_4"}
    assert open_checkpoint(tmp_path / "run").step == 4
    assert train(tmp_path, "true", "training.steps=8", "--resume")[0] == 0
    assert open_checkpoint(tmp_path / "run").step == 8


def test_memory_that_is_used_up(tmp_path):
    """20 GiB of addresses, and one activation that wants 32."""
    larger = ["data.size=256", "model.patch_size=1", "model.base_channels=512", "output=larger"]
    code, said = train(tmp_path, f"ulimit -v {20 * 2**20}", "training.batch_size=256", *larger)
    assert code == 2 and said.startswith("error: out of memory at step 1 on cpu")
    assert "lower training.micro_batch_size (now 256)" in said
