"""An imported tokenizer is a checkpoint like any other."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tokenizer_import.originals import Original, small_weights

from pipelines import (
    caption_images,
    encode_images,
    evaluate_checkpoint,
    generate_images,
    import_tokenizer,
    train_bidirectional,
    train_tokenizer,
)
from pipelines.data.transforms import to_pixels
from pipelines.training.checkpoint import open_checkpoint
from vq import VQGAN, psnr

QUICK = ["training.minutes=null", "training.steps=2", "training.batch_size=4"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(12):
        coarse = Image.fromarray(random.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        coarse.resize((80, 64)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"colours, number {number}")
    return folder


@pytest.fixture(scope="module")
def weights():
    return small_weights("llamagen_vq_16")


@pytest.fixture(scope="module")
def imported(pictures, weights, tmp_path_factory):
    """The folder, and what the command printed."""
    folder = tmp_path_factory.mktemp("imported")
    torch.save({"model": weights}, folder / "vq.pt")
    images = [str(pictures / f"{number}.png") for number in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("builtins.print", lambda *said, **_: printed.append(said))
        run(import_tokenizer, "--kind", "llamagen", folder / "vq.pt", "--output", folder / "ours",
            "--size", 64, "--images", *images)  # fmt: skip
    return folder / "ours", json.loads(printed[-1][0])


def run(command, *arguments):
    command.main([str(argument) for argument in arguments])


def test_what_it_says_is_the_originals(imported, pictures, weights):
    folder, said = imported
    original = Original(weights, "llamagen")
    pixels = torch.stack([to_pixels(Image.open(pictures / f"{n}.png"), 64) for n in range(3)])
    with torch.no_grad():
        painted = original.pixels(original.ids(pixels))
    expected = psnr(painted.clamp(-1, 1), pixels)
    assert said["psnr_by_image"] == pytest.approx(expected.tolist(), abs=0.01)
    assert said["psnr"] == pytest.approx(expected.mean().item(), abs=0.01)
    assert (said["codebook_size"], said["downsampling_factor"]) == (64, 16)
    loaded = VQGAN.from_pretrained(folder / "checkpoint/tokenizer")
    assert said["parameters"] == sum(one.numel() for one in loaded.parameters())
    with Image.open(folder / "reconstructions.png") as sheet:
        assert sheet.size == (3 * 66, 2 * 66)


def test_the_index_says_whose_it_is(imported):
    folder, _ = imported
    index = json.loads((folder / "checkpoint/model_index.json").read_text())
    assert index["imported_from"] == "llamagen"
    assert open_checkpoint(folder, "tokenizer").parts == ("tokenizer",)


def test_every_command_takes_it(imported, pictures, tmp_path, capsys):
    folder, _ = imported
    run(encode_images, "--tokenizer", folder, "--data", pictures, "--size", 64, "--text-column",
        "text", "--rows", 4, "--output", tmp_path / "ids")  # fmt: skip
    run(evaluate_checkpoint, "--checkpoint", folder, "--data", f"{pictures}:train", "--rows", 4,
        "--size", 64, "--output", tmp_path / "report")  # fmt: skip
    assert (tmp_path / "report/report.json").is_file()
    run(train_bidirectional, "--config", "configs/bidirectional/tiny.yaml", *QUICK,
        f"tokenizer={folder}", "tokenizer_config=null", f"data.source={pictures}", "data.size=64",
        "data.validation_rows=4", f"output={tmp_path / 'run'}")  # fmt: skip
    checkpoint = tmp_path / "run/checkpoint"
    run(generate_images, "--checkpoint", checkpoint, "--prompt", "colours", "--output",
        tmp_path / "drawn")  # fmt: skip
    with Image.open(tmp_path / "drawn/00000.png") as drawn:
        assert drawn.size == (64, 64)
    capsys.readouterr()
    run(caption_images, "--checkpoint", checkpoint, tmp_path / "drawn/00000.png")
    assert "caption" in json.loads(capsys.readouterr().out)


def test_it_is_trained_on(imported, pictures, tmp_path):
    folder, _ = imported
    run(train_tokenizer, "--config", folder / "training.yaml", *QUICK, f"data.source={pictures}",
        "data.validation_rows=4", "data.workers=0", "training.micro_batch_size=null",
        "objective.perceptual_weight=0", "objective.adversarial_start_step=1",
        "training.optimizer.warmup_steps=0", f"output={tmp_path / 'run'}")  # fmt: skip
    before = VQGAN.from_pretrained(folder / "checkpoint/tokenizer").state_dict()
    after = VQGAN.from_pretrained(tmp_path / "run/checkpoint/tokenizer").state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert "encoder.conv_in.weight" in moved and "quantizer.codebook" in moved
    close = [torch.allclose(before[name], after[name], atol=1e-3) for name in moved]
    assert all(close)  # the learned weights are what it starts from


@pytest.mark.parametrize("output", [".", "../link"])
def test_folders_that_cannot_be_replaced_are_filled(output, weights, tmp_path, monkeypatch):
    """As a mounted disk cannot, where moving another into its place fails."""
    torch.save({"model": weights}, tmp_path / "vq.pt")
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    monkeypatch.chdir(tmp_path / "disk")
    run(import_tokenizer, "--kind", "llamagen", tmp_path / "vq.pt", "--output", output)
    assert open_checkpoint(tmp_path / "disk").kind == "tokenizer"


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("llamagen_vq_16", {"commitment_weight": 0.25}),
        ("taming_gumbel_f8", {"kl_weight": 1e-8, "temperature_steps": 20000}),
    ],
)
def test_training_yaml(name, terms, tmp_path, monkeypatch):
    """Of the quantizer's own terms, and for any working folder."""
    monkeypatch.chdir(tmp_path)
    torch.save(small_weights(name), "weights.pt")
    run(import_tokenizer, "--kind", name.split("_")[0], "weights.pt", "--output", "ours")
    settings = yaml.safe_load((tmp_path / "ours/training.yaml").read_text())
    assert settings["initialize_from"] == str(tmp_path / "ours")
    quantizers = {"commitment_weight", "kl_weight", "temperature_steps"}
    assert {k: v for k, v in settings["objective"].items() if k in quantizers} == terms


