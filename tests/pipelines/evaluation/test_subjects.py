"""What is measured beside checkpoints: other systems' pictures and captions."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.transforms import arrays_to_pixels
from pipelines.evaluation.rows import Block
from pipelines.evaluation.subjects import (
    CaptionsSubject,
    CheckpointSubject,
    PicturesSubject,
    TokenizerSubject,
)

NAMES = ["COCO_val2014_000000000139.jpg", "COCO_val2014_000000000285.jpg"]


def block_of(names, captions=None):
    rng = np.random.default_rng(0)
    count = len(names)
    pictures = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in names]
    texts = [[caption] for caption in captions or ["a large red star"] * count]
    places = list(range(count))
    return Block(0, places, places, pictures, list(names), texts, [[]] * count, [""] * count)


def write(path, rows, as_list=True):
    text = json.dumps(rows) if as_list else "\n".join(map(json.dumps, rows))
    path.write_text(text)
    return CaptionsSubject(path)


@pytest.mark.parametrize("as_list", [True, False])
def test_captions_belong_to_pictures_by_name_number_or_order(tmp_path, as_list):
    file = tmp_path / "captions.json"

    def said(rows, names=NAMES):
        subject = write(file, rows, as_list)
        subject.suit(names)
        return subject.make(block_of(names)).said

    by_id = [{"image_id": 285, "caption": "b"}, {"image_id": 139, "caption": "a"}]
    assert said(by_id) == ["a", "b"]
    by_name = [
        {"image": f"some/where/{NAMES[1]}", "caption": "b"},
        {"file_name": NAMES[0], "caption": "a"},
    ]
    assert said(by_name) == ["a", "b"]
    in_order = [{"caption": "a"}, {"caption": "b"}]
    assert said(in_order) == ["a", "b"]
    # Data without names leave the order.
    assert said(by_id, ["", ""]) == ["b", "a"]
    # Of several captions of a picture the first counts.
    assert said([*by_id, {"image_id": 139, "caption": "c"}]) == ["a", "b"]


def test_captions_that_do_not_match_the_data_are_refused(tmp_path):
    file = tmp_path / "captions.json"
    with pytest.raises(UserError, match="has a caption of 7, and the data have no such picture"):
        write(file, [{"image_id": 7, "caption": "a"}]).suit(NAMES)
    with pytest.raises(UserError, match="has a caption of x.png, and the data have no such"):
        write(file, [{"image": "a/x.png", "caption": "a"}]).suit(NAMES)
    with pytest.raises(UserError, match="has 1 captions and the data 2 rows without names"):
        write(file, [{"caption": "a"}]).suit(["", ""])
    subject = write(file, [{"image_id": 139, "caption": "a"}])
    subject.suit(NAMES)
    with pytest.raises(UserError, match="captions.json has no caption of COCO_val2014_.*285.jpg"):
        subject.make(block_of(NAMES))


@pytest.mark.parametrize("text", ["", "[]", "{", '[{"image_id": 1}]', "[1]", '{"caption": 3}'])
def test_files_without_captions_are_refused(tmp_path, text):
    file = tmp_path / "captions.json"
    file.write_text(text)
    with pytest.raises(UserError, match="captions.json cannot be read"):
        CaptionsSubject(file)


def test_pictures_of_another_system_bring_their_prompts(tmp_path):
    rows = []
    for number, colour in enumerate(("red", "blue", "green")):
        Image.new("RGB", (20, 10), colour).save(tmp_path / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "text": f"a {colour} field"}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    made = PicturesSubject(tmp_path, Image.open).make(block_of(["x"] * 4))
    # Fewer than the data have are measured as far as they go.
    assert made.prompts == ["a red field", "a blue field", "a green field"]
    assert [picture.getpixel((0, 0)) for picture in made.drawn][1] == (0, 0, 255)
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match="names 1.png, which is not there"):
        PicturesSubject(tmp_path, Image.open)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "0.png"}')
    with pytest.raises(UserError, match="metadata.jsonl cannot be read .*'text'"):
        PicturesSubject(tmp_path, Image.open)


def test_a_tokenizer_reconstructs(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    block = block_of(["", "", ""])
    made = TokenizerSubject(pipe.tokenizer).make(block)
    again = pipe.tokenizer(arrays_to_pixels(np.stack(block.pictures))).reconstruction
    torch.testing.assert_close(made.reconstructed.pixels, again.clamp(-1, 1), atol=1e-4, rtol=1e-4)
    assert made.drawn is made.said is made.answers is None


def test_a_checkpoint_does_what_it_was_trained_for(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    block = block_of(["", ""], ["a small red circle", "a large star " * 20])
    made = CheckpointSubject(pipe, rerank=1).make(block)
    assert made.said == pipe.caption_images(block.pictures) and made.answers is None
    # What is too long is cut as in training, and drawn.
    assert made.prompts[0] == "a small red circle"
    assert pipe.codec.encode_prompt(made.prompts[1], 16)
    again = pipe.generate_images(made.prompts, seed=[0, 1])
    assert all(
        np.array_equal(a, b)
        for a, b in zip(map(np.asarray, made.drawn), map(np.asarray, again), strict=True)
    )
    drawing = BidirectionalPipeline(
        pipe.tokenizer, pipe.codec, pipe.transformer, tasks=("text_to_image",)
    )
    alone = CheckpointSubject(drawing, rerank=1).make(block)
    assert alone.said is alone.fits is None and len(alone.drawn) == 2


def test_every_candidate_of_every_row_has_a_seed_of_its_own(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    block = block_of(["", "", ""])
    assert CheckpointSubject(pipe, rerank=4).seeds(block) == [0, 4, 8]
