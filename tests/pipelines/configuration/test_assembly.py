"""Every YAML is read, and trains two steps when its sizes are made small."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines import BidirectionalPipeline, train_bidirectional, train_tokenizer
from pipelines.command_line import UserError
from pipelines.configuration.assembly import bidirectional_task, run_text_tokenizer
from pipelines.configuration.assembly.bidirectional import transformer_matrices
from pipelines.configuration.assembly.tokenizer import tokenizer_matrices
from pipelines.configuration.loading import REPOSITORY, load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import Processes
from pipelines.training.metrics import read_metrics
from unified_transformer import UnifiedTransformer
from vq import VQGAN, VQGANConfig

SMALL = [
    "data.source=scenes",
    "data.split=train",
    "data.validation_split=null",
    "data.text_column=text",
    "data.size=32",
    "data.workers=0",
    "training.steps=2",
    "training.minutes=null",
    "training.batch_size=2",
    "training.micro_batch_size=1",
    "training.validation_batches=1",
    "training.validate_every=1",
    "training.sample_every=2",
    "training.trackers=[]",
]
SMALL_TOKENIZER = [
    "model.base_channels=8",
    "model.latent_channels=8",
    "model.codebook_size=32",
    "discriminator.base_channels=8",
    "discriminator.layers=2",
    "objective.adversarial_start_step=1",
    "perceptual.backbone=squeeze",
    "perceptual.backbone_weights=random",
]
SMALL_TRANSFORMER = [
    "model.hidden_size=32",
    "model.num_hidden_layers=3",
    "model.num_attention_heads=2",
    "model.layer_patterns=null",
    "model.text_positions=32",
    "text_tokenizer.path=null",
    "text_tokenizer.vocabulary_size=100",
]


def files(folder):
    found = sorted((REPOSITORY / "configs" / folder).glob("*.yaml"))
    return [pytest.param(file, id=file.stem) for file in found]


@pytest.mark.parametrize("file", files("tokenizer"))
def test_tokenizer_configurations(file, tmp_path):
    load_configuration(file, [], TokenizerRun)
    overrides = [*SMALL, *SMALL_TOKENIZER, f"output={tmp_path / 'run'}"]
    train_tokenizer.main(["--config", str(file), *overrides])
    checkpoint = open_checkpoint(tmp_path / "run", "tokenizer")
    tokenizer = VQGAN.from_pretrained(checkpoint.tokenizer)
    assert tokenizer.encode_to_ids(torch.zeros(1, 3, 32, 32)).max() < 32
    assert list((tmp_path / "run" / "samples").glob("*.png"))


@pytest.mark.parametrize("file", files("bidirectional"))
def test_bidirectional_configurations(file, tmp_path, tokenizer_checkpoint):
    tasks = load_configuration(file, [], BidirectionalRun).objective.tasks
    overrides = [*SMALL, *SMALL_TRANSFORMER, f"output={tmp_path / 'run'}"]
    overrides += [
        "initialize_from=null",
        "lora=null",
        f"tokenizer={tokenizer_checkpoint}",
        "tokenizer_config=null",
    ]
    train_bidirectional.main(["--config", str(file), *overrides])
    checkpoint = open_checkpoint(tmp_path / "run", "bidirectional")
    assert checkpoint.tasks == tasks
    transformer = UnifiedTransformer.from_pretrained(checkpoint.transformer)
    assert transformer.config.grid == (4, 4) and transformer.config.image_vocab_size == 32
    given = open_checkpoint(tokenizer_checkpoint, "tokenizer").tokenizer
    frozen, start = (load_file(f / "model.safetensors") for f in (checkpoint.tokenizer, given))
    assert frozen.keys() == start.keys()
    assert all(torch.equal(frozen[name], start[name]) for name in start)
    if checkpoint.reconstructor is not None:
        painter = load_file(checkpoint.reconstructor / "model.safetensors")
        assert any(name in start and not painter[name].equal(start[name]) for name in painter)
    assert list((tmp_path / "run" / "samples").glob("*.png"))


def start_from(checkpoint, output, *more):
    return [
        *["--config", "bidirectional/tiny.yaml", *SMALL, *SMALL_TRANSFORMER, f"output={output}"],
        *["tokenizer_config=null", f"initialize_from={checkpoint}", "training.steps=1"],
        *["model.text_positions=16", "training.optimizer.learning_rate=1e-9", *more],
    ]


def test_training_goes_on_from_a_checkpoint(tmp_path, checkpoint):
    """At no learning rate to speak of: the weights are those of the checkpoint."""
    painting = [
        "end_to_end.hidden_state=predicting",
        "reconstruction.perceptual_weight=0",
        "training.precision=fp32",
    ]
    train_bidirectional.main(start_from(checkpoint, tmp_path / "first", *painting))
    first = open_checkpoint(tmp_path / "first", "bidirectional")
    for part in ("transformer", "tokenizer"):
        ours, theirs = (load_file(f / part / "model.safetensors") for f in (first.root, checkpoint))
        assert ours.keys() == theirs.keys()
        assert all((ours[name] - theirs[name]).abs().max() < 1e-6 for name in ours)
    ours, theirs = (f / "text_tokenizer/tokenizer.json" for f in (first.root, checkpoint))
    assert ours.read_text() == theirs.read_text()
    decoder = load_file(first.reconstructor / "model.safetensors")
    tokenizer = load_file(checkpoint / "tokenizer" / "model.safetensors")
    for name, weight in decoder.items():
        if name.startswith("decoder."):
            assert (weight - tokenizer[name]).abs().max() < 1e-6, name
    train_bidirectional.main(start_from(first.root, tmp_path / "second", *painting))
    second = load_file(tmp_path / "second/checkpoint/reconstructor/model.safetensors")
    assert all((second[name] - decoder[name]).abs().max() < 1e-6 for name in decoder)


def test_going_on_end_to_end_keeps_the_decoder_or_says_that_it_is_left_behind(
    tmp_path, end_to_end_checkpoint, capsys
):
    anew = ["end_to_end.decoder_start=random", "end_to_end.mapper_size=32"]
    with pytest.raises(SystemExit) as stop:
        train_bidirectional.main(start_from(end_to_end_checkpoint, tmp_path / "first", *anew))
    assert stop.value.code == 2 and "decoder_start is random, but" in capsys.readouterr().err
    two_stage = start_from(end_to_end_checkpoint, tmp_path / "second", "reconstruction.l1_weight=2")
    train_bidirectional.main(two_stage)
    said = capsys.readouterr().err
    assert "the section reconstruction has no effect" in said and "is left behind" in said
    assert "section discriminator" not in said
    assert open_checkpoint(tmp_path / "second", "bidirectional").reconstructor is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.hidden_size=64", "model.hidden_size is 64, but"),
        ("data.size=64", "draws 4 x 4 ids"),
        ("tokenizer=somewhere", "which brings its own tokenizer"),
        ("text_tokenizer.path=somewhere", "which brings its own text tokenizer"),
        ("model.layer_patterns=[row]", "model.layer_patterns is"),
    ],
)
def test_training_does_not_go_on_from_another_model(tmp_path, checkpoint, capsys, change, words):
    with pytest.raises(SystemExit) as stop:
        train_bidirectional.main(start_from(checkpoint, tmp_path / "run", change))
    assert stop.value.code == 2 and words in capsys.readouterr().err


def test_another_reconstructor_is_refused(tmp_path, end_to_end_checkpoint, capsys):
    arguments = start_from(end_to_end_checkpoint, tmp_path / "run", "end_to_end.mapper_size=8")
    with pytest.raises(SystemExit) as stop:
        train_bidirectional.main([*arguments, "reconstruction.perceptual_weight=0"])
    assert stop.value.code == 2 and "end_to_end.mapper_size is 8" in capsys.readouterr().err


def test_a_direction_without_weight_is_no_task_of_the_checkpoint(tmp_path, tokenizer_checkpoint):
    overrides = [*SMALL, *SMALL_TRANSFORMER, f"output={tmp_path / 'run'}"]
    overrides += [f"tokenizer={tokenizer_checkpoint}", "objective.image_to_text_weight=0"]
    train_bidirectional.main(["--config", "bidirectional/tiny.yaml", *overrides])
    assert open_checkpoint(tmp_path / "run").tasks == ("text_to_image",)


def test_questions_can_be_learned_from_a_checkpoint_that_draws(tmp_path, checkpoint):
    """Fine-tuning for questions alone: no captions are read."""
    weights = [f"objective.{task}_weight=0" for task in ("text_to_image", "image_to_text")]
    run = tmp_path / "run"
    asking = start_from(checkpoint, run, *weights, "objective.question_answering_weight=1")
    train_bidirectional.main([*asking, "data.text_column=[]"])
    assert open_checkpoint(run).tasks == ("question_answering",)
    (samples,) = (run / "samples").glob("*.jsonl")
    (first, *_) = [json.loads(line) for line in samples.read_text().splitlines()]
    assert first.keys() == {"question", "right_answer", "answer"} and first["right_answer"]
    pipe = BidirectionalPipeline.from_pretrained(run / "checkpoint")
    assert len(pipe.answer_questions([np.zeros((32, 32, 3), np.uint8)], ["what is it?"])) == 1
    figures = [name for row in read_metrics(run / "metrics.jsonl") for name in row]
    assert "question_answering" in figures and "image_to_text" not in figures


@pytest.mark.parametrize("rank", [0, 1])
def test_weights_that_are_to_be_divided_are_made_once(tmp_path, tokenizer_checkpoint, rank):
    overrides = [f"tokenizer={tokenizer_checkpoint}", f"output={tmp_path}"]
    overrides = [*SMALL, *SMALL_TRANSFORMER, *overrides, "tokenizer_config=null"]
    config = load_configuration("bidirectional/tiny.yaml", overrides, BidirectionalRun)
    processes = Processes(torch.device("cpu"))
    text_tokenizer = run_text_tokenizer(config, processes, tmp_path)
    processes.rank = rank
    paths = open_checkpoint(tokenizer_checkpoint, "tokenizer")
    task = bidirectional_task(
        config, processes, paths, text_tokenizer, {"zero_optimization": {"stage": 3}}
    )
    parameters = task.objective.players["transformer"].parameters()
    assert {parameter.is_meta for parameter in parameters} == {rank > 0}


def test_decay_and_muon_are_for_hidden_matrices(checkpoint):
    transformer = UnifiedTransformer.from_pretrained(checkpoint / "transformer")
    chosen = {n: transformer_matrices(n, p) for n, p in transformer.named_parameters()}
    linear = {
        f"{name}.weight": 3 if name.endswith("query_key_value") else 1
        for name, module in transformer.blocks.named_modules(prefix="blocks")
        if isinstance(module, torch.nn.Linear)
    }
    assert {n: count for n, count in chosen.items() if count} == linear and linear
    for kind in ({"codebook_update": "gradient"}, {"quantizer": "gumbel"}):
        tokenizer = VQGAN(VQGANConfig(base_channels=8, codebook_size=8, **kind))
        assert isinstance(tokenizer.quantizer.codebook, torch.nn.Parameter)
        for name, parameter in tokenizer.named_parameters():
            is_layer = parameter.ndim >= 2 and not name.startswith("quantizer")
            assert tokenizer_matrices(name, parameter) == is_layer, name


def test_the_text_tokenizer_of_a_run_is_trained_once(tmp_path):
    overrides = ["tokenizer=none", "text_tokenizer.vocabulary_size=80", f"output={tmp_path}"]
    config = load_configuration("bidirectional/tiny.yaml", overrides, BidirectionalRun)
    processes = Processes(torch.device("cpu"))
    trained = run_text_tokenizer(config, processes, tmp_path)
    assert 20 < len(trained) <= 80
    trained.save_pretrained(tmp_path / "text_tokenizer")
    larger = [*overrides[:1], "text_tokenizer.vocabulary_size=90", overrides[2]]
    config = load_configuration("bidirectional/tiny.yaml", larger, BidirectionalRun)
    assert run_text_tokenizer(config, processes, tmp_path).get_vocab() == trained.get_vocab()


def test_a_damaged_tokenizer_checkpoint_is_refused(tmp_path, tokenizer_checkpoint):
    shutil.copytree(tokenizer_checkpoint, tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "tokenizer" / "model.safetensors").unlink()
    config = load_configuration(
        "bidirectional/tiny.yaml",
        [*SMALL, *SMALL_TRANSFORMER, f"tokenizer={tmp_path / 'checkpoint'}", "output=unused"],
        BidirectionalRun,
    )
    processes = Processes(torch.device("cpu"))
    text_tokenizer = run_text_tokenizer(config, processes, tmp_path)
    with pytest.raises(UserError, match="model.safetensors"):
        paths = open_checkpoint(tmp_path / "checkpoint", "tokenizer")
        bidirectional_task(config, processes, paths, text_tokenizer)


def test_resuming_with_another_tokenizer_is_refused(tmp_path, tokenizer_checkpoint, capsys):
    other = tmp_path / "other"
    shutil.copytree(tokenizer_checkpoint, other)
    tokenizer = VQGAN.from_pretrained(other / "tokenizer")
    tokenizer.quantizer.codebook.data.mul_(-1)
    tokenizer.save_pretrained(other / "tokenizer")
    arguments = ["--config", "bidirectional/tiny.yaml", *SMALL, *SMALL_TRANSFORMER]
    arguments.append(f"output={tmp_path / 'run'}")
    train_bidirectional.main([*arguments, f"tokenizer={tokenizer_checkpoint}"])
    train_bidirectional.main([*arguments, f"tokenizer={tokenizer_checkpoint}", "--resume"])
    with pytest.raises(SystemExit) as stop:
        train_bidirectional.main([*arguments, f"tokenizer={other}", "--resume"])
    assert stop.value.code == 2
    assert "was trained with another tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            ["end_to_end.hidden_state=predicting", "reconstruction.perceptual_weight=0"],
            ["end_to_end.hidden_state=consumed", "reconstruction.perceptual_weight=0"],
            "end_to_end.hidden_state=predicting, and not consumed",
        ),
        (
            ["model.layer_patterns=[row, conv]"],
            ["model.layer_patterns=[conv, row]"],
            "model.layer_patterns=['row', 'conv'], and not ['conv', 'row']",
        ),
    ],
)
def test_resuming_as_another_model_of_the_same_shape_is_refused(
    tmp_path, tokenizer_checkpoint, capsys, before, after, words
):
    run = tmp_path / "run"
    arguments = ["--config", "bidirectional/tiny.yaml", *SMALL, *SMALL_TRANSFORMER]
    arguments += [f"tokenizer={tokenizer_checkpoint}", f"output={run}"]
    train_bidirectional.main([*arguments, *before])
    kept = (run / "config.yaml").read_text()
    train_bidirectional.main([*arguments, *before, "model.dropout=0.1", "--resume"])
    with pytest.raises(SystemExit) as stop:
        train_bidirectional.main([*arguments, *after, "--resume"])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
    assert (run / "config.yaml").read_text() == kept.replace("dropout: 0.0", "dropout: 0.1")
