"""The commands as programs of an installed package: each there, its help for a newcomer."""

import argparse
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from pipelines import programs
from pipelines.command_line import as_typed
from pipelines.extras import EXTRAS

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    file.stem
    for file in (ROOT / "pipelines").glob("*.py")
    if '__name__ == "__main__"' in file.read_text(encoding="utf-8")
)


def test_every_script_is_a_program():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["scripts"] == {
        f"drawscribe-{name.replace('_', '-')}": f"pipelines.programs:{name}" for name in SCRIPTS
    }


def test_every_package_of_the_extras_is_known_by_the_one_that_brings_it():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = settings["project"]["optional-dependencies"]
    del declared["dev"]
    assert {
        extra: tuple(re.split(r"[>;]", line)[0].replace("-", "_") for line in lines)
        for extra, lines in declared.items()
    } == EXTRAS


class Parsed(Exception):
    """Carries a parser out of a script."""


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_what_it_does_and_what_each_option_is(script, monkeypatch):
    def stop(parser, *_):
        raise Parsed(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_intermixed_args", stop)
    module = import_module(f"pipelines.{script}")
    with pytest.raises(Parsed) as found:
        module.main(["--help"])
    (parser,) = found.value.args
    assert parser.description.startswith(module.__doc__.splitlines()[0])
    typed = rf"^    (python|accelerate launch|deepspeed) pipelines/{script}\.py\b"
    assert re.search(typed, parser.description, re.M), "no command stands indented on its own"
    gap = re.search(r"\S {3,}\S", parser.description)
    assert not gap, "a line that goes on ends in two backslashes in a docstring"
    formatter = parser._get_formatter()
    for action in parser._actions:
        assert action.help, f"{script} does not say what {action.dest} is"
        default = action.default
        words = [str(one) for one in (default if isinstance(default, list) else [default])]
        if words and default is not None and action.nargs != 0:
            assert f"(default: {' '.join(words)})" in formatter._expand_help(action)


def test_an_installed_program_shows_what_is_typed_there():
    text = (
        "    python pipelines/a_b.py --x\n    accelerate launch pipelines/a_b.py\n"
        "    deepspeed pipelines/a_b.py\nThen a_b.py goes on."
    )
    assert as_typed(text, "/bin/drawscribe-a-b") == (
        "    drawscribe-a-b --x\n    accelerate launch -m pipelines.a_b\n"
        "    deepspeed --module pipelines.a_b\nThen drawscribe-a-b goes on."
    )
    assert as_typed(text, "pipelines/a_b.py") == text


def test_a_package_that_is_not_installed_is_a_sentence(monkeypatch, capsys):
    def without_datasets(name):
        raise ModuleNotFoundError("No module named 'datasets'", name="datasets.table")

    monkeypatch.setattr(programs, "import_module", without_datasets)
    with pytest.raises(SystemExit) as stop:
        programs.encode_images()
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert "pip install 'drawscribe[training]'" in said.err and not said.out
    monkeypatch.setattr("sys.argv", ["/bin/drawscribe-encode-images", "--help"])
    with pytest.raises(SystemExit):
        programs.encode_images()
    said = capsys.readouterr()
    assert (
        "drawscribe-encode-images --tokenizer" in said.out and "'drawscribe[training]'" in said.err
    )


def test_a_module_of_ours_that_is_missing_is_a_bug():
    with pytest.raises(ModuleNotFoundError, match=r"pipelines\.nothing"):
        programs.nothing()
