"""What a run shows of itself on the way."""

import json

import torch
from PIL import Image

from pipelines import BidirectionalPipeline
from pipelines.samples import draw_tasks
from unified_transformer import SamplingSettings


def test_a_sheet_of_drawn_pictures_says_how_they_were_drawn(checkpoint, tmp_path):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint, "cpu")
    prompts = ["a small red circle", "a large blue star"]
    text_ids, text_length = pipe.codec.pad(pipe.encode_prompts(prompts), 16)
    batch = {"text_ids": text_ids, "text_length": text_length}
    batch["image_ids"] = torch.zeros(2, 4, 4, dtype=torch.long)
    parts = (pipe.transformer, pipe.tokenizer, pipe.codec)
    draw_tasks(tmp_path / "drawn", *parts, ("text_to_image",), batch)
    settings = json.loads(Image.open(tmp_path / "drawn.png").text["settings"])
    assert settings["prompts"] == prompts and settings["seeds"] == [0, 1]
    assert settings["temperature"] == SamplingSettings().temperature
    draw_tasks(tmp_path / "described", *parts, ("image_to_text",), batch)
    assert not Image.open(tmp_path / "described.png").text
