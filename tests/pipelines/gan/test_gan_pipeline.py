"""Drawing with a GAN's checkpoint: in Python and on the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import generate_images
from pipelines.command_line import UserError
from pipelines.gan_pipeline import GANPipeline
from tests.pipelines.gan.conftest import NOISE_ALONE, arrays, far, noise_drawn

PROMPTS = ["a large red circle", "a small blue star"]


@pytest.fixture(
    params=[("gan_cls", 0.02), ("xmc_gan", 0.02), ("adma_gan", 0.1)], ids=lambda param: param[0]
)
def pipe(request, trained):
    """Stirred: after two steps all prompts are nearly one to it."""
    name, by = request.param
    pipe = GANPipeline.from_pretrained(trained(name), "cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in pipe.texts.encoder.parameters():
            parameter *= 12
        for parameter in pipe.generator.parameters():
            parameter += by * torch.randn_like(parameter)
    return pipe


def test_pictures_depend_on_prompt_and_seed_alone(pipe):
    both = arrays(pipe.generate_images(PROMPTS, num_images=2, seed=5))
    assert len(both) == 4
    (alone,) = arrays(pipe.generate_images(PROMPTS[1:], seed=6))
    assert not far(both[3], alone)
    assert far(both[3], both[2]) and far(both[3], both[1])  # another seed, another prompt
    each = arrays(pipe.generate_images(PROMPTS, seed=[5, 6]))
    assert not far(each[0], both[0]) and not far(each[1], both[3])


def test_a_way_begins_and_ends_at_its_prompts(pipe):
    way = arrays(pipe.interpolate(PROMPTS, 4, seed=3))
    ends = arrays(pipe.generate_images(PROMPTS, seed=3))
    assert len(way) == 4
    assert not far(way[0], ends[0]) and not far(way[-1], ends[1])
    assert far(way[1], ends[0]) and far(way[2], ends[1]) and far(way[1], way[2])


def test_a_way_between_two_noises(pipe):
    way = arrays(pipe.interpolate(PROMPTS[:1], 3, seed=3))
    ends = arrays(pipe.generate_images(PROMPTS[:1], num_images=2, seed=3))
    assert not far(way[0], ends[0]) and not far(way[-1], ends[1])
    assert far(way[1], ends[0]) and far(way[1], ends[1])


def test_noise_on_the_way_is_as_long_as_that_of_its_ends(pipe):
    """Half way between two noises it would be shorter, as the generator has seen none."""
    seen = noise_drawn(pipe)
    pipe.interpolate(PROMPTS[:1], 3, seed=3)
    first, between, last = seen[0].norm(dim=1).tolist()
    assert between == pytest.approx((first + last) / 2)


@pytest.mark.parametrize(
    ("prompts", "options", "sentence"),
    [
        (None, {}, "give it a prompt"),
        ([], {}, "give it a prompt"),
        ("a red circle", {}, "list"),
        ([""], {}, "empty"),
        (PROMPTS, {"num_images": 0}, "at least 1"),
        (PROMPTS, {"seed": [1]}, "one for each"),
        (PROMPTS, {"seed": -1}, "seed is -1"),
    ],
)
def test_refusals(prompts, options, sentence, pipe):
    with pytest.raises(UserError, match=sentence):
        pipe.generate_images(prompts, **options)


def test_a_character_encoder_refuses_what_it_does_not_read(trained):
    pipe = GANPipeline.from_pretrained(trained("gan_cls"), "cpu")
    with pytest.raises(UserError, match="configs/dual_encoder"):
        pipe.generate_images(["大红色圆形"])
    with pytest.raises(UserError, match="203 text positions"):
        pipe.generate_images(["a" * 202])
    assert pipe.generate_images(["A Red Circle!"])


def rows(folder):
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def draw(checkpoint, folder, *options):
    arguments = ["--checkpoint", str(checkpoint), "--output", str(folder), "--device", "cpu"]
    generate_images.main([*arguments, *options])
    return rows(folder)


def test_command(trained, tmp_path):
    found = draw(
        trained("xmc_gan"), tmp_path / "drawn", "--prompt", *PROMPTS, "--num-images", "2",
        "--seed", "7",
    )  # fmt: skip
    assert [row["text"] for row in found] == [text for text in PROMPTS for _ in range(2)]
    assert [row["seed"] for row in found] == [7, 8, 7, 8]
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 4


def test_command_of_ways(trained, tmp_path):
    run = trained("xmc_gan")
    found = draw(run, tmp_path / "texts", "--prompt", *PROMPTS, "--interpolate", "3")
    assert [row["way"] for row in found] == [0, 0.5, 1] and found[0]["seed"] == 0
    found = draw(run, tmp_path / "noises", "--prompt", PROMPTS[0], "--interpolate", "3")
    assert found[0]["seeds"] == [0, 1]


def test_command_without_text(trained, tmp_path):
    run = trained("infomax_gan", *NOISE_ALONE)
    found = draw(run, tmp_path / "drawn", "--num-images", "3")
    assert [row["seed"] for row in found] == [0, 1, 2]
    found = draw(run, tmp_path / "way", "--interpolate", "3")
    assert [row["text"] for row in found] == [""] * 3


@pytest.mark.parametrize(
    ("name", "prompts", "options"),
    [
        ("xmc_gan", PROMPTS, ["--num-images", "3"]),
        ("xmc_gan", PROMPTS, ["--interpolate", "5"]),
        ("adma_gan", PROMPTS, ["--attributes", "large, red", "small, star"]),
        ("infomax_gan", None, ["--num-images", "5"]),
    ],
)
def test_killed_and_started_again(name, prompts, options, trained, tmp_path, monkeypatch):
    """Drawn two at a time, from the third picture on anew: rows and pictures are those of a run
    that draws all of them at once, or nearly."""
    of_texts = [] if prompts is None else ["--prompt", *prompts]
    run = trained(name, *(NOISE_ALONE if prompts is None else []))
    options = [*of_texts, *options, "--seed", "7"]
    whole = draw(run, tmp_path / "whole", *options)
    monkeypatch.setattr("pipelines.gan_drawer.PICTURES_AT_ONCE", 2)
    parts = draw(run, tmp_path / "parts", *options)
    assert parts == whole and len(parts) == len(list((tmp_path / "parts").glob("*.png")))
    for file in sorted((tmp_path / "parts").glob("*.png")):
        one, other = (np.asarray(Image.open(tmp_path / p / file.name)) for p in ("whole", "parts"))
        assert not far(one.astype(int), other.astype(int))
    before = {file.name: file.read_bytes() for file in (tmp_path / "parts").iterdir()}
    for file in sorted((tmp_path / "parts").glob("*.png"))[1:]:
        file.unlink()
    assert draw(run, tmp_path / "parts", *options) == whole
    assert {file.name: file.read_bytes() for file in (tmp_path / "parts").iterdir()} == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prompt", "a", "--temperature", "1"], "is for the checkpoint of a transformer"),
        (["--prompt", "a", "--rerank", "2"], "--rerank"),
        (["--prompt", "a", "b", "c", "--interpolate", "3"], "3 prompts"),
        (["--prompt", "a", "--interpolate", "1"], "nothing between"),
        (["--prompt", "a", "--interpolate", "3", "--num-images", "2"], "--num-images"),
        (["--prompt", "a", "--style-image", "no.png"], "no.png"),
        ([], "give it a prompt"),
    ],
)
def test_command_refuses(options, sentence, trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        draw(trained("xmc_gan"), tmp_path / "drawn", *options)
    assert stopped.value.code == 2 and sentence in capsys.readouterr().err
    assert not (tmp_path / "drawn").exists()


def test_a_transformer_refuses_options_of_gans(checkpoint, tmp_path, capsys):
    with pytest.raises(SystemExit):
        draw(checkpoint, tmp_path / "drawn", "--prompt", "a red circle", "--interpolate", "3")
    assert "is for the checkpoint of a GAN" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        draw(checkpoint, tmp_path / "drawn")
    assert "nothing to draw" in capsys.readouterr().err
