import json

import numpy as np
from PIL import Image

from pipelines import generate_images
from pipelines.data.settings import DataSettings
from pipelines.data.sources import open_source


def test_what_it_writes_is_an_image_folder_of_ours(checkpoint, tmp_path):
    prompts = ["a small red circle", "大红色圆形在小蓝色正方形上方"]
    settings = ["--num-images", "2", "--rerank", "3", "--seed", "7"]
    command = ["--checkpoint", str(checkpoint), "--output", str(tmp_path), *settings]
    generate_images.main([*command, "--prompt", *prompts])
    source = open_source(DataSettings(source=str(tmp_path), size=32))
    assert source.length == 4
    assert [source.texts(row) for row in range(4)] == [[prompts[0]]] * 2 + [[prompts[1]]] * 2
    for row in range(4):
        written = np.asarray(Image.open(tmp_path / f"{row:05d}.png"))
        assert np.array_equal(np.asarray(source[row].image), written)
    lines = (tmp_path / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [7, 10, 7, 10]
