import json
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import BidirectionalPipeline, generate_images
from pipelines.command_line import UserError
from pipelines.data.opening import open_source
from pipelines.data.settings import DataSettings
from pipelines.drawers import divided
from pipelines.drawing import sequences_that_fit
from pipelines.dual_encoder.matcher import Matcher
from pipelines.fingerprints import folder_fingerprint
from pipelines.picture_files import read_said
from pipelines.restarting import held
from unified_transformer import UnifiedTransformerConfig

PROMPTS = ["a small red circle", "大红色圆形在小蓝色正方形上方", "a large blue square below it"]


def drawn(checkpoint, folder, *more, prompts=PROMPTS):
    command = ["--checkpoint", checkpoint, "--output", folder, "--prompt", *prompts, *more]
    generate_images.main([str(argument) for argument in command])
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pixels(folder):
    return [np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))]


@pytest.fixture(scope="module")
def straight(checkpoint, tmp_path_factory):
    """Six pictures that an unbroken run draws two at a time (guidance doubles the sequences)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.drawers.PICTURES_AT_ONCE", 4)
        return drawn(checkpoint, tmp_path_factory.mktemp("straight") / "out", *SIX)


SIX = ("--num-images", "2", "--guidance-scale", "2", "--seed", "3", "--device", "cpu")


def test_what_it_writes_is_an_image_folder_of_ours(checkpoint, tmp_path):
    prompts = ["a small red circle", "大红色圆形在小蓝色正方形上方"]
    settings = ["--num-images", "2", "--rerank", "3", "--seed", "7"]
    command = ["--checkpoint", str(checkpoint), "--output", str(tmp_path), *settings]
    generate_images.main([*command, "--prompt", *prompts])
    source = open_source(DataSettings(source=str(tmp_path), size=32))
    assert source.length == 4
    assert [source[row].captions for row in range(4)] == [[prompts[0]]] * 2 + [[prompts[1]]] * 2
    for row in range(4):
        written = np.asarray(Image.open(tmp_path / f"{row:05d}.png"))
        assert np.array_equal(np.asarray(source[row].image), written)
    lines = (tmp_path / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [7, 10, 7, 10]


def test_completing_and_choosing_by_a_dual_encoder(
    end_to_end_checkpoint, dual_encoder_checkpoint, tmp_path
):
    Image.new("RGB", (50, 40), "red").save(tmp_path / "given.png")
    arguments = ["--checkpoint", str(end_to_end_checkpoint), "--prompt", "a small red circle"]
    arguments += ["--output", str(tmp_path / "out"), "--complete", str(tmp_path / "given.png")]
    arguments += ["--keep-rows", "3", "--rerank", "2", "--rerank-by", str(dual_encoder_checkpoint)]
    generate_images.main([*arguments, "--decoder", "codebook"])
    (line,) = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    said = json.loads(line)
    assert said["keep_rows"] == 3 and said["complete"] == str(tmp_path / "given.png")
    assert said["rerank_by"] == str(dual_encoder_checkpoint) and said["decoder"] == "codebook"
    pipe = BidirectionalPipeline.from_pretrained(end_to_end_checkpoint)
    again = pipe.generate_images(
        ["a small red circle"],
        rerank=2,
        matcher=Matcher.from_pretrained(dual_encoder_checkpoint),
        decoder="codebook",
        complete=Image.open(tmp_path / "given.png"),
        keep_rows=3,
    )[0]
    assert np.array_equal(np.asarray(again), np.asarray(Image.open(tmp_path / "out/00000.png")))


def test_rows_and_pictures_say_the_same(checkpoint, straight):
    lines = (straight / "metadata.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    rows = [json.loads(line) for line in lines]
    assert [row.pop("file_name") for row in rows] == [f"{n:05d}.png" for n in range(6)]
    assert rows == [read_said(straight / f"{n:05d}.png") for n in range(6)]
    assert rows[3]["text"] == PROMPTS[1] and rows[3]["seed"] == 4
    assert rows[3]["guidance_scale"] == 2 and rows[3]["dtype"] == "fp32"
    assert {row["checkpoint"] for row in rows} == {folder_fingerprint(checkpoint)}


def test_what_is_drawn_beside_a_picture_does_not_matter(checkpoint, straight, tmp_path):
    together = pixels(drawn(checkpoint, tmp_path / "together", *SIX))
    one = pixels(drawn(checkpoint, tmp_path / "one", *SIX, prompts=PROMPTS[1:2]))
    assert len(together) == 6 and len(one) == 2
    assert all(map(np.array_equal, together, pixels(straight)))
    assert all(map(np.array_equal, together[2:4], one))


def test_many_pictures_of_one_prompt_are_divided_too(checkpoint, tmp_path, monkeypatch):
    more = ("--num-images", "5", "--rerank", "2", "--seed", "3")
    whole = pixels(drawn(checkpoint, tmp_path / "whole", *more, prompts=PROMPTS[:2]))
    monkeypatch.setattr("pipelines.drawers.PICTURES_AT_ONCE", 4)
    folder = drawn(checkpoint, tmp_path / "divided", *more, prompts=PROMPTS[:2])
    assert len(whole) == 10 and all(map(np.array_equal, whole, pixels(folder)))
    seeds = [read_said(file)["seed"] for file in sorted(folder.glob("*.png"))]
    assert seeds == [3, 5, 7, 9, 11] * 2


@pytest.mark.parametrize(
    ("device", "free", "expected"),
    [("cuda", 60, 35), ("cuda", 600, 128), ("cuda", 1, 1), ("cpu", 0, 128)],
)
def test_of_a_large_model_as_many_are_drawn_together_as_fit(monkeypatch, device, free, expected):
    """Keys and values of one sequence of ten thousand million weights: 0.856 GB in 16 bits."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * 10**9, 80 * 10**9))
    config = UnifiedTransformerConfig(
        hidden_size=4096, num_hidden_layers=48, num_attention_heads=64, text_positions=64,
        grid_height=32, grid_width=32,
    )  # fmt: skip
    large = SimpleNamespace(config=config, device=torch.device(device), dtype=torch.bfloat16)
    assert sequences_that_fit(large, 128) == expected


