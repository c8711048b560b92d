"""The benchmark of contrasts: what its arms are, and its table; that it trains, a slow test."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks/end_to_end_contrasts.py"


@pytest.fixture
def study(tmp_path):
    return import_module("reproduction_study.runs").ReproductionStudy(tmp_path)


def test_arms_can_be_trained_and_differ_from_the_default_in_what_they_say(study):
    arms = import_module("reproduction_study.arms")
    data, default = arms.datasets(None)["scenes"], None
    for arm in arms.CONTRASTS:
        overrides = [*study.overrides(data, arm, 0), "output=x"]
        run = load_configuration(ROOT / data.config, overrides, BidirectionalRun)
        assert run.end_to_end is not None
        assert (run.text_encoder is not None) == bool(run.contrasts.of_texts) == arm.texts
        default = default or run
        assert run.training.steps == default.training.steps
        assert bool(run.contrasts.used or run.reconstruction.adversarial_weight) == (
            run is not default
        )
    # Where an encoder lies is of a machine, and not a setting of the cell.
    kept = import_module("study.runs").kept(study.overrides(data, arms.CONTRASTS[3], 0))
    assert arms.CONTRASTS[3].texts and not [one for one in kept if "text_encoder" in one]


def test_arms_of_a_tokenizer_can_be_trained():
    choices = import_module("tokenizer_choices")
    of_judges = {name: one for name, one in choices.ARMS.items() if "discriminator" in name}
    weights = set()
    for changes in choices.ARMS.values():
        run = load_configuration("tokenizer/quickstart.yaml", [*changes, "output=x"], TokenizerRun)
        weights |= {*run.contrasts.used, run.objective.adversarial_loss}
    assert weights == {"local_global_weight", "real_fake_weight", "hinge", "dual_contrastive"}
    assert len(of_judges) == 6


def test_gains_are_paired_differences_to_the_default(study):
    benchmark = import_module("end_to_end_contrasts")
    for arm, values in {"end_to_end": (0.3, 0.4), "end_to_end_words": (0.4, 0.52)}.items():
        for seed, value in enumerate(values):
            figures = dict.fromkeys(benchmark.FIGURES, value)
            found = {"figures": figures, "minutes": 1.0}
            study.cells.run(f"scenes_{arm}_{seed}", [], lambda found=found: found)
    of_seeds = import_module("reproduction_study.results").ReproductionResults
    lines = benchmark.report(of_seeds(study, 2, {})).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| end_to_end | 2 | 0.350 | 0.350 |")
    # t = 12.706 at one degree of freedom, standard error 0.01
    assert lines[3].startswith("| end_to_end_words | 2 | 0.460 (+0.110, -0.017 to +0.237) |")
    assert "+0.100)" in benchmark.report(of_seeds(study, 1, {})).splitlines()[3]


@pytest.mark.slow
def test_it_runs_and_goes_on(tmp_path):
    command = [sys.executable, str(SCRIPT), "--output", "study", "--seeds", "1"]
    command += ["--shorten", "200", "--only", "sentences_light"]
    for _ in range(2):
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        assert "| end_to_end_sentences_light | 1 |" in run.stdout
    cell = tmp_path / "study/cells/scenes_end_to_end_sentences_light_0.json"
    found = json.loads(cell.read_text())
    assert "contrasts.sentence_weight=0.01" in found["settings"]
