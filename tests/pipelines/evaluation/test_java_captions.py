"""Java programs that fail, hang, or answer what SPICE does: played by a script named java."""

import os
import sys
import time

import pytest

from pipelines.evaluation import caption_metrics, java_captions, java_programs
from pipelines.evaluation.caption_metrics import score_captions
from pipelines.evaluation.java_programs import JavaError, run_java

SAID, GIVEN = ["a dog", "a cat"], [["a dog"], ["one cat"]]
RIGHT = {0: ["a dog"], 1: ["one cat"]}
HYPOTHESES = {0: ["a dog"], 1: ["a cat"]}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs executable scripts")


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Takes a Python program to run instead of Java."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(program):
        file = folder / "java"
        file.write_text(f"#!{sys.executable} -S\nimport json, sys, time\n{program}\n")
        file.chmod(0o755)

    return install


def test_a_java_that_fails(java):
    java("sys.exit('Could not reserve enough space for object heap')")
    figures = score_captions(SAID, GIVEN)
    assert "a plain one" in figures.tokenizer
    assert "object heap" in figures.meteor.reason
    assert isinstance(figures.bleu_1, float)
    with pytest.raises(JavaError, match="ended with code 1"):
        run_java([], ".")
    # METEOR's own, once it is clear that there is a Java.
    java("if '-version' not in sys.argv: sys.exit('Unable to read meteor-1.5.jar')")
    with pytest.raises(JavaError, match="ended before its answer .*meteor-1.5.jar"):
        java_captions.meteor(RIGHT, HYPOTHESES)


def test_a_java_that_hangs(java, monkeypatch):
    monkeypatch.setattr(java_programs, "LIMIT_SECONDS", 0.3)
    java("if '-version' not in sys.argv: time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(JavaError, match="too long"):
        java_captions.meteor(RIGHT, HYPOTHESES)
    with pytest.raises(JavaError, match="did not end within 0.3 seconds"):
        run_java([], ".")
    assert time.monotonic() - start < 20


def test_a_java_that_cannot_be_started(java, tmp_path, monkeypatch):
    java("")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin" / "java").write_bytes(b"\x00not a program")
    with pytest.raises(JavaError, match="cannot be run"):
        run_java([], ".")
    with pytest.raises(JavaError, match="cannot be run"):
        java_captions.meteor(RIGHT, HYPOTHESES)


@pytest.fixture
def with_models(tmp_path, monkeypatch):
    """As if SPICE's models were there."""
    import pycocoevalcap.spice

    folder = tmp_path / "spice"
    (folder / "lib").mkdir(parents=True)
    for name in java_captions.SPICE_MODELS:
        (folder / "lib" / name).touch()
    monkeypatch.setattr(pycocoevalcap.spice, "__file__", str(folder / "__init__.py"))


SPICE = """
print("noise on stdout")
rows = json.load(open(next(one for one in sys.argv if one.endswith("captions.json"))))
assert [sorted(row) for row in rows] == [["image_id", "refs", "test"]] * 2
score = lambda row: 1.0 if row["test"] in row["refs"] else 0.5
scores = [{"image_id": row["image_id"], "scores": {"All": {"f": score(row)}}} for row in rows]
json.dump(scores, open(sys.argv[sys.argv.index("-out") + 1], "w"))
"""


@pytest.mark.usefixtures("with_models")
def test_spice_is_the_mean_f_score(java, capfd):
    java(SPICE)
    assert java_captions.spice(RIGHT, HYPOTHESES) == 0.75
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("with_models")
@pytest.mark.parametrize(
    "program",
    [
        "pass",
        SPICE.replace("1.0 if", "'NaN' if"),
        SPICE.replace("in rows]\njson", "in rows[:1]]\njson"),
    ],
)
def test_an_answer_of_spice_that_is_none(java, program):
    java(program)
    with pytest.raises(JavaError, match="its answer"):
        java_captions.spice(RIGHT, HYPOTHESES)


def test_spice_without_models_says_what_to_get_and_gets_nothing(java, monkeypatch):
    java("sys.exit('no program was to be run')")
    monkeypatch.setattr(java_captions, "SPICE_MODELS", ("no-such-models.jar",))
    monkeypatch.setattr(caption_metrics, "meteor", lambda *_: 0.5)
    figures = score_captions(SAID, GIVEN)
    assert figures.meteor == 0.5
    assert "no-such-models.jar" in figures.spice.reason
    assert "get_stanford_models" in figures.spice.reason