def test_a_folder_is_begun_with_parts_that_fit(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.drawers.sequences_that_fit", lambda transformer, most: 4)
    index = json.loads((drawn(checkpoint, tmp_path / "out", *SIX) / "begun.json").read_text())
    assert index["state"] == {"together": 2}


@pytest.mark.parametrize(("prompts", "of_each", "together"), [(7, 3, 6), (7, 3, 5), (2, 7, 3)])
def test_parts_have_every_picture_once(prompts, of_each, together):
    parts = divided(prompts, of_each, together)
    assert [number for part in parts for number in part.numbers] == list(range(prompts * of_each))
    for part in parts:
        pairs = [(prompt, k) for prompt in part.prompts for k in part.of_each]
        assert [prompt * of_each + k for prompt, k in pairs] == list(part.numbers)
        assert len(pairs) <= together


def test_killed_and_started_again(checkpoint, straight, tmp_path, capsys):
    """With all that a kill can leave, in the middle of a part of two pictures as well."""
    killed = shutil.copytree(straight, tmp_path / "killed")
    for name in ("00002.png", "00005.png", "metadata.jsonl"):
        (killed / name).unlink()
    (killed / "writing.00002.png").write_bytes(b"half")
    (killed / "writing.metadata.jsonl").write_bytes(b"half")
    before = (killed / "00003.png").stat().st_mtime_ns
    drawn(checkpoint, killed, *SIX)
    assert contents(killed) == contents(straight)
    assert (killed / "00003.png").stat().st_mtime_ns == before
    printed = capsys.readouterr()
    assert printed.out == f"{killed}\n" and "Drawing 4 of 6 pictures" in printed.err
    drawn(checkpoint, killed, *SIX, "--window", "3")  # no picture depends on it
    assert contents(killed) == contents(straight)
    assert "Drawing 0 of 6 pictures" in capsys.readouterr().err


def test_killed_before_the_index_was_whole(checkpoint, straight, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.drawers.PICTURES_AT_ONCE", 4)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "writing.begun.json").write_text("{")
    assert contents(drawn(checkpoint, tmp_path / "out", *SIX)) == contents(straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_rows_of_what_is_there(
    checkpoint, straight, tmp_path, monkeypatch, number
):
    save = generate_images.save_picture

    def interrupted(image, path, said):
        if path.name == "00003.png":
            os.kill(os.getpid(), number)
        save(image, path, said)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.drawers.PICTURES_AT_ONCE", 4)
        patch.setattr(generate_images, "save_picture", interrupted)
        with pytest.raises(SystemExit) as stop:
            drawn(checkpoint, tmp_path / "out", *SIX)
    assert stop.value.code == 128 + number
    source = open_source(DataSettings(source=str(tmp_path / "out"), size=32))
    assert [source[row].captions for row in range(source.length)] == [
        [PROMPTS[0]], [PROMPTS[0]], [PROMPTS[1]],
    ]  # fmt: skip
    assert contents(drawn(checkpoint, tmp_path / "out", *SIX)) == contents(straight)


def test_a_file_of_prompts(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffa red circle\r\n\r\n 大红色圆形 \na\x0cstar\u2028above\n".encode())
    prompts = ["a red circle", "大红色圆形", "a\x0cstar\u2028above"]
    assert generate_images.read_prompts(str(file)) == prompts


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"\n \n", "has no prompt; write one on each line"),
        ("é".encode("latin-1"), "is not a text in UTF-8"),
        ("a".encode("utf-16"), "save it as such"),
    ],
)
def test_a_file_without_prompts(tmp_path, content, words):
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=words):
        generate_images.read_prompts(str(file))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([2], ["of prompt 2: the prompt 'a circle a circle"]),
        (range(2, 14), ["12 of 14 prompts (numbers 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …,", "shorten"]),
    ],
)
def test_prompts_that_are_too_long_are_numbered(checkpoint, tmp_path, capsys, wrong, words):
    prompts = ["a circle " * (20 if number in wrong else 1) for number in range(1, 15)]
    with pytest.raises(SystemExit):
        drawn(checkpoint, tmp_path / "out", prompts=prompts)
    sentence = capsys.readouterr().err
    assert all(part in sentence for part in words) and not (tmp_path / "out").exists()


