"""What a user gets wrong: one sentence on stderr, exit code 2, no traceback."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipelines import (
    caption_images,
    evaluate_checkpoint,
    generate_images,
    train_bidirectional,
    train_dual_encoder,
    train_tokenizer,
)

ROOT = Path(__file__).resolve().parents[2]


def refused(capsys, main, *arguments):
    """The one sentence with which a command refuses."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]


def drawing(checkpoint, output, *more):
    return ("--checkpoint", checkpoint, "--output", output, *more)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--prompt", ""), "is empty"),
        (("--prompt", "a red circle", "   "), "is empty"),
        (("--prompt", "red " * 40), "16 text positions"),
        (("--prompt", "a red circle", "--temperature", "-1"), "temperature"),
        (("--prompt", "a red circle", "--top-p", "0"), "top_p"),
        (("--prompt", "a red circle", "--top-p", "2"), "top_p"),
        (("--prompt", "a red circle", "--top-k", "-2"), "top_k"),
        (("--prompt", "a red circle", "--guidance-scale", "-1"), "guidance_scale"),
        (("--prompt", "a red circle", "--num-images", "0"), "num_images"),
        (("--prompt", "a red circle", "--rerank", "0"), "rerank"),
        (("--prompt", "a red circle", "--window", "0"), "window is 0"),
        (("--prompt", "a red circle", "--seed", "-1"), "seed"),
        (("--prompt", "a red circle", "--seed", str(2**63)), "seed"),
        (("--prompt", "a red circle", "--seed", str(2**63 - 1), "--rerank", "2"), "seed"),
        (("--prompt", "a red circle", "--device", "toaster"), "toaster"),
        (("--prompt", "a red circle", "--dtype", "int3"), "int3"),
        (("--prompts-file", "nowhere.txt"), "nowhere.txt"),
    ],
)
def test_generate_images(checkpoint, tmp_path, capsys, arguments, words):
    output = tmp_path / "drawn"
    sentence = refused(capsys, generate_images.main, *drawing(checkpoint, output, *arguments))
    assert words in sentence
    assert not output.exists()


def test_a_folder_with_files_is_not_written_into(checkpoint, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    arguments = drawing(checkpoint, tmp_path, "--prompt", "a red circle")
    assert "is not empty" in refused(capsys, generate_images.main, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_where_the_output_folder_should_be(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    arguments = drawing(checkpoint, tmp_path / "file", "--prompt", "a red circle")
    assert "cannot be made" in refused(capsys, generate_images.main, *arguments)


@pytest.mark.parametrize("main", [generate_images.main, caption_images.main])
def test_checkpoints(main, checkpoint, tokenizer_checkpoint, tmp_path, capsys):
    picture = tmp_path / "red.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    rest = (
        ("--output", tmp_path / "drawn", "--prompt", "a red circle")
        if main is generate_images.main
        else (picture,)
    )

    def sentence(folder):
        return refused(capsys, main, "--checkpoint", folder, *rest)

    assert "there is no folder" in sentence(tmp_path / "nowhere")
    assert "model_index.json" in sentence(tmp_path)
    assert "tokenizer checkpoint where a bidirectional" in sentence(tokenizer_checkpoint)
    assert "part of a checkpoint" in sentence(checkpoint / "tokenizer")
    index = json.loads((checkpoint / "model_index.json").read_text())
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    (copy / "model_index.json").write_text(json.dumps(index | {"format_version": 99}))
    assert "checkpoint format 99" in sentence(copy)
    done, other = ("text_to_image", "image_to_text")[:: 1 if main is caption_images.main else -1]
    (copy / "model_index.json").write_text(json.dumps(index | {"tasks": [done]}))
    assert f"not trained for {other} (only for {done})" in sentence(copy)
    assert not (tmp_path / "drawn").exists()


def test_data_to_evaluate(checkpoint, tmp_path, capsys):
    arguments = drawing(checkpoint, tmp_path / "report", "--data", "")
    assert "the data is empty" in refused(capsys, evaluate_checkpoint.main, *arguments)


def test_reranking_needs_the_other_direction(checkpoint, tmp_path, capsys):
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"tasks": ["text_to_image"]}))
    arguments = drawing(copy, tmp_path / "drawn", "--prompt", "a red circle", "--rerank", "2")
    assert "not trained for image_to_text" in refused(capsys, generate_images.main, *arguments)
    data = ("--data", "scenes", "--rerank", "2")
    arguments = drawing(copy, tmp_path / "report", *data)
    assert "not trained for image_to_text" in refused(capsys, evaluate_checkpoint.main, *arguments)


