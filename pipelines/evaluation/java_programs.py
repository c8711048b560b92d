"""Java programs of caption metrics: they answer in time, or a reason is given."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import in_short

LIMIT_SECONDS = 1800
"""A test set of 40,000 captions takes METEOR and SPICE minutes."""


class JavaError(Exception):
    """A program that is not there, fails or does not end; the reason in a line."""


def check_java() -> None:
    """
    Raises:
        JavaError: there is no `java`.
    """
    if shutil.which("java") is None:
        raise JavaError("there is no java on this machine; install a Java runtime")


def run_java(arguments: Sequence[str], folder: Path, text: str = "") -> str:
    """What a program prints when it is given `text`, both in UTF-8.

    Args:
        arguments: after `java`.
        folder: to run in.

    Raises:
        JavaError: it cannot be started, fails, or takes longer than `LIMIT_SECONDS`.
    """
    check_java()
    command = ["java", "-Dfile.encoding=UTF-8", *arguments]
    try:
        run = subprocess.run(
            command,
            cwd=folder,
            input=text.encode("utf-8", "replace"),
            capture_output=True,
            timeout=LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise JavaError(f"java did not end within {LIMIT_SECONDS} seconds") from None
    except OSError as error:
        raise JavaError(f"java cannot be run ({in_short(error)})") from error
    if run.returncode != 0:
        said = in_short(Exception(run.stderr.decode("utf-8", "replace")))
        raise JavaError(f"java ended with code {run.returncode} ({said})")
    return run.stdout.decode("utf-8", "replace")
