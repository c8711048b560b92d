"""The programs of an installed package: `drawscribe-generate-images` runs `generate_images.py`.

pyproject.toml names each. A script is imported when it runs, so that a package that is not
installed is a sentence and no traceback.
"""

import ast
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from pipelines.command_line import as_typed
from pipelines.extras import refuse_missing


def __getattr__(name: str) -> Callable[[], None]:
    """The program of the script of that name."""
    if name.startswith("_"):
        raise AttributeError(name)
    return partial(run, name)


def run(script: str) -> None:
    """A script's `main`, with the command line's arguments."""
    try:
        main = import_module(f"pipelines.{script}").main
    except ModuleNotFoundError as error:
        if {"-h", "--help"} & {*sys.argv}:
            print(_description(script))
        refuse_missing(error)
    main()


def _description(script: str) -> str:
    """What its help begins with, of a script that cannot be imported."""
    text = Path(__file__).with_name(f"{script}.py").read_text(encoding="utf-8")
    return as_typed(ast.get_docstring(ast.parse(text)) or "", sys.argv[0])
