import json

import pytest

from pipelines.command_line import UserError
from pipelines.training import metrics
from pipelines.training.metrics import check_trackers, draw_loss_curve, read_metrics


def test_unknown_and_missing_trackers_are_refused(monkeypatch):
    check_trackers(("tensorboard",))
    with pytest.raises(UserError, match="'tensorbord', which accelerate does not offer"):
        check_trackers(("tensorbord",))
    monkeypatch.setattr(metrics, "get_available_trackers", lambda: [])
    with pytest.raises(UserError, match=r"pip install 'drawscribe\[training\]'"):
        check_trackers(("tensorboard",))
    with pytest.raises(UserError, match="`pip install comet-ml`"):
        check_trackers(("comet_ml",))


def test_a_row_cut_off_by_a_kill_is_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(json.dumps({"step": 1, "loss": 2.0}) + '\n{"step": 2, "lo')
    assert read_metrics(file) == [{"step": 1, "loss": 2.0}]


def test_the_loss_curve_is_a_picture(tmp_path):
    file = tmp_path / "metrics.jsonl"
    rows = [{"step": 1, "loss": 2.0}, {"step": 1, "validation_loss": 2.5}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    draw_loss_curve(file, tmp_path / "loss_curve.png")
    assert (tmp_path / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
