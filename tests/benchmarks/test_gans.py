"""The study of GANs: its arms, what it measures and its page; that it trains, a slow test."""

import json
import subprocess
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFilter

from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import GANRun
from pipelines.evaluation.scene_accuracy import scene_set

ROOT = Path(__file__).parents[2]
SIDE = (64, 64)


@pytest.fixture
def systems():
    return import_module("gan_study.systems")


@pytest.fixture
def study(tmp_path, systems):
    runs = import_module("gan_study.runs")
    pace = import_module("gan_study.pace").PACE
    return runs.GANStudy(tmp_path / "study", systems.data_sets("somewhere"), pace)


def test_every_arm_has_a_name_of_its_own_and_known_settings(systems, study):
    arms = [arm for ablation in systems.ABLATIONS for arm in ablation.systems()]
    everything = [*systems.SYSTEMS, *arms]
    names = [one.name for one in everything]
    assert len(names) == len(set(names))
    runs = {}
    for one in everything:
        overrides = [*study.data["one_object"].overrides, *one.changes, "output=x"]
        config = ROOT / f"configs/gan/{one.config}.yaml"
        runs[one.name] = load_configuration(config, overrides, GANRun)
    for ablation in systems.ABLATIONS:
        base, *others = (runs[arm.name] for arm in ablation.systems())
        assert base == runs[ablation.base.name]
        assert all(other != base for other in others)


def test_minutes_are_counted_in_steps_by_the_pace(study):
    study.pace = {"gan_cls": 0.25, "emoji_tokenizer": 0.1}
    assert study.steps("gan_cls", 10) == 2400
    runs = import_module("gan_study.runs")
    name = runs.pace_name(study.data["emoji"], "tokenizer")
    assert study.steps(name, 1) == 600
    study.shorten = 100
    assert study.steps("gan_cls", 10) == 24


def test_every_budget_has_a_pace(study):
    runs = import_module("gan_study.runs")
    needed = {system.config for system in import_module("gan_study.systems").SYSTEMS}
    for data in study.data.values():
        if data.two_stage is not None:
            needed |= {runs.pace_name(data, part) for part in ("tokenizer", "transformer")}
    assert needed == set(study.pace)


def test_attributes_are_those_of_the_first_readable_row(tmp_path, systems):
    file = BytesIO()
    Image.new("RGB", SIDE).save(file, "PNG")
    texts = ["a cat", None, "a cat", "a dog"]
    table = pa.table(
        {
            "image": [{"bytes": file.getvalue(), "path": None}] * len(texts),
            "text": texts,
            "keywords": ["animal, pet", "nothing", "other", None],
        }
    )
    pq.write_table(table, tmp_path / "test.parquet")
    data = systems.data_sets(str(tmp_path))["emoji"]
    rows = import_module("gan_study.rows")
    found = rows.attributes_of_test(data)
    assert found == {"a cat": ["animal", "pet"], "a dog": []}
    assert set(rows.all_pairs(data, "test").captions) == set(found)


def test_pictures_are_read_strictly_and_leniently():
    figures = import_module("gan_study.figures")
    scenes = scene_set("test", 30, 1, SIDE)
    clean = [Image.fromarray(picture) for picture in scenes.pictures]
    read = figures.readings(scenes, clean)
    assert set(read["strict"].values()) == set(read["lenient"].values()) == {1.0}
    blurred = [image.filter(ImageFilter.GaussianBlur(2)) for image in clean]
    read = figures.readings(scenes, blurred)
    assert read["strict"]["exact"] < 0.2 and read["lenient"]["colour"] > 0.9
    with_specks = [picture.copy() for picture in scenes.pictures]
    for picture in with_specks:
        picture[0, 0] = (160, 20, 250)
    read = figures.readings(scenes, [Image.fromarray(picture) for picture in with_specks])
    assert read["lenient"]["count"] == 1.0
    others = figures.readings(scenes, clean[1:] + clean[:1])
    assert others["lenient"]["exact"] < 0.2
    empty = [Image.new("RGB", SIDE, "white")] * len(clean)
    assert set(figures.readings(scenes, empty)["lenient"].values()) == {0.0}


def fill(study, name: str, figures: dict, steps: int = 5) -> None:
    study.cells.run(name, [], lambda: {"figures": figures, "steps": steps})


def test_the_page_has_what_there_is_and_outlives_the_runs(study, systems, tmp_path, monkeypatch):
    page = import_module("gan_study.page")
    monkeypatch.setattr(page, "shown_pairs", lambda data: [(np.zeros((64, 64, 3)), "a ball")])
    shares = dict.fromkeys(("exact", "shape", "colour", "size", "count", "relation"), 0.25)
    read = {"strict": shares, "lenient": shares}
    judged = {"r_precision": 0.5, "distance": 0.125, "diversity": 0.375}
    for seed, right in enumerate((0.5, 0.7)):
        scenes = dict.fromkeys(("objects_1", "objects_2", "held_out"), read)
        fill(study, f"scenes_gan_cls_{seed}", {**judged, **scenes, "r_precision": right})
    told = [{"now": 0.9}, {"now": 0.8, "earlier": 0.6}]
    fill(study, "forgetting_0", {"with": told, "without": told})
    Image.new("RGB", (10, 4)).save(study.strips / "scenes_gan_cls_0.png")
    file = tmp_path / "docs" / "gan_study.md"
    page.write_page(study, 3, file)
    text = file.read_text()
    assert "| GAN-CLS | 5 | 0.600 ± 0.141 | 0.125 ± 0.000 |" in text
    assert "| XMC-GAN | — | — |" in text and "| with | 2 | 0.800 | 0.600 |" in text
    assert "| GAN-CLS | ![](images/gan_study/scenes_gan_cls_0.png) |" in text
    assert (file.parent / "images/gan_study/scenes_gan_cls_0.png").exists()
    anew = import_module("gan_study.runs").GANStudy(tmp_path / "anew", study.data, study.pace)
    anew.cells.restore(file.with_suffix(".json"))
    assert anew.cells.all() == study.cells.all()
    page.write_page(anew, 3, file)
    assert file.read_text() == text


@pytest.mark.slow
def test_the_study_runs_and_goes_on(tmp_path):
    """A GAN, the two-stage system and the course of forgetting, at a thousandth of their steps."""
    command = [sys.executable, str(ROOT / "benchmarks/gans.py"), "--output", "study"]
    command += ["--seeds", "1", "--shorten", "1000", "--only"]
    said = []
    for only in ("scenes_gan_cls", "scenes_gan_cls", "scenes_two_stage", "forgetting"):
        run = subprocess.run([*command, only], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        said.append("[1 of 1]" in run.stderr)
    assert said == [True, False, True, True]
    for name in ("gan_cls", "two_stage"):
        found = json.loads((tmp_path / f"study/cells/scenes_{name}_0.json").read_text())["figures"]
        assert found["diversity"] > 0 and "relation" in found["objects_2"]["lenient"]
    course = json.loads((tmp_path / "study/cells/forgetting_0.json").read_text())["figures"]
    assert [len(course[arm]) for arm in ("with", "without")] == [6, 6]
    assert (tmp_path / "study/images/gans/scenes_gan_cls_0.png").stat().st_size > 1000