def test_a_decoder_that_is_not_there_is_said(weights, tmp_path, capsys):
    from safetensors.torch import save_file

    encoder = {
        name: tensor
        for name, tensor in small_weights("taming_imagenet_f16").items()
        if not name.startswith("decoder.")
    }
    (tmp_path / "config.json").write_text('{"model_type": "chameleon_vqgan"}')
    save_file(encoder, tmp_path / "model.safetensors")
    run(import_tokenizer, "--kind", "chameleon", tmp_path, "--output", tmp_path / "ours")
    said = capsys.readouterr()
    assert "has no decoder" in said.err and "psnr" not in json.loads(said.out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "40"], "--size is 40; this tokenizer takes multiples of 16"),
        (["--images", "nowhere.png"], "nowhere.png does not exist"),
    ],
)
def test_refusals(arguments, said, weights, tmp_path, capsys):
    torch.save({"model": weights}, tmp_path / "vq.pt")
    output = tmp_path / "ours"
    with pytest.raises(SystemExit) as stop:
        run(import_tokenizer, "--kind", "llamagen", tmp_path / "vq.pt", "--output", output,
            *arguments)  # fmt: skip
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert not output.exists()


def test_a_folder_in_use_and_another_kind_are_refused(weights, tmp_path, capsys):
    torch.save({"model": weights}, tmp_path / "vq.pt")
    for kind, output, said in (
        ("llamagen", tmp_path, "is not empty"),
        ("taming", tmp_path / "ours", "--kind says whose"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(import_tokenizer, "--kind", kind, tmp_path / "vq.pt", "--output", output)
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
