import json

import numpy as np
from PIL import Image

from pipelines import BidirectionalPipeline, generate_images
from pipelines.data.opening import open_source
from pipelines.data.settings import DataSettings
from pipelines.dual_encoder.matcher import Matcher


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