def test_what_stops_it_is_not_hidden_by_a_damaged_picture(checkpoint, tmp_path, monkeypatch):
    save = generate_images.save_picture

    def interrupted(image, path, said):
        save(image, path, said)
        path.write_text("no picture")
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(generate_images, "save_picture", interrupted)
    with pytest.raises(SystemExit) as stop:
        drawn(checkpoint, tmp_path / "out")
    assert stop.value.code == 128 + signal.SIGINT


def test_two_commands_do_not_fill_one_folder(checkpoint, straight, tmp_path, capsys):
    words = "another command is at work on the output folder"
    (tmp_path / "new").mkdir()
    for folder in (straight, tmp_path / "new"):
        with held(folder, "it"):
            assert words in refusal(capsys, checkpoint, folder)
    drawn(checkpoint, straight, *SIX)


def refusal(capsys, checkpoint, folder, *more, prompts=PROMPTS):
    before = contents(folder)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        drawn(checkpoint, folder, *SIX, *more, prompts=prompts)
    assert stop.value.code == 2 and contents(folder) == before
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--seed", "4"), "(seed was 3, now 4); name a new one"),
        (("--num-images", "3"), "num_images was 2, now 3"),
        (("--temperature", "0.5"), "temperature was"),
        (("--dtype", "bf16"), 'dtype was "fp32", now "bf16"'),
        (("--rerank", "2"), "rerank was 1, now 2"),
    ],
)
def test_a_folder_begun_otherwise(checkpoint, straight, capsys, change, words):
    sentence = refusal(capsys, checkpoint, straight, *change)
    assert "was begun otherwise" in sentence and words in sentence


def test_a_folder_begun_with_other_prompts_or_weights(checkpoint, straight, tmp_path, capsys):
    sentence = refusal(capsys, checkpoint, straight, prompts=PROMPTS[::-1])
    assert "prompts was" in sentence and "number of prompts" not in sentence
    assert "number of prompts was 3, now 2" in refusal(
        capsys, checkpoint, straight, prompts=PROMPTS[:2]
    )
    index = json.loads((checkpoint / "model_index.json").read_text())
    other = shutil.copytree(checkpoint, tmp_path / "other")
    (other / "model_index.json").write_text(json.dumps(index | {"step": 7}))
    assert "(checkpoint was" in refusal(capsys, other, straight)


def test_a_folder_begun_with_another_picture_of_the_same_name(checkpoint, tmp_path, capsys):
    given = tmp_path / "given.png"
    Image.new("RGB", (50, 40), "red").save(given)
    more = ("--complete", given)
    folder = drawn(checkpoint, tmp_path / "out", *SIX, *more)
    Image.new("RGB", (50, 40), "blue").save(given)
    assert "(contents of complete was" in refusal(capsys, checkpoint, folder, *more)


def test_a_picture_that_somebody_replaced(checkpoint, straight, tmp_path, capsys):
    folder = shutil.copytree(straight, tmp_path / "out")
    Image.new("RGB", (32, 32)).save(folder / "00001.png")
    assert "00001.png does not say how it was drawn" in refusal(capsys, checkpoint, folder)
    (folder / "begun.json").write_text("{")
    assert "begun.json is damaged" in refusal(capsys, checkpoint, folder)
