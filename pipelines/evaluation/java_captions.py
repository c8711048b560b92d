"""METEOR and SPICE, which are Java programs that come with pycocoevalcap."""

import json
import math
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from pipelines.command_line import in_short
from pipelines.evaluation import java_programs
from pipelines.evaluation.java_programs import JavaError, check_java, run_java

SEPARATOR = "|||"
"""Between the texts of a line to METEOR; no caption may have it."""
SPICE_MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


def meteor(right: dict[int, list[str]], hypotheses: dict[int, list[str]]) -> float:
    """METEOR 1.5 of tokenized captions by row.

    Raises:
        JavaError: it does not run, or not to its end.
    """
    from pycocoevalcap.meteor.meteor import Meteor

    run_java(["-version"], Path())  # Meteor's own constructor fails less clearly
    program = Meteor()
    limit = threading.Timer(java_programs.LIMIT_SECONDS, program.meteor_p.kill)
    limit.start()
    failure: Exception | None = None
    score = 0.0
    try:
        score, _ = program.compute_score(*map(_without_separators, (right, hypotheses)))
    except (OSError, ValueError) as error:  # it ended, and what is read is no number
        failure = error
    finally:
        in_time = limit.is_alive()
        limit.cancel()
        said = _close(program)
    if failure is not None:
        why = said or in_short(failure) if in_time else "it took too long"
        raise JavaError(f"it ended before its answer ({why})") from failure
    return float(score)


def _without_separators(captions: dict[int, list[str]]) -> dict[int, list[str]]:
    return {
        row: [" ".join(text.replace(SEPARATOR, " ").split()) for text in texts]
        for row, texts in captions.items()
    }


def _close(program: Any) -> str:
    """Ends the process, and gives what it said on stderr.

    A failure leaves the library's lock held, for which it would wait for ever when the object goes.
    """
    program.meteor_p.kill()
    try:
        _, said = program.meteor_p.communicate(timeout=5)
    except subprocess.TimeoutExpired:  # a child of its own still holds the pipe
        said = b""
    program.meteor_p.wait()
    if program.lock.locked():
        program.lock.release()
    return in_short(Exception(said.decode("utf-8", "replace")))


def spice(right: dict[int, list[str]], hypotheses: dict[int, list[str]]) -> float:
    """SPICE of tokenized captions by row: the mean F score.

    The library's class would download what is missing without asking, and hand the program our
    stdout. So the program is run here, with the class's arguments but for the folder of parsed
    captions: its database does not open under Java 17, and would lie beside the library's files.

    Raises:
        JavaError: its models are not there, or it does not run.
    """
    import pycocoevalcap.spice

    check_java()
    folder = Path(pycocoevalcap.spice.__file__).parent
    absent = [name for name in SPICE_MODELS if not (folder / "lib" / name).is_file()]
    if absent:
        raise JavaError(
            f"it needs {' and '.join(absent)} of stanford-corenlp-full-2015-12-09.zip "
            f"(nlp.stanford.edu/software) in {folder / 'lib'}; python -m "
            "pycocoevalcap.spice.get_stanford_models downloads them"
        )
    rows = [{"image_id": n, "test": hypotheses[n][0], "refs": right[n]} for n in right]
    with tempfile.TemporaryDirectory() as temporary:
        question, answer = Path(temporary, "captions.json"), Path(temporary, "scores.json")
        question.write_text(json.dumps(rows), encoding="utf-8")
        run_java(
            [
                *("-Xmx8G", "-jar", "spice-1.0.jar", str(question)),
                *("-out", str(answer), "-subset", "-silent"),
            ],
            folder,
        )
        try:
            scored = json.loads(answer.read_text(encoding="utf-8"))
            mean = sum(float(row["scores"]["All"]["f"]) for row in scored) / len(rows)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JavaError(f"its answer cannot be read ({in_short(error)})") from error
    if len(scored) != len(rows) or not math.isfinite(mean):
        raise JavaError("its answer lacks some captions")
    return mean
