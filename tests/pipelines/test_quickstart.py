"""The quickstart, shrunk to a minute: everything it promises to leave behind."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from pipelines.quickstart import minutes_trained

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    "minutes",
    "reconstruction_accuracy",
    "one_object_accuracy",
    "two_object_accuracy",
    "two_object_accuracy_best_of_8",
    "one_object_caption_accuracy",
    "two_object_caption_accuracy",
    "held_out_pair_accuracy",
    "held_out_pair_caption_accuracy",
}


def test_a_resumed_quickstart_counts_what_both_stages_had(tmp_path):
    assert minutes_trained(tmp_path) == 0
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer/metrics.jsonl").write_text('{"minutes": 0.5}\n{"minutes": 1.5}\n')
    assert minutes_trained(tmp_path) == 1.5
    (tmp_path / "metrics.jsonl").write_text('{"minutes": 2.0}\n{"validation_loss": 3.0}\n')
    assert minutes_trained(tmp_path) == 3.5


@pytest.mark.slow
def test_quickstart(tmp_path):
    output = tmp_path / "run"
    shrunk = ["tokenizer_config=configs/tokenizer/tiny.yaml", "training.minutes=0.05"]
    command = [sys.executable, str(ROOT / "pipelines/quickstart.py"), "--output", str(output)]
    # A first try is interrupted in its first stage, and taken up again.
    begun = subprocess.Popen([*command, "--scenes", "8", *shrunk], cwd=ROOT)
    while not (output / "tokenizer/metrics.jsonl").exists():
        assert begun.poll() is None
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    assert begun.wait() == 130 and not (output / "checkpoint").exists()
    done = subprocess.run(
        [*command, "--scenes", "8", *shrunk, "--resume"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((output / "report.json").read_text())
    assert report.keys() >= FIGURES
    assert all(0 <= report[name] <= 1 for name in FIGURES - {"minutes"}) and report["minutes"] > 0
    for picture in ("samples.png", "loss_curve.png", "tokenizer/loss_curve.png"):
        assert min(Image.open(output / picture).size) > 300
    assert "two objects with their relation drawn" in (output / "report.md").read_text()
    index = json.loads((output / "checkpoint/model_index.json").read_text())
    assert index["kind"] == "bidirectional" and index["sampling"] == report["sampling"]
    last = done.stdout.strip().splitlines()[-3:]
    assert "generate_images.py" in last[0] and "caption_images.py" in last[2]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 2 and "not empty" in again.stderr
