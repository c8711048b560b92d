"""The commands of docs/benchmarks.md are such as their scripts take, and fit each other."""

import re
import shlex
from pathlib import Path

import pytest

from pipelines import evaluate_checkpoint, prepare_data
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.data.protocols import PROTOCOLS

PAGE = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
SCHEMAS = {"train_tokenizer.py": TokenizerRun, "train_bidirectional.py": BidirectionalRun}


def commands() -> list[list[str]]:
    """Each from its script's name on, without those that leave something out (…, NAME)."""
    joined = re.sub(r"\\\n\s*", "", PAGE)
    lines = re.findall(r"^    (?:python|accelerate launch|deepspeed) pipelines/(.+)$", joined, re.M)
    return [shlex.split(line) for line in lines if not re.search("…|NAME", line)]


def runs() -> list[tuple[str, BidirectionalRun | TokenizerRun]]:
    """The data of each training command's configuration, and the configuration."""
    found = []
    for script, *arguments in commands():
        if script in SCHEMAS:
            assert arguments[0] == "--config"
            config = load_configuration(arguments[1], arguments[2:], SCHEMAS[script])
            found.append((config.data.source, config))
    return found


def test_every_data_set_is_prepared_trained_on_and_measured():
    prepared = [prepare_data.parse_arguments(a) for s, *a in commands() if s == "prepare_data.py"]
    assert {one.name: one.output for one in prepared} == {n: f"runs/data/{n}" for n in PROTOCOLS}
    trained = {source for source, run in runs() if isinstance(run, BidirectionalRun)}
    assert trained == {f"runs/data/{name}" for name in PROTOCOLS}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_measured_is_what_was_trained_on_the_data(name):
    parse = evaluate_checkpoint.parse_arguments
    measured = [parse(a) for s, *a in commands() if s == "evaluate_checkpoint.py"]
    (one,) = [one for one in measured if one.data == f"runs/data/{name}:test"]
    evaluate_checkpoint.check_arguments(one)
    (run,) = [
        run
        for source, run in runs()
        if source == f"runs/data/{name}" and isinstance(run, BidirectionalRun)
    ]
    assert one.checkpoint == f"{run.output}/checkpoint"
    rows = {"fmiqa": 200}.get(name, PROTOCOLS[name].rows["test"])  # people judge those 200
    assert one.rows == rows
    assert run.data.validation_split in (None, *PROTOCOLS[name].rows)
    if name == "fmiqa":
        assert (one.question_column, one.answer_column) == (["question"], ["answer"])
    else:
        assert one.text_column[0] == run.data.text_column
