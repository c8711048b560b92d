from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from pipelines.command_line import UserError
from pipelines.configuration.loading import (
    REPOSITORY,
    dump_configuration,
    load_configuration,
    schema_of,
)
from pipelines.configuration.schemas import (
    BidirectionalRun,
    DualEncoderRun,
    GANRun,
    StyleEncoderRun,
    TokenizerRun,
)


@dataclass
class Optimizer:
    name: Literal["adamw", "lamb"] = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.96)

    def __post_init__(self):
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0.")


@dataclass
class Training:
    steps: int | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    discriminator_optimizer: Optimizer | None = None
    compile: bool = False


@dataclass
class Run:
    output: str
    training: Training = field(default_factory=Training)
    text_column: str | list[str] = "text"
    size: int | tuple[int, int] = 64
    layer_patterns: tuple[str, ...] | None = None
    tokenizer: str | None = None


def load(tmp_path: Path, text: str, *overrides: str) -> Run:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load_configuration(path, list(overrides), Run)


def test_values_overrides_and_defaults(tmp_path):
    run = load(
        tmp_path,
        """
        output: runs/甲
        size: [64, 128]
        text_column: [text, text_zh]
        training: {steps: 10, optimizer: {learning_rate: 3e-4, betas: [0, 0.99]}}
        """,
        "training.optimizer.name=lamb",
        "training.discriminator_optimizer.learning_rate=1",
        "layer_patterns=[row, conv]",
        "training.steps=20",
        "training.steps=null",
    )
    assert run == Run(
        output="runs/甲",
        training=Training(
            steps=None,
            optimizer=Optimizer("lamb", 3e-4, (0.0, 0.99)),
            discriminator_optimizer=Optimizer(learning_rate=1.0),
        ),
        text_column=["text", "text_zh"],
        size=(64, 128),
        layer_patterns=("row", "conv"),
    )
    assert isinstance(run.training.optimizer.betas[0], float)


def test_dump_reads_back_equal(tmp_path):
    run = Run(
        "runs/甲",
        Training(5, discriminator_optimizer=Optimizer(learning_rate=1e-5)),
        size=(64, 32),
        layer_patterns=("row",),
    )
    dump_configuration(run, tmp_path / "config.yaml")
    assert load_configuration(tmp_path / "config.yaml", [], Run) == run
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("text", "overrides", "sentence"),
    [
        ("output: a\ntrainig: {}", [], "unknown key 'trainig'.* 'training'"),
        ("output: a", ["training.stepz=3"], "unknown key 'training.stepz'.* 'training.steps'"),
        ("output: a", ["learning_rate=3"], "nearest known one is 'training.optimizer.learning_r"),
        ("output: a\nsize: [1, 2, 3]", [], "size must be an integer or a list of 2, not"),
        ("output: a", ["training.steps=many"], "training.steps must be an integer or null"),
        ("output: a", ["training.steps=1.5"], "training.steps must be an integer or null"),
        ("output: a", ["training.steps=true"], "training.steps must be an integer or null"),
        ("output: a", ["training.compile=1"], "training.compile must be true or false"),
        ("output: a", ["training=3"], "training must be a section"),
        ("output: a", ["training.steps.x=3"], "training.steps must be an integer or null, not {"),
        ("output: 3", [], "output must be a string, not 3"),
        ("output: a", ["layer_patterns=[row, 3]"], r"layer_patterns\[1\] must be a string"),
        ("output: a", ["training.optimizer.name=sgd"], "one of 'adamw', 'lamb', not 'sgd'"),
        ("output: a", ["training.optimizer.learning_rate=0"], "training.optimizer: learning_rate"),
        ("output: a", ["training.optimizer.learning_rate=fast"], "must be a number"),
        ("size: 64", [], "output is missing"),
        ("output: a\noutput: b", [], "'output' is given twice"),
        ("output: [a", [], "not valid YAML"),
        ("- a", [], "must be a mapping"),
        ("output: a", ["steps"], "override 'steps' must look like"),
        ("output: a", ["output.x=1"], "override 'output.x=1' reaches into 'output'"),
        ("output: a", ["size=[1"], r"override 'size=\[1' is not valid YAML"),
    ],
)
def test_refusals_are_one_sentence(tmp_path, text, overrides, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        load(tmp_path, text, *overrides)
    assert "\n" not in str(error.value)


def test_refusals_name_the_file(tmp_path):
    with pytest.raises(UserError, match=r"run\.yaml"):
        load(tmp_path, "output: 3")


def test_missing_file_names_a_near_one_and_repository_files_are_found(tmp_path, monkeypatch):
    from pipelines.configuration import loading

    (tmp_path / "configs" / "tokenizer").mkdir(parents=True)
    (tmp_path / "configs" / "tokenizer" / "tiny.yaml").write_text("output: a")
    monkeypatch.setattr(loading, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert load_configuration("configs/tokenizer/tiny.yaml", [], Run).output == "a"
    assert load_configuration("tokenizer/tiny.yaml", [], Run).output == "a"
    with pytest.raises(
        UserError, match=r"tiney\.yaml does not exist.*configs/tokenizer/tiny\.yaml"
    ):
        load_configuration("configs/tokenizer/tiney.yaml", [], Run)


def test_each_yaml_is_known_by_its_keys():
    kinds = {
        "tokenizer": TokenizerRun,
        "bidirectional": BidirectionalRun,
        "dual_encoder": DualEncoderRun,
        "gan": GANRun,
        "style_encoder": StyleEncoderRun,
    }
    for folder in ("tokenizer", "bidirectional", "dual_encoder", "gan"):
        files = sorted((REPOSITORY / "configs" / folder).glob("*.yaml"))
        assert files
        for file in files:
            name = "style_encoder" if file.stem == "style_encoder" else folder
            assert schema_of(file, [], list(kinds.values())) is kinds[name], file
    # A tokenizer's run may go on from a checkpoint as well.
    start = ["initialize_from=runs/mine"]
    assert schema_of("tokenizer/tiny.yaml", start, list(kinds.values())) is TokenizerRun
