"""The package installed from a wheel, away from the repository."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The folder of the programs of a new environment, which has the wheel of its own and borrows
    from this one what the wheel needs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("vq", "unified_transformer", "gan", "pipelines", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "new"], check=True)
    own = folder / "new" / "bin"
    (site,) = (folder / "new" / "lib").glob("python*/site-packages")
    # A path in a .pth file is no place whose own .pth files count: the repository stays away.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["--python", own / "python", "install", "--no-deps", "--force-reinstall", wheel]
    subprocess.run([*pip, *install], check=True)
    return own


def run(programs, name, *arguments, cwd):
    done = subprocess.run(
        [programs / name, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_programs_draw_describe_and_train(programs, checkpoint, tmp_path):
    found = run(
        programs, "python", "-c", "import pipelines; print(pipelines.__file__)", cwd=tmp_path
    )
    assert found.startswith(str(programs.parent))
    run(programs, "drawscribe-generate-images", "--checkpoint", checkpoint, "--prompt",
        "a large red circle", "--output", "drawn", cwd=tmp_path)  # fmt: skip
    with Image.open(tmp_path / "drawn/00000.png") as image:
        assert image.size == (32, 32)
    said = run(programs, "drawscribe-caption-images", "--checkpoint", checkpoint,
               "drawn/00000.png", cwd=tmp_path)  # fmt: skip
    assert "caption" in json.loads(said)
    # The configuration is the wheel's own.
    run(programs, "drawscribe-train-tokenizer", "--config", "configs/tokenizer/tiny.yaml",
        "training.steps=2", "training.minutes=null", "output=run", cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "run/checkpoint/model_index.json").is_file()
    said = run(programs, "drawscribe-train-tokenizer", "--help", cwd=tmp_path)
    assert "accelerate launch -m pipelines.train_tokenizer" in said
