"""The house rules that no single package can hold on its own."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODEL_PACKAGES = ("vq", "unified_transformer", "gan")
PACKAGES = (*MODEL_PACKAGES, "pipelines")
# Needed for training alone: a machine without them can draw, describe and encode.
TRAINING_ONLY = (
    "deepspeed",
    "lpips",
    "peft",
    "tensorboard",
    "torch.utils.tensorboard",
    "torchvision",
)


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[str]:
    """Dotted names of what the import statements among the nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@pytest.mark.parametrize("package", MODEL_PACKAGES)
def test_model_packages_import_none_of_each_other(package):
    others = {*PACKAGES} - {package}
    for file in modules(package):
        for name in imports(ast.walk(parsed(file))):
            assert name.split(".")[0] not in others, f"{file} imports {name}"


def test_imports_are_absolute():
    files = [file for package in PACKAGES for file in modules(package)]
    assert len(files) > 20
    for file in files:
        for name in imports(ast.walk(parsed(file))):
            assert not name.startswith("."), f"{file} imports {name}"


def test_no_file_of_pipelines_hides_a_library():
    """Launching a script puts its folder first on the path: a file there hides its namesakes."""
    libraries = {*sys.stdlib_module_names, *packages_distributions(), "evaluate"} - {*PACKAGES}
    for file in modules("pipelines"):
        for name in (file.stem, file.parent.name):
            assert name not in libraries, f"{file} hides the library {name}"


def test_there_is_no_utils_module():
    for folder in (*PACKAGES, "tests", "benchmarks"):
        assert not [file for file in modules(folder) if re.fullmatch(r"_?utils?", file.stem)]


def test_training_libraries_are_imported_only_where_they_are_used():
    for package in PACKAGES:
        for file in modules(package):
            for name in imports(parsed(file).body):
                assert name.split(".")[0] not in TRAINING_ONLY, f"{file} imports {name} on import"


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "from vq import VQGAN",
        "import unified_transformer",
        "from pipelines import BidirectionalPipeline",
        "import pipelines.data.loader",
        "import pipelines.evaluate_checkpoint",
    ],
)
def test_inference_imports_without_the_training_libraries(statement):
    program = f"import sys; sys.modules.update(dict.fromkeys({TRAINING_ONLY!r})); {statement}"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "tests", capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "import pipelines.generate_images",
        "from pipelines import caption_images; caption_images.named_pictures(['docs'])",
        "import pipelines.answer_questions",
        "import pipelines.push_to_hub",
    ],
)
def test_drawing_and_describing_need_no_data_libraries(statement):
    others = (*TRAINING_ONLY, "datasets", "jinja2", "matplotlib", "pyarrow")
    program = f"import sys; sys.modules.update(dict.fromkeys({others!r})); "
    run = subprocess.run(
        [sys.executable, "-c", f"{program}{statement}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_training_on_scenes_does_not_wait_for_datasets():
    program = "import sys, pipelines.train_bidirectional; sys.exit('datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_every_yaml_begins_with_its_command():
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    assert files
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        header = "\n".join(takewhile(lambda line: line.startswith("#"), lines))
        assert re.search(r"pipelines/\w+\.py|make \w+", header), f"{file} gives no command"
        name = file.relative_to(ROOT).as_posix()
        assert name in header, f"the command that {name} begins with is for another file"
