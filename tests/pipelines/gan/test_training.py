"""Every YAML trains two steps when its sizes are made small; runs resume exactly."""

import json
import shutil
from itertools import chain

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pipelines import generate_images, train_gan, train_style_encoder
from pipelines.configuration.loading import REPOSITORY, dump_configuration, load_configuration
from pipelines.configuration.schemas import DualEncoderRun, GANRun
from pipelines.data.transforms import to_image
from pipelines.gan_pipeline import GANPipeline
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.metrics import read_metrics
from tests.pipelines.gan.conftest import NOISE_ALONE, SMALL, arrays, far, noise_drawn

FILES = sorted((REPOSITORY / "configs" / "gan").glob("*.yaml"))
FILES = [file for file in FILES if file.stem != "style_encoder"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_configurations(file, trained):
    assert load_configuration(file, [], GANRun).text_encoder_config is not None
    run = trained(file.stem)
    checkpoint = open_checkpoint(run, "gan")
    assert checkpoint.tasks == ("text_to_image",) and checkpoint.step == 2
    images = GANPipeline.from_pretrained(run, "cpu").generate_images(["a large red circle"])
    assert [image.size for image in images] == [(32, 32)]
    rows = [row for row in read_metrics(run / "metrics.jsonl") if "loss" in row]
    assert rows[-1]["step"] == 2 and "discriminator_real_logit" in rows[-1]
    assert (run / "samples" / "step_2.png").is_file()
    said = [json.loads(line) for line in (run / "samples" / "step_2.jsonl").open(encoding="utf-8")]
    assert len(said) == 4 and all(row["prompt"] for row in said)


@pytest.mark.parametrize("name", ["gan_cls", "adma_gan"])
def test_samples_are_what_the_checkpoint_draws(name, trained):
    """By the same weights and statistics."""
    run = trained(name, "training.precision=fp32")
    pipe = GANPipeline.from_pretrained(run, "cpu")
    lines = (run / "samples" / "step_2.jsonl").read_text(encoding="utf-8").splitlines()
    texts, attributes = pipe.encode([json.loads(line)["prompt"] for line in lines])
    noise = pipe.generator.noise(len(lines), torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = arrays(map(to_image, pipe.generator(noise, texts, attributes)))
    sheet = Image.open(run / "samples" / "step_2.png")
    assert json.loads(sheet.text["settings"])["prompts"] == [json.loads(s)["prompt"] for s in lines]
    (grid,) = arrays([sheet])
    for number, picture in enumerate(expected):  # below the real ones, two pixels apart
        assert not far(grid[34:66, 34 * number : 34 * number + 32], picture)


@pytest.mark.parametrize("name", ["infomax_gan", "dual_contrastive"])
def test_noise_alone(name, trained):
    run = trained(name, *NOISE_ALONE)
    checkpoint = open_checkpoint(run, "gan")
    assert checkpoint.tasks == ("image_generation",) and checkpoint.text_encoder is None
    assert GANPipeline.from_pretrained(run, "cpu").generate_images(num_images=2)[1].size == (32, 32)
    assert not (run / "samples" / "step_2.jsonl").exists()


def weights(run) -> dict[str, torch.Tensor]:
    files = chain(
        (run / "state" / "step_4").rglob("*.safetensors"), run.glob("checkpoint/*/*.safe*")
    )
    return {
        f"{file.relative_to(run)}:{name}": value
        for file in files
        for name, value in load_file(file).items()
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gan_int_cls", ("train_text_encoder=true",)),
        ("xmc_gan", ()),
        ("adma_gan", ()),
    ],
)
def test_a_resumed_run_is_one_that_never_stopped(
    name, options, tmp_path, dual_encoder_checkpoint, character_checkpoint
):
    source = character_checkpoint if name == "gan_int_cls" else dual_encoder_checkpoint
    arguments = ["--config", f"gan/{name}.yaml", *SMALL, f"text_encoder={source}", *options]
    arguments += ["training.steps=4", "training.save_every=2", f"output={tmp_path}/run"]
    train_gan.main(arguments)
    run = tmp_path / "run"
    straight = weights(run)
    shutil.rmtree(run / "state" / "step_4")
    shutil.rmtree(run / "checkpoint")
    train_gan.main([*arguments, "--resume"])
    again = weights(run)
    assert again.keys() == straight.keys()
    assert [name for name, value in straight.items() if not torch.equal(again[name], value)] == []


def test_another_text_encoder_is_refused_on_resuming(
    tmp_path, dual_encoder_checkpoint, character_checkpoint, capsys
):
    arguments = ["--config", "gan/infomax_gan.yaml", *SMALL, f"output={tmp_path}/run"]
    train_gan.main([*arguments, f"text_encoder={dual_encoder_checkpoint}"])
    with pytest.raises(SystemExit) as stopped:
        train_gan.main([*arguments, f"text_encoder={character_checkpoint}", "--resume"])
    assert stopped.value.code == 2
    assert "was trained with another text encoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "option", "kept"),
    [
        ("adma_gan", "generator.memory.placement=late", "early"),
        ("dual_contrastive", "generator.self_attention_at=8", "16"),
    ],
)
def test_other_players_of_the_same_shape_are_refused_on_resuming(
    name, option, kept, tmp_path, dual_encoder_checkpoint, capsys
):
    source = f"text_encoder={dual_encoder_checkpoint}"
    arguments = ["--config", f"gan/{name}.yaml", *SMALL, source, f"output={tmp_path}/run"]
    train_gan.main([*arguments, "training.steps=1"])
    with pytest.raises(SystemExit) as stopped:
        train_gan.main([*arguments, option, "--resume"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "was trained with generator." in error and kept in error.split(", and not ")[0]


def test_the_text_encoder_learns_of_the_same_data(tmp_path):
    """In pictures of its own size."""
    small = load_configuration(
        "dual_encoder/tiny.yaml", ["training.steps=1", "training.sample_every=0"], DualEncoderRun
    )
    dump_configuration(small, tmp_path / "encoder.yaml")
    arguments = ["--config", "gan/infomax_gan.yaml", *SMALL, "data.size=64", "training.steps=1"]
    arguments += ["data.text_column=text_zh", f"text_encoder_config={tmp_path}/encoder.yaml"]
    train_gan.main([*arguments, f"output={tmp_path}/run"])
    data = load_configuration(tmp_path / "run/text_encoder/config.yaml", [], DualEncoderRun).data
    assert (data.text_column, data.object_weights, data.size) == ("text_zh", [1, 2], 32)


def test_frozen_text_encoder_stays_as_it_was(trained, character_checkpoint):
    before = load_file(character_checkpoint / "dual_encoder" / "model.safetensors")
    after = load_file(trained("gan_cls") / "checkpoint" / "text_encoder" / "model.safetensors")
    assert after
    for name, value in after.items():
        assert torch.equal(value, before[f"text_model.{name}"])
    learned = trained("gan_cls", "train_text_encoder=true") / "checkpoint" / "text_encoder"
    assert any(
        not torch.equal(value, after[name])
        for name, value in load_file(learned / "model.safetensors").items()
    )


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["text_encoder=null"], "there are no texts"),
        (["text_encoder_config=a.yaml"], "set one of them to null"),
        (["training.micro_batch_size=2"], "micro_batch_size"),
        (["training.validate_every=1"], "no loss tells"),
        (["training.compile=true"], "training.compile"),
        (["deepspeed=zero_1.json"], "without DeepSpeed"),
        (["data.size=40"], "halved"),
        (["objective.attribute_weight=0.5"], "generator.memory is null"),
        (["generator.memory={}"], "deep_fusion"),
        (["objective.wrong_pairs_weight=1"], "below 1"),
        (["training.batch_size=2"], "each process has 2 pictures"),
        (["text_positions=1"], "text_positions is 1"),
        (["data.text_column=text_zh"], "take a text encoder that is a BERT"),
        (["attributes.number=5"], "generator.memory, which keeps them, is null"),
        (["text_encoder=nowhere/at/all"], "nowhere/at/all"),
    ],
)
def test_refusals(overrides, sentence, tmp_path, character_checkpoint, capsys):
    arguments = ["--config", "gan/gan_cls.yaml", *SMALL, f"text_encoder={character_checkpoint}"]
    with pytest.raises(SystemExit) as stopped:
        train_gan.main([*arguments, *overrides, f"output={tmp_path}/run"])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_style_without_text(trained, tmp_path):
    run = trained("infomax_gan", *NOISE_ALONE)
    small = ["training.minutes=null", "training.steps=1", "training.batch_size=4"]
    small += ["base_channels=4", "training.validate_every=0", "training.trackers=[]"]
    for gan, folder in ((run, tmp_path / "one"), (tmp_path / "one", tmp_path / "two")):
        arguments = ["--config", "gan/style_encoder.yaml", f"gan={gan}", f"output={folder}"]
        train_style_encoder.main([*arguments, *small])
        # A second style encoder replaces the first.
        assert open_checkpoint(folder, "gan").tasks == ("image_generation", "style_transfer")
    GANPipeline.from_pretrained(run, "cpu").generate_images(seed=9)[0].save(tmp_path / "style.png")
    command = ["--checkpoint", str(tmp_path / "two"), "--output", str(tmp_path / "drawn")]
    command += ["--style-image", str(tmp_path / "style.png"), "--num-images", "2"]
    generate_images.main([*command, "--device", "cpu"])
    drawn = [Image.open(tmp_path / "drawn" / f"0000{n}.png").tobytes() for n in (0, 1)]
    assert drawn[0] == drawn[1]