def test_pictures_to_describe(checkpoint, tmp_path, capsys):
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 50).save(whole)
    half = tmp_path / "half.png"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    cases = (
        (text, "is not an image"),
        (half, "half.png"),
        (tmp_path / "none.png", "does not exist"),
        (tmp_path / "empty", "is a folder without pictures"),
    )
    (tmp_path / "empty").mkdir()
    for path, words in cases:
        sentence = refused(capsys, caption_images.main, "--checkpoint", checkpoint, path)
        assert words in sentence and str(path) in sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--num-beams", "0"), "num_beams"),
        (("--temperature", "-1"), "temperature"),
        (("--max-length", "0"), "max_length"),
        (("--num-beams", "2", "--temperature", "1"), "beam search"),
        (("--temperature", "1", "--seed", "-1"), "seed"),
    ],
)
def test_caption_settings(checkpoint, tmp_path, capsys, arguments, words):
    picture = tmp_path / "red.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    sentence = refused(capsys, caption_images.main, "--checkpoint", checkpoint, picture, *arguments)
    assert words in sentence


TINY_TOKENIZER = ROOT / "configs/tokenizer/tiny.yaml"
TINY = ROOT / "configs/bidirectional/tiny.yaml"
TINY_DUAL = ROOT / "configs/dual_encoder/tiny.yaml"


@pytest.mark.parametrize(
    ("main", "config", "overrides", "words"),
    [
        (train_tokenizer.main, "nowhere.yaml", (), "nowhere.yaml"),
        (train_tokenizer.main, TINY_TOKENIZER, ("model.codebok_size=3",), "codebook_size"),
        (train_tokenizer.main, TINY_TOKENIZER, ("model.codebook_size=1",), "codebook_size"),
        (train_tokenizer.main, TINY_TOKENIZER, ("training.steps=many",), "steps"),
        (train_tokenizer.main, TINY_TOKENIZER, ("training.batch_size=0",), "batch_size"),
        (train_tokenizer.main, TINY_TOKENIZER, ("data.source=nowhere/at_all.parquet",), "nowhere"),
        (train_tokenizer.main, TINY_TOKENIZER, ("data.size=33",), "33"),
        (train_tokenizer.main, TINY_TOKENIZER, ("seed=-1",), "seed"),
        (train_tokenizer.main, TINY_TOKENIZER, ("model.image_channels=1",), "image_channels"),
        (
            train_tokenizer.main,
            TINY_TOKENIZER,
            ("objective.adversarial_weight=1", "discriminator.layers=4"),
            "48 pixels",
        ),
        (train_tokenizer.main, TINY_TOKENIZER, ("deepspeed=x.json",), "without DeepSpeed"),
        (train_bidirectional.main, TINY, ("tokenizer=nowhere",), "nowhere"),
        (train_bidirectional.main, TINY, ("model.hidden_size=65",), "hidden_size"),
        (train_bidirectional.main, TINY, ("objective.caption_dropout=2",), "caption_dropout"),
        (train_bidirectional.main, TINY, ("model.layer_patterns=[rows]",), "rows"),
        (
            train_bidirectional.main,
            TINY,
            ("model.attention_implementation=flex", "--device", "cpu"),
            "cannot train on cpu",
        ),
        (train_dual_encoder.main, TINY_DUAL, ("training.micro_batch_size=4",), "micro_batch_size"),
        (train_dual_encoder.main, TINY_DUAL, ("training.compile=true",), "training.compile"),
        (train_dual_encoder.main, TINY_DUAL, ("training.batch_size=1",), "batch_size is 1"),
        (train_dual_encoder.main, TINY_DUAL, ("data.size=4",), "needs 8 pixels"),
        (train_dual_encoder.main, TINY_DUAL, ("data.text_column=name",), "no column 'name'"),
        (train_dual_encoder.main, TINY_DUAL, ("model.text_heads=3",), "text_heads"),
        (train_dual_encoder.main, TINY_DUAL, ("objective.largest_shift=-1",), "largest_shift"),
    ],
)
def test_configurations(tmp_path, capsys, main, config, overrides, words):
    output = tmp_path / "run"
    sentence = refused(capsys, main, "--config", config, f"output={output}", *overrides)
    assert words in sentence
    assert not output.exists()  # so that the corrected command may use it


def test_a_refused_resume_leaves_the_run_as_it_was(tmp_path, capsys):
    short = ("training.steps=2", "training.validate_every=0", "training.sample_every=0")
    command = ("--config", TINY_TOKENIZER, f"output={tmp_path / 'run'}", *short)
    train_tokenizer.main([str(argument) for argument in command])
    before = (tmp_path / "run/config.yaml").read_text()
    wider = (*command, "model.base_channels=48", "--resume")
    assert "does not fit this configuration" in refused(capsys, train_tokenizer.main, *wider)
    assert (tmp_path / "run/config.yaml").read_text() == before


def test_a_run_folder_with_files_is_refused_without_resume(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    arguments = ("--config", TINY_TOKENIZER, f"output={tmp_path}")
    assert "--resume" in refused(capsys, train_tokenizer.main, *arguments)


@pytest.mark.slow
def test_as_a_person_meets_it(tmp_path):
    """As a process of its own, from another folder."""
    command = [sys.executable, ROOT / "pipelines/generate_images.py", "--checkpoint", "nowhere"]
    command += ["--prompt", "a red circle", "--output", "drawn"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.strip() == "error: there is no folder nowhere; name a checkpoint folder."
    assert not any(tmp_path.iterdir())
