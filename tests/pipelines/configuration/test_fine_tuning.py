"""Going on from a checkpoint: new words, adapters, one direction, and the tokenizer itself."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from pipelines import BidirectionalPipeline, plan, train_bidirectional, train_tokenizer
from pipelines.configuration.assembly import (
    bidirectional_task,
    run_text_tokenizer,
    tokenizer_task,
)
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.data.text_tokenizer import load_text_tokenizer
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import Processes
from vq import VQGAN

ROWS_OF_WORDS = ("embeddings.text_tokens.weight", "text_head.weight")
TRAINING = [
    "data.workers=0",
    "training.steps=2",
    "training.batch_size=2",
    "training.micro_batch_size=1",
    "training.validation_batches=1",
    "training.validate_every=0",
    "training.sample_every=0",
    "training.log_every=1",
    "training.trackers=[]",
    "training.optimizer.warmup_steps=0",
]
MODEL = [
    "model.hidden_size=32",
    "model.num_hidden_layers=3",
    "model.num_attention_heads=2",
    "model.text_positions=16",
]
TOKENIZER = [
    "model.encoder_kernel_size=3",
    "model.base_channels=8",
    "model.channel_multipliers=[1,1]",
    "model.latent_channels=16",
    "model.codebook_size=32",
    "model.code_dim=4",
]
CHINESE = "data.text_column=text_zh"


def fine_tune(checkpoint, output, *more):
    return [
        *["--config", "bidirectional/tiny.yaml", *TRAINING, *MODEL, "tokenizer_config=null"],
        *[f"initialize_from={checkpoint}", f"output={output}", *more],
    ]


def arguments_of(line):
    return load_configuration(line[1], line[2:], BidirectionalRun)


def state(run, step, part, player="transformer"):
    return load_file(run / "state" / f"step_{step}" / part / f"{player}.safetensors")


def weights_of(checkpoint):
    return load_file(checkpoint / "transformer" / "model.safetensors")


def refused(capsys, train, line):
    with pytest.raises(SystemExit) as stop:
        train(line)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def adapted(checkpoint, tmp_path_factory):
    """A run of four steps with adapters and new words, saved at the second and the last."""
    run = tmp_path_factory.mktemp("adapted") / "run"
    train_bidirectional.main(fine_tune(checkpoint, run, *OF_ADAPTED))
    return run


OF_ADAPTED = [
    CHINESE,
    "lora.rank=2",
    "lora.dropout=0.1",
    "training.steps=4",
    "training.save_every=2",
    "training.validate_every=4",
    "training.sample_every=4",
    "training.ema_decay=0.5",
]


def test_old_words_keep_their_rows_and_new_ones_begin_near_their_mean(tmp_path, checkpoint):
    config = arguments_of(fine_tune(checkpoint, tmp_path, CHINESE))
    processes, start = Processes(torch.device("cpu")), open_checkpoint(checkpoint)
    text_tokenizer = run_text_tokenizer(config, processes, tmp_path, start)
    task = bidirectional_task(config, processes, start, text_tokenizer)
    transformer = task.objective.players["transformer"]
    old, new = weights_of(checkpoint), transformer.state_dict()
    assert old.keys() == new.keys()
    words = len(old["text_head.weight"])
    assert transformer.config.text_vocab_size == len(text_tokenizer) > words
    for name, value in new.items():
        if name not in ROWS_OF_WORDS:
            assert torch.equal(value, old[name])
            continue
        assert torch.equal(value[:words], old[name])
        beyond = value[words:] - old[name].mean(dim=0)
        assert len(beyond) == len(text_tokenizer) - words
        assert beyond.std() == pytest.approx(transformer.config.initializer_range, rel=0.1)


def test_new_words_are_said_and_resumed_with(tmp_path, checkpoint, capsys):
    line = fine_tune(checkpoint, tmp_path / "run", CHINESE)
    train_bidirectional.main(line)
    assert "new entries leave 0 unknown." in capsys.readouterr().err
    grown = load_text_tokenizer(tmp_path / "run/checkpoint/text_tokenizer").get_vocab()
    assert load_text_tokenizer(checkpoint / "text_tokenizer").get_vocab().items() < grown.items()
    train_bidirectional.main([*line, "training.steps=3", "--resume"])
    assert load_text_tokenizer(tmp_path / "run/checkpoint/text_tokenizer").get_vocab() == grown
    pipe = BidirectionalPipeline.from_pretrained(tmp_path / "run/checkpoint")
    assert len(pipe.generate_images(["大紫色圆形在小黑色十字形左边"], seed=0)) == 1
    # Its vocabulary is larger than that of the checkpoint which is now named.
    again = fine_tune(tmp_path / "run", tmp_path / "again", "text_tokenizer.vocabulary_size=9")
    train_bidirectional.main(again)
    other = fine_tune(tmp_path / "run", tmp_path / "other", CHINESE)
    shutil.copytree(checkpoint / "text_tokenizer", tmp_path / "other/text_tokenizer")
    assert "words more than this run's text tokenizer" in refused(
        capsys, train_bidirectional.main, [*other, "--resume"]
    )


def test_adapters_alone_are_trained_and_kept(adapted, checkpoint):
    old, now = weights_of(checkpoint), state(adapted, 4, "weights")
    for name, value in old.items():
        layer = name.removesuffix(".weight")
        kept = now.get(f"{layer}.base_layer.weight", now.get(name))
        assert torch.equal(kept[: len(value)], value) == (name not in ROWS_OF_WORDS), name
    trained = {n for n in now if "lora_" in n} | {*ROWS_OF_WORDS}
    assert len(trained) == 2 * 4 * 3 + 2
    averages, moments = state(adapted, 4, "ema"), state(adapted, 4, "optimizer")
    assert averages.keys() == trained
    assert {name.partition("/")[2] for name in moments} == trained
    assert all(now[name].abs().max() > 0 for name in trained)


def test_the_checkpoint_is_a_plain_transformer_of_the_averaged_weights(adapted, checkpoint):
    exported, old = weights_of(adapted / "checkpoint"), weights_of(checkpoint)
    assert exported.keys() == old.keys()
    averages = state(adapted, 4, "ema")
    for name, value in exported.items():
        layer = name.removesuffix(".weight")
        if name in ROWS_OF_WORDS:
            expected = averages[name]
        elif (second := averages.get(f"{layer}.lora_B.default.weight")) is not None:
            first = averages[f"{layer}.lora_A.default.weight"]
            expected = old[name] + 16 / 2 * second @ first
            assert not torch.equal(expected, old[name])
        else:
            expected = old[name]
        assert (value - expected).abs().max() < 1e-6, name
    config = json.loads((adapted / "checkpoint/transformer/config.json").read_text())
    assert config["architectures"] == ["UnifiedTransformer"]
    pipe = BidirectionalPipeline.from_pretrained(adapted / "checkpoint")
    assert len(pipe.caption_images(pipe.generate_images(["红色圆形"], seed=0))) == 1
    assert list((adapted / "samples").glob("*.png"))


def test_a_resumed_run_with_adapters_ends_as_the_unbroken_one(adapted, checkpoint, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(adapted, run)
    shutil.rmtree(run / "state" / "step_4")
    train_bidirectional.main(fine_tune(checkpoint, run, *OF_ADAPTED, "--resume"))
    for part in ("weights", "ema", "optimizer"):
        ours, theirs = state(run, 4, part), state(adapted, 4, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    assert (run / "checkpoint/transformer/model.safetensors").read_bytes() == (
        adapted / "checkpoint/transformer/model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["lora.alpha=8"], "was trained with lora.alpha=16.0, and not 8.0"),
        (["lora.rank=4"], "was trained with lora.rank=2, and not 4"),
        (["lora=null"], "does not fit this configuration"),
    ],
)
def test_adapters_are_resumed_as_they_were(adapted, checkpoint, capsys, change, words):
    line = fine_tune(checkpoint, adapted, *OF_ADAPTED, *change, "--resume")
    assert words in refused(capsys, train_bidirectional.main, line)


def test_the_configuration_for_own_pictures_trains_adapters(tmp_path, checkpoint):
    line = fine_tune(checkpoint, tmp_path / "run", "data.source=scenes", "data.size=32")
    line[1] = "bidirectional/fine_tuning.yaml"
    train_bidirectional.main([*line, "training.minutes=null"])
    trained = state(tmp_path / "run", 2, "ema")
    assert len([name for name in trained if "lora_" in name]) == 2 * 4 * 3


def test_adapters_want_weights_that_have_learned(capsys, tmp_path, tokenizer_checkpoint):
    line = ["--config", "bidirectional/tiny.yaml", "lora.rank=2", f"output={tmp_path / 'run'}"]
    assert "name their checkpoint (initialize_from=DIR)" in refused(
        capsys, train_bidirectional.main, line
    )


def test_adapters_beside_a_decoder_of_hidden_states_and_under_muon(tmp_path, end_to_end_checkpoint):
    """All of the decoder is trained; activations are computed again."""
    line = fine_tune(
        end_to_end_checkpoint,
        tmp_path / "run",
        *["lora.rank=2", "end_to_end.mapper_size=16", "reconstruction.perceptual_weight=0"],
        *["training.optimizer.name=muon", "training.activation_checkpointing=true"],
        "text_tokenizer.vocabulary_size=8",  # with new words their rows would be trained too
        "end_to_end.sampled_ids=0.5",
    )
    train_bidirectional.main(line)
    now = state(tmp_path / "run", 2, "weights", "generator")
    frozen = weights_of(end_to_end_checkpoint)
    for name, value in frozen.items():
        layer = f"transformer.{name.removesuffix('.weight')}"
        kept = now.get(f"{layer}.base_layer.weight", now.get(f"transformer.{name}"))
        assert torch.equal(kept, value), name
    averages = state(tmp_path / "run", 2, "ema", "generator")
    assert {n.split(".")[0] for n in averages if "lora_" not in n} == {"reconstructor"}
    checkpoint = open_checkpoint(tmp_path / "run")
    assert weights_of(checkpoint.root).keys() == frozen.keys()
    BidirectionalPipeline.from_pretrained(checkpoint.root).generate_images(["a red circle"])


@pytest.mark.parametrize("direction", ["text_to_image", "image_to_text"])
def test_fine_tuned_in_one_direction_a_checkpoint_has_its_task_alone(
    tmp_path, checkpoint, direction
):
    other = {"text_to_image": "image_to_text", "image_to_text": "text_to_image"}[direction]
    line = fine_tune(checkpoint, tmp_path / "run", f"objective.{other}_weight=0")
    train_bidirectional.main(line)
    index = json.loads((tmp_path / "run/checkpoint/model_index.json").read_text())
    assert index["tasks"] == [direction]


def test_a_plan_with_adapters_is_refused(capsys, tmp_path, checkpoint):
    line = fine_tune(checkpoint, tmp_path / "run", "lora.rank=2")
    assert "set lora=null" in refused(capsys, plan.main, line)
    plan.main([*line, "lora=null", "--gpus", "1"])


def tokenizer_run(start, output, *more):
    values = ["--config", "tokenizer/tiny.yaml", *TRAINING, *TOKENIZER, f"output={output}"]
    return [*values, f"initialize_from={start}", *more]


@pytest.mark.parametrize("kind", ["bidirectional", "tokenizer"])
def test_a_tokenizer_goes_on_from_a_checkpoint(
    tmp_path, checkpoint, tokenizer_checkpoint, capsys, kind
):
    start = {"bidirectional": checkpoint, "tokenizer": tokenizer_checkpoint}[kind]
    line = tokenizer_run(start, tmp_path / "run", "model.ema_decay=0.9")
    config = load_configuration(line[1], line[2:], TokenizerRun)
    task = tokenizer_task(config, Processes(torch.device("cpu")))
    assert "must be trained again" in capsys.readouterr().err
    ours = task.objective.players["generator"].eval()
    theirs = VQGAN.from_pretrained(checkpoint / "tokenizer")
    pixels = next(task.validation_batches())["pixels"]
    assert torch.equal(ours.encode_to_ids(pixels), theirs.encode_to_ids(pixels))
    assert torch.equal(ours(pixels).reconstruction, theirs(pixels).reconstruction)
    assert ours.quantizer.started
    train_tokenizer.main(line)
    trained = VQGAN.from_pretrained(tmp_path / "run/checkpoint/tokenizer").state_dict()
    before = theirs.state_dict()
    assert trained.keys() == before.keys()
    moved = [(trained[name] - before[name]).abs().max() for name in trained if "decoder" in name]
    assert 0 < max(moved) < 0.05


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.codebook_size=64", "model.codebook_size is 64, but"),
        ("model.base_channels=16", "model.base_channels is 16, but"),
    ],
)
def test_a_tokenizer_of_another_shape_is_refused(tmp_path, checkpoint, capsys, change, words):
    line = tokenizer_run(checkpoint, tmp_path / "run", change)
    assert words in refused(capsys, train_tokenizer.main, line)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_without_a_tokenizer_is_refused(tmp_path, dual_encoder_checkpoint, capsys):
    line = tokenizer_run(dual_encoder_checkpoint, tmp_path / "run")
    assert "is a dual_encoder checkpoint where a tokenizer checkpoint is expected" in refused(
        capsys, train_tokenizer.main, line
    )
