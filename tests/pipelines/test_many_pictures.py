"""Two processes of `accelerate launch` that are killed, and one that goes on with their work."""

import time
from pathlib import Path

import launching
import numpy as np
import psutil
import pytest
from PIL import Image

from pipelines import caption_images, generate_images
from pipelines.data.scenes import LANGUAGES

pytestmark = pytest.mark.slow

DRAW = Path(generate_images.__file__)
CAPTION = Path(caption_images.__file__)
PROMPTS = [
    f"a {size} {colour} {shape}"
    for size in LANGUAGES["en"].sizes.values()
    for colour in LANGUAGES["en"].colours.values()
    for shape in LANGUAGES["en"].shapes.values()
]
PICTURES = 2 * len(PROMPTS)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_when(process, begun):
    """Of all processes at once, as soon as some of the work is done."""
    while process.poll() is None and not begun():
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()
    # The launcher gives the others sessions of their own.
    everyone = [*psutil.Process(process.pid).children(recursive=True), process]
    for one in everyone:
        one.kill()
    process.communicate()


def printed(name, processes, script, *arguments, cwd):
    process = launching.start(name, processes, script, *arguments, cwd=cwd)
    output, error = process.communicate()
    assert process.returncode == 0, error
    return output


def test_drawing(checkpoint, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    command = ["--checkpoint", str(checkpoint), "--prompts-file", "prompts.txt", "--rerank", "4"]
    command += ["--num-images", "2", "--device", "cpu", "--output"]
    assert printed("python", 1, DRAW, *command, "one", cwd=tmp_path) == "one\n"
    launching.run("accelerate", 2, DRAW, *command, "two", cwd=tmp_path)
    expected = contents(tmp_path / "one")
    assert contents(tmp_path / "two") == expected and len(expected) == PICTURES + 2
    killed = launching.start("accelerate", 2, DRAW, *command, "killed", cwd=tmp_path)
    kill_when(killed, lambda: any((tmp_path / "killed").glob("0*.png")))
    assert len(contents(tmp_path / "killed")) < len(expected)
    assert printed("python", 1, DRAW, *command, "killed", cwd=tmp_path) == "killed\n"
    assert contents(tmp_path / "killed") == expected
    refused = launching.start(
        "accelerate", 2, DRAW, *command, "killed", "--seed", "1", cwd=tmp_path
    )
    _, error = refused.communicate()
    assert refused.returncode != 0 and error.count("error: the output folder killed was begun") == 1
    assert contents(tmp_path / "killed") == expected


def test_describing(checkpoint, tmp_path):
    (tmp_path / "pictures").mkdir()
    for n in range(400):
        levels = np.random.default_rng(n).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(levels).resize((32, 32)).save(tmp_path / "pictures" / f"{n:03d}.png")
    (tmp_path / "pictures" / "123.png").write_text("no picture")
    command = ["--checkpoint", str(checkpoint), "pictures", "--num-beams", "8", "--device", "cpu"]
    expected = printed("python", 1, CAPTION, *command, cwd=tmp_path)
    assert len(expected.splitlines()) == 399
    assert printed("accelerate", 2, CAPTION, *command, cwd=tmp_path) == expected
    for name in ("two", "killed"):
        (tmp_path / name).mkdir()
    launching.run("accelerate", 2, CAPTION, *command, "--output", "two/c.jsonl", cwd=tmp_path)
    command += ["--output", "killed/c.jsonl"]
    killed = launching.start("accelerate", 2, CAPTION, *command, cwd=tmp_path)
    file = tmp_path / "killed" / "c.jsonl"
    kill_when(killed, lambda: file.is_file() and file.stat().st_size > 0)
    assert file.stat().st_size < len(expected.encode())
    assert printed("python", 1, CAPTION, *command, cwd=tmp_path) == "killed/c.jsonl\n"
    assert file.read_text() == expected
    two = tmp_path / "two" / "c.jsonl"
    assert two.read_text() == expected