def test_a_style_encoder_of_another_gan_is_refused_on_resuming(trained, tmp_path, capsys):
    arguments = ["--config", "gan/style_encoder.yaml", f"output={tmp_path}/run"]
    arguments += ["training.minutes=null", "training.steps=1", "training.batch_size=4"]
    arguments += ["base_channels=4", "training.validate_every=0", "training.trackers=[]"]
    train_style_encoder.main([*arguments, f"gan={trained('gan_cls')}"])
    with pytest.raises(SystemExit) as stopped:
        train_style_encoder.main([*arguments, f"gan={trained('gan_int_cls')}", "--resume"])
    assert stopped.value.code == 2
    assert "was trained with another generator than that of" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gan_cls", "adma_gan"])
def test_style_encoder(name, trained, tmp_path):
    before = load_file(trained(name) / "checkpoint" / "generator" / "model.safetensors")
    arguments = ["--config", "gan/style_encoder.yaml", f"gan={trained(name)}", f"output={tmp_path}"]
    small = ["training.minutes=null", "training.steps=2", "training.batch_size=4"]
    small += ["base_channels=4", "training.validate_every=2", "training.validation_batches=1"]
    small += ["training.sample_every=2", "training.trackers=[]"]
    train_style_encoder.main([*arguments, *small])
    after = load_file(tmp_path / "checkpoint" / "generator" / "model.safetensors")
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert open_checkpoint(tmp_path, "gan").tasks == ("text_to_image", "style_transfer")
    pipe = GANPipeline.from_pretrained(tmp_path, "cpu")
    prompts = ["a large red circle", "a small blue star"]
    styles = pipe.generate_images(prompts, seed=3)
    alike = pipe.generate_images(prompts, num_images=2, style=styles[0])
    assert list(alike[0].tobytes()) == list(alike[1].tobytes())
    noise = noise_drawn(pipe)
    # After two steps a GAN's own pictures are all alike, to the last bit on some machines.
    styles = [Image.new("RGB", (32, 32), colour) for colour in ("black", "orange")]
    for style in styles:
        pipe.generate_images(prompts, style=style)
    for found, style in zip(noise, styles, strict=True):
        assert torch.equal(found, pipe.style_of(style).expand(2, -1))
    assert not torch.allclose(*noise)
    assert (tmp_path / "samples" / "step_2.png").is_file()
    assert any("validation_explained" in row for row in read_metrics(tmp_path / "metrics.jsonl"))
