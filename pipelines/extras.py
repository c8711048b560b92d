"""The packages that a command may lack, and what to install for them."""

import sys
from pathlib import Path
from typing import NoReturn

EXTRAS = {
    "training": (
        "datasets", "deepspeed", "lpips", "matplotlib", "peft", "psutil", "pyarrow", "tensorboard",
        "torchvision",
    ),
    "evaluation": (
        "datasets", "jinja2", "lpips", "matplotlib", "psutil", "pyarrow", "pycocoevalcap",
        "torch_fidelity", "torchmetrics", "torchvision",
    ),
    "demo": ("gradio",),
}  # fmt: skip
"""Those of pyproject.toml, with the packages that each brings by the names they are imported by."""

EVALUATING = ("evaluate", "tally")
"""Words in the names of the programs that want "evaluation" of two that would do."""


def refuse_missing(error: ModuleNotFoundError) -> NoReturn:
    """Says what to install, with exit code 2; what no extra brings is a bug, and raised again."""
    package = (error.name or "").split(".")[0]
    bringing = [extra for extra, packages in EXTRAS.items() if package in packages]
    if not bringing:
        raise error
    evaluating = any(word in Path(sys.argv[0]).stem for word in EVALUATING)
    extra = bringing[-1 if evaluating else 0]
    print(
        f"error: this needs {package}, which is not installed; "
        f"pip install 'drawscribe[{extra}]' brings it.",
        file=sys.stderr,
    )
    raise SystemExit(2) from None
