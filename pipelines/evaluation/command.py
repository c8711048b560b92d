"""`evaluate_checkpoint.py`, once its arguments are read."""

import argparse
import platform
from dataclasses import asdict, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError, device_and_dtype, in_short, open_output
from pipelines.evaluation.figures import Missing
from pipelines.evaluation.gallery import SHOWN, Gallery
from pipelines.evaluation.gan_subject import GANSubject, scenes_drawn
from pipelines.evaluation.measures import Judges
from pipelines.evaluation.measuring import measure
from pipelines.evaluation.opening import Data, open_data, open_judges, open_subject
from pipelines.evaluation.other_systems import PicturesSubject
from pipelines.evaluation.rating import Beside
from pipelines.evaluation.report import draw_grid, sampling_in_words
from pipelines.evaluation.report_files import Heading, write_files
from pipelines.evaluation.scene_groups import scene_groups
from pipelines.evaluation.scene_report import check_readable, choose_sampling, show_scenes
from pipelines.evaluation.subjects import CheckpointSubject, Subject
from pipelines.fingerprints import folder_fingerprint
from pipelines.recommended_sampling import recommend_sampling
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import Processes


def evaluate(arguments: argparse.Namespace) -> None:
    """Measures, and writes the report.

    Raises:
        UserError: something that was named cannot be used.
    """
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes:
        subject = processes.together(lambda: open_subject(arguments, processes))
        data = processes.together(lambda: open_data(arguments, subject))
        if data.scenes:
            check_readable(data.settings.height_width)
        beside = processes.together(lambda: Beside(arguments.beside))
        judges = open_judges(arguments, subject, processes)
        folder = processes.on_main(lambda: open_output(arguments.output))
        try:
            _evaluate_into(folder, arguments, subject, data, judges, beside, processes)
        except (UserError, SystemExit):  # this process's mistake, or another's
            if processes.is_main and not any(folder.iterdir()):
                folder.rmdir()
            raise


def _evaluate_into(
    folder: Path,
    arguments: argparse.Namespace,
    subject: Subject,
    data: Data,
    judges: Judges,
    beside: Beside,
    processes: Processes,
) -> None:
    """Nothing is written before everything is measured."""
    if arguments.choose_sampling:
        _choose_sampling(arguments, subject, data, processes)
    gallery = Gallery(max(SHOWN, arguments.rate))
    measured = measure(subject, data.rows, judges, processes, data.scenes, gallery)
    if data.scenes and isinstance(subject, CheckpointSubject):
        pipe, tasks = subject.pipe, subject.tasks
        more = scene_groups(pipe, tasks, arguments.rows, data.language, processes)
        measured = replace(measured, figures=measured.figures | more)
    if data.scenes and isinstance(subject, GANSubject) and subject.pipe.texts is not None:
        more = scenes_drawn(subject, arguments.rows, data.language, processes.share_out)
        measured = replace(measured, figures=measured.figures | more)
    if arguments.choose_sampling:
        processes.on_main(lambda: _recommend(arguments.checkpoint, subject))
    if processes.is_main:
        print(write_files(folder, measured, heading(arguments, subject, data, judges)))
        print(beside.write_sheet(folder, measured.gallery.first[: arguments.rate]))
        if data.scenes and isinstance(subject, CheckpointSubject):
            _draw_samples(subject, data, folder)
    processes.wait()


def heading(arguments: argparse.Namespace, subject: Subject, data: Data, judges: Judges) -> Heading:
    """Title and settings of the report."""
    what = arguments.checkpoint or arguments.images or arguments.captions
    height, width = data.settings.height_width
    how = [f"Pictures of {height} x {width} pixels."]
    settings: dict[str, Any] = {
        "subject": what,
        "data": arguments.data,
        "tasks": list(subject.tasks),
        "height_width": [height, width],
        "text_column": data.settings.text_column,
    }
    if subject.checkpoint is not None:
        settings["checkpoint"] = folder_fingerprint(subject.checkpoint)
    if isinstance(subject, PicturesSubject) and not subject.paired:
        how.append("They were drawn of other prompts than the data's captions: compared as sets.")
    for name in ("matcher", "detector", "classifier"):
        if not isinstance(getattr(judges, name), Missing):
            how.append(f"{name.capitalize()}: {getattr(arguments, name)}.")
            settings[name] = getattr(arguments, name)
    if isinstance(subject, CheckpointSubject) and "text_to_image" in subject.tasks:
        pipe, rerank = subject.pipe, arguments.rerank
        source = "ids" if pipe.decoder == "codebook" else "hidden states"
        best = f", the best of {rerank} by its own captions" * (rerank > 1)
        how.append(f"Drawn with {sampling_in_words(pipe.sampling)}, painted from {source}{best}.")
        settings |= {"sampling": asdict(pipe.sampling), "decoder": pipe.decoder, "rerank": rerank}
    if isinstance(subject, GANSubject) and subject.pipe.attributes is not None:
        column = subject.attribute_column
        settings["attributes"] = "from the caption" if column is None else "given"
        if column is None:
            how.append("Attributes: from the caption.")
        else:
            settings["attribute_column"] = column
            how.append(f"Attributes: given, by the data's column {column!r}.")
    versions = {name: version(name) for name in ("torch", "torchmetrics", "transformers")}
    versions["python"] = platform.python_version()
    settings["date"] = date.today().isoformat()
    return Heading(f"{what} on {arguments.data}", how, {**settings, "versions": versions})


def _choose_sampling(
    arguments: argparse.Namespace, subject: Subject, data: Data, processes: Processes
) -> None:
    """On validation scenes."""
    if not (data.scenes and isinstance(subject, CheckpointSubject)):
        raise UserError("--choose-sampling needs a checkpoint and --data scenes, which are judged.")
    pipe = subject.pipe
    pipe.require("text_to_image")
    pipe.sampling = choose_sampling(
        pipe, arguments.rows, data.language, processes.share_out, quiet=not processes.is_main
    )


def _recommend(checkpoint: str, subject: Subject) -> None:
    """Raises:
    UserError: the checkpoint cannot be written to.
    """
    assert isinstance(subject, CheckpointSubject)
    try:
        recommend_sampling(open_checkpoint(checkpoint).root, subject.pipe.sampling)
    except OSError as error:
        raise UserError(
            f"the sampling settings cannot be kept in {checkpoint} ({in_short(error)}); name a "
            "copy that can be written to, or leave --choose-sampling out."
        ) from error


def _draw_samples(subject: CheckpointSubject, data: Data, folder: Path) -> None:
    """Prompts, drawn pictures, and captions read back, coloured by the exact reader."""
    if {"text_to_image", "image_to_text"} <= set(subject.tasks):
        draw_grid(folder / "samples.png", show_scenes(subject.pipe, data.language))
