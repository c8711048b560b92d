"""Contrasts by configuration, through the commands: they train, resume exactly, and what cannot
work is refused."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipelines import train_bidirectional, train_tokenizer
from pipelines.command_line import UserError
from pipelines.configuration.assembly.judges import build_contrasts
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import Processes
from pipelines.training.metrics import read_metrics
from tests.pipelines.configuration.test_assembly import SMALL, SMALL_TOKENIZER, SMALL_TRANSFORMER

SHORT = [
    *SMALL,
    "training.steps=4",
    "training.batch_size=8",
    "training.micro_batch_size=4",
    "training.save_every=2",
    "training.log_every=1",
    "training.sample_every=0",
    "training.validate_every=0",
]
JUDGE = ["discriminator.base_channels=8", "discriminator.layers=2"]
HINGE, DUAL = "adversarial_weight=0.5", "adversarial_loss=dual_contrastive"
OWN_IDS = "end_to_end.sampled_ids=0.3"
LOCAL_GLOBAL = "contrasts.local_global_weight=0.2"
REAL_FAKE = "contrasts.real_fake_weight=0.1"
SENTENCES, WORDS = "contrasts.sentence_weight=0.5", "contrasts.word_weight=0.5"


def tokenizer_arguments(output, *more):
    fixed = [*SHORT, *SMALL_TOKENIZER, "objective.adversarial_start_step=0"]
    return ["--config", "tokenizer/tiny.yaml", *fixed, f"output={output}", *more]


def painting_arguments(output, tokenizer, *more):
    fixed = [*SHORT, *SMALL_TRANSFORMER, *JUDGE, "tokenizer_config=null", f"tokenizer={tokenizer}"]
    return ["--config", "bidirectional/tiny_end_to_end.yaml", *fixed, f"output={output}", *more]


def figures(run) -> set[str]:
    return {name for row in read_metrics(run / "metrics.jsonl") for name in row}


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = [*(run / "state" / "step_4").rglob("*.safetensors")]
    files += run.glob("checkpoint/*/*.safetensors")
    return {
        f"{file.relative_to(run)}:{name}": value
        for file in files
        for name, value in load_file(file).items()
    }


def assert_resumed_is_never_stopped(main, arguments, run: Path) -> None:
    main(arguments)
    straight = weights(run)
    shutil.rmtree(run / "state" / "step_4")
    shutil.rmtree(run / "checkpoint")
    main([*arguments, "--resume"])
    again = weights(run)
    assert again.keys() == straight.keys() and len(again) > 50
    assert [name for name, value in straight.items() if not torch.equal(again[name], value)] == []


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ([LOCAL_GLOBAL], {"local_global"}),
        ([LOCAL_GLOBAL, f"objective.{HINGE}"], {"local_global", "adversarial"}),
        ([REAL_FAKE, f"objective.{HINGE}"], {"real_fake", "adversarial"}),
        (
            [LOCAL_GLOBAL, REAL_FAKE, f"objective.{HINGE}", f"objective.{DUAL}"],
            {"local_global", "real_fake", "adversarial"},
        ),
    ],
    ids=["in place of hinge", "beside hinge", "real-fake", "all"],
)
def test_a_tokenizer_with_contrasts(changes, terms, tmp_path):
    run = tmp_path / "run"
    assert_resumed_is_never_stopped(train_tokenizer.main, tokenizer_arguments(run, *changes), run)
    everything = {"local_global", "real_fake", "adversarial", "sentences", "words"}
    assert figures(run) & everything == terms
    assert ("discriminator_local_global" in figures(run)) == ("local_global" in terms)
    kept = load_file(run / "state" / "step_4" / "weights" / "discriminator.safetensors")
    assert any(name.startswith("local.") for name in kept) == ("local_global" in terms)
    # Nothing of a discriminator is left to those who use the tokenizer.
    assert {path.name for path in (run / "checkpoint").iterdir()} == {
        "model_index.json",
        "tokenizer",
    }
    open_checkpoint(run, "tokenizer")


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ([SENTENCES], {"sentences"}),
        ([WORDS, "objective.caption_dropout=0.5"], {"words"}),
        ([LOCAL_GLOBAL], {"local_global"}),
        ([REAL_FAKE, f"reconstruction.{HINGE}"], {"real_fake", "adversarial"}),
        (
            [SENTENCES, WORDS, REAL_FAKE, LOCAL_GLOBAL, f"reconstruction.{HINGE}", OWN_IDS],
            {"sentences", "words", "local_global", "real_fake", "adversarial"},
        ),
    ],
    ids=["sentences", "words", "local-global", "real-fake", "all"],
)
def test_end_to_end_training_with_contrasts(
    changes, terms, tmp_path, tokenizer_checkpoint, dual_encoder_checkpoint
):
    run = tmp_path / "run"
    arguments = painting_arguments(run, tokenizer_checkpoint, *changes)
    if terms & {"sentences", "words"}:
        arguments.append(f"text_encoder={dual_encoder_checkpoint}")
    assert_resumed_is_never_stopped(train_bidirectional.main, arguments, run)
    everything = {"local_global", "real_fake", "adversarial", "sentences", "words"}
    assert figures(run) & everything == terms
    assert {path.name for path in (run / "checkpoint").iterdir()} == {
        "model_index.json",
        "tokenizer",
        "text_tokenizer",
        "transformer",
        "reconstructor",
    }


def test_weights_of_zero_are_none(tmp_path):
    """Bit for bit the run without the section, whatever text encoder is named."""
    runs = [tmp_path / name for name in ("without", "with")]
    off = [f"contrasts.{name}_weight=0" for name in ("word", "real_fake", "local_global")]
    for run, changes in zip(runs, ([], off), strict=True):
        train_tokenizer.main(tokenizer_arguments(run, f"objective.{HINGE}", *changes))
    without, with_zeros = map(weights, runs)
    assert without.keys() == with_zeros.keys()
    assert all(torch.equal(with_zeros[name], value) for name, value in without.items())


def refused(capsys, main, arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([SENTENCES], "contrasts.sentence_weight is above 0, and a tokenizer's pictures have no"),
        ([WORDS], "contrasts.word_weight is above 0, and a tokenizer's pictures have no texts"),
        ([REAL_FAKE], "raise objective.adversarial_weight or another weight of contrasts"),
        (["contrasts.real_fake_weight=-1"], "real_fake_weight is -1.0; it must be 0 or more"),
        (["contrasts.local_globl_weight=1"], "nearest known one is 'contrasts.local_global_weight"),
        ([LOCAL_GLOBAL, "training.micro_batch_size=1"], "raise training.micro_batch_size"),
        ([LOCAL_GLOBAL, f"objective.{HINGE}", "training.compile=true"], "training.compile is true"),
        ([LOCAL_GLOBAL, "discriminator.layers=4"], "fewer discriminator.layers"),
    ],
)
def test_tokenizers_that_are_refused(changes, sentence, tmp_path, capsys):
    arguments = tokenizer_arguments(tmp_path / "run", *changes)
    assert sentence in refused(capsys, train_tokenizer.main, arguments)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([LOCAL_GLOBAL, "end_to_end=null"], "nothing is painted without end_to_end"),
        ([SENTENCES], "nothing encodes texts; name a text_encoder"),
        ([WORDS, "text_encoder=nowhere/at/all"], "nowhere/at/all"),
        ([LOCAL_GLOBAL, "text_encoder=x"], "no contrast with texts has a weight"),
        ([REAL_FAKE], "raise reconstruction.adversarial_weight or another weight of contrasts"),
        (
            [WORDS, "text_encoder=x", "objective.question_answering_weight=1"],
            "with objective.question_answering_weight pictures need no caption",
        ),
        ([LOCAL_GLOBAL, "training.micro_batch_size=1"], "raise training.micro_batch_size"),
    ],
)
def test_end_to_end_runs_that_are_refused(
    changes, sentence, tmp_path, tokenizer_checkpoint, capsys
):
    arguments = painting_arguments(tmp_path / "run", tokenizer_checkpoint, *changes)
    assert sentence in refused(capsys, train_bidirectional.main, arguments)


def test_another_text_encoder_is_refused_on_resuming(
    tmp_path, tokenizer_checkpoint, dual_encoder_checkpoint, capsys
):
    arguments = painting_arguments(tmp_path / "run", tokenizer_checkpoint, SENTENCES)
    train_bidirectional.main([*arguments, f"text_encoder={dual_encoder_checkpoint}"])
    other = shutil.copytree(dual_encoder_checkpoint, tmp_path / "other")
    sentence = refused(
        capsys, train_bidirectional.main, [*arguments, f"text_encoder={other}", "--resume"]
    )
    assert f"was trained with text_encoder={dual_encoder_checkpoint}, and not {other}" in sentence


def test_one_picture_of_each_process_can_be_compared_with_the_others():
    overrides = [LOCAL_GLOBAL, "training.micro_batch_size=1", "training.batch_size=2", "output=x"]
    config = load_configuration("tokenizer/tiny.yaml", overrides, TokenizerRun)
    processes = Processes(torch.device("cpu"))
    with pytest.raises(UserError, match="which has only one"):
        build_contrasts(config.contrasts, config.training, processes)
    processes.count = 2
    assert build_contrasts(config.contrasts, config.training, processes) is not None
