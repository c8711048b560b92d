"""The study's arms, what it finds and its page; that it trains and measures, a slow test."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pipelines.command_line import UserError

ROOT = Path(__file__).parents[2]
SETTINGS = ["seed=0"]


@pytest.fixture
def arms():
    return import_module("reproduction_study.arms")


def cell(loss: float, **figures) -> dict:
    curve = [
        {"step": step, "validation_text_to_image": loss * 2 / step, "validation_image_to_text": 1.0}
        for step in (1, 2)
    ]
    return {"figures": figures, "curve": curve, "minutes": 1.5}


@pytest.fixture
def results(tmp_path, arms):
    """Two seeds of three arms, in which end to end gains 0.10 and 0.12."""
    runs = import_module("reproduction_study.runs")
    results = import_module("reproduction_study.results")
    study = runs.ReproductionStudy(tmp_path)
    for seed, right in enumerate((0.30, 0.34)):
        found = {
            "base": cell(0.5 + right, drawn_codebook=right, sampling={"guidance": {"1.5": right}}),
            "dense": cell(0.501 + right, drawn_codebook=right),
            "end_to_end": cell(
                0.5,
                drawn_codebook=right,
                drawn_hidden=right + 0.10 + 0.02 * seed,
                gold_codebook=0.9,
                gold_hidden=0.8 - 0.001 * seed,
            ),
        }
        for arm, one in found.items():
            study.cells.run(f"scenes_{arm}_{seed}", SETTINGS, lambda one=one: one)
    return results.ReproductionResults(study, 2, arms.datasets(None))


def test_an_arm_of_other_settings_is_refused(results, arms):
    data = arms.datasets(None)["scenes"]
    with pytest.raises(UserError, match="other settings"):
        results.study.finished(data, arms.ARMS["scenes"][0], 0)
    assert not results.study.finished(data, arms.ARMS["scenes"][0], 2)


def test_figures_are_found_by_their_path(results):
    assert results.values("scenes", "base", "drawn_codebook") == {0: 0.30, 1: 0.34}
    assert results.values("scenes", "base", "sampling/guidance/1.5") == {0: 0.30, 1: 0.34}
    losses = results.values("scenes", "base", "loss/text_to_image")
    assert losses == pytest.approx({0: 0.80, 1: 0.84})
    assert results.values("scenes", "base", "sampling/best_of/8") == {}
    assert results.values("scenes", "nothing", "drawn_codebook") == {}


def test_gains_are_paired_by_seed_and_signed(results):
    comparison = import_module("reproduction_study.results").Comparison
    hidden, ids = ("end_to_end", "drawn_hidden"), ("base", "drawn_codebook")
    assert results.gains(comparison("scenes", hidden, ids)) == pytest.approx([0.10, 0.12])
    loss = "loss/text_to_image"
    kept = comparison("scenes", ("base", loss), ("dense", loss), lower=True)
    assert results.gains(kept) == pytest.approx([0.001, 0.001])


def test_the_page_says_what_holds_and_leaves_gaps_where_nothing_was_run(results, tmp_path):
    page = import_module("reproduction_study.page")
    sparse = page.sparse_section(results)
    assert "| scenes | row, column, row, conv | 0.820 ± 0.028 |" in sparse
    assert "holds here (+0.001" in sparse and "| scenes | conv | — |" in sparse
    # A column of 8 has 36 pairs, eight columns 288 of the 2,080 of 64 positions.
    assert "on a grid of 8 x 8 ids row leaves 26%, column 14% and conv 82%" in sparse
    whole = page.end_to_end_section(results)
    assert "from hidden states (VQ, `consumed`): scenes does not hold here" in whole
    assert "draw better than two-stage (VQ, `consumed`): scenes the noise cannot" in whole
    short = page.short_section(results)
    assert "| claim | scenes loss | scenes | scenes PSNR |" in short
    better = "gold ids are painted better from hidden states"
    assert f"| {better} (VQ, `consumed`) |  | does not hold here | — |" in short
    assert f"| {better} (dVAE) |  | — | — |" in short
    for section in page.SECTIONS:
        assert section(results)
    import_module("reproduction_study.curves").plot_curves(results, tmp_path / "images")
    for name in ("sparse", "end_to_end", "directions", "sampling"):
        assert (tmp_path / "images" / f"reproduction_{name}.png").stat().st_size > 5000


@pytest.mark.parametrize(("large", "side"), [(False, 64), (True, 128)])
def test_every_arm_has_a_name_of_its_own_and_known_settings(arms, large, side):
    from pipelines.configuration.loading import load_configuration
    from pipelines.configuration.schemas import BidirectionalRun

    datasets = arms.datasets("somewhere", large)
    assert datasets["scenes"].side == 64 and datasets["emoji"].side == side
    for data in datasets.values():
        names = [arm.name for arm in arms.ARMS[data.name]]
        assert len(names) == len(set(names)) and "base" in names
        for arm in arms.ARMS[data.name]:
            overrides = [*data.overrides, *data.model, *arm.changes]
            overrides += data.reconstruction if arm.end_to_end else []
            run = load_configuration(ROOT / data.config, overrides, BidirectionalRun)
            assert (run.end_to_end is not None) == arm.end_to_end
            assert run.training.batch_size == 32
            assert run.data.size == data.side


@pytest.mark.slow
def test_the_study_runs_and_goes_on(tmp_path):
    """An arm with everything and a control, at a hundredth of their steps."""
    command = [sys.executable, str(ROOT / "benchmarks/reproduction.py"), "--output", "study"]
    command += ["--seeds", "1", "--shorten", "100", "--only"]
    said = []
    for only in ("end_to_end_own_ids", "end_to_end_own_ids", "dvae_tuned"):
        run = subprocess.run([*command, only], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        said.append("[1 of 1]" in run.stderr)
    assert said == [True, False, True]
    control = json.loads((tmp_path / "study/cells/scenes_dvae_tuned_0.json").read_text())
    two_stage = json.loads((tmp_path / "study/cells/scenes_dvae_0.json").read_text())
    gold = "gold_psnr_codebook"
    assert control["figures"][gold] != two_stage["figures"][gold]
    found = json.loads((tmp_path / "study/cells/scenes_end_to_end_own_ids_0.json").read_text())
    assert {"drawn_codebook", "drawn_hidden", "gold_hidden", "described"} <= found["figures"].keys()
    assert len(found["curve"]) >= 2 and not [*(tmp_path / "study/runs").glob("*/state")]
    page = (tmp_path / "study/reproduction.md").read_text()
    assert f"{found['figures']['gold_psnr_hidden']:.2f}" in page
    assert "images/reproduction_scenes.png" in page
    assert (tmp_path / "study/images/reproduction_scenes.png").stat().st_size > 5000
