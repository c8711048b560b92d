"""The commands of the README, and of the page for newcomers, run on a small checkpoint and a few
pictures."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NEWCOMERS = "docs/your_own_pictures.md"
SHRUNK = {
    "train_tokenizer.py": "training.minutes=null training.steps=2 training.batch_size=4",
    "train_bidirectional.py": "training.minutes=null training.steps=2 training.batch_size=4 "
    "model.hidden_size=32 model.num_attention_heads=2 model.num_hidden_layers=3",
}


def blocks(page: str = "README.md") -> list[str]:
    """Indented code blocks, continued lines joined."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"(?:^    .+\n|^\n(?=    ))+", text, flags=re.MULTILINE)
    return [re.sub(r"\\\n\s*", "", block) for block in found]


def commands(page: str = "README.md") -> list[str]:
    starts = ("python ", "accelerate ", "deepspeed ")
    lines = [line.strip() for block in blocks(page) for line in block.splitlines()]
    return [line for line in lines if line.startswith(starts)]


@pytest.fixture
def workplace(tmp_path_factory, checkpoint):
    """A folder with links to our code, a small checkpoint, and three captioned pictures."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("pipelines", "configs"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(checkpoint, folder / "runs/quickstart/checkpoint")
    pictures = folder / "DATA"
    pictures.mkdir()
    for number in range(12):
        Image.new("RGB", (70, 64), (20 * number, 90, 160)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(f"a plain colour, number {number}")
    return folder


def test_the_readme_has_commands():
    assert len(commands()) == 4
    assert any("BidirectionalPipeline" in block for block in blocks())


def run(line: str, workplace: Path) -> None:
    """One command, shrunk."""
    script = next(name for name in line.split() if name.endswith(".py")).split("/")[-1]
    program, *arguments = shlex.split(line) + SHRUNK.get(script, "").split()
    command = [str(Path(sys.executable).parent / program), *arguments]
    done = subprocess.run(command, cwd=workplace, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"


@pytest.mark.slow
def test_commands_run(workplace):
    for line in commands():
        run(line, workplace)
    assert (workplace / "runs/drawn/00003.png").is_file()
    assert (workplace / "runs/mine/checkpoint/model_index.json").is_file()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (overrides,) = re.findall(r"`(end_to_end\.[^`]+)`", text)
    second = next(line for line in commands() if "train_bidirectional.py" in line)
    run(f"{second} {overrides} output=runs/end_to_end", workplace)
    assert (workplace / "runs/end_to_end/checkpoint/reconstructor/config.json").is_file()


@pytest.mark.slow
def test_python_runs(workplace):
    code = next(block for block in blocks() if "BidirectionalPipeline" in block)
    lines = [line[4:] for line in code.splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, "print(captions)"])],
        cwd=workplace,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("[")


def test_the_page_for_newcomers_has_commands():
    scripts = [re.search(r"pipelines/(\w+)\.py", line)[1] for line in commands(NEWCOMERS)]
    trained = ["train_tokenizer", "train_bidirectional"]
    drawn = ["generate_images", "caption_images"]
    assert scripts == ["check_data"] * 3 + trained + drawn + ["train_bidirectional"]


@pytest.mark.slow
def test_the_page_for_newcomers_runs(workplace):
    (workplace / "my_pictures").symlink_to(workplace / "DATA")
    for line in commands(NEWCOMERS):
        run(line.replace("PROMPT", "a plain colour"), workplace)
    assert (workplace / "runs/my_check/contact_sheet.png").is_file()
    assert (workplace / "runs/my_drawings/00003.png").is_file()
