"""`evaluate_checkpoint.py`, once its arguments are read."""

import argparse
import platform
from dataclasses import asdict, replace
from pathlib import Path

import torch

from pipelines.command_line import UserError, device_and_dtype, open_output
from pipelines.evaluation.gallery import SHOWN, Gallery
from pipelines.evaluation.measures import Judges
from pipelines.evaluation.measuring import measure
from pipelines.evaluation.opening import Data, open_data, open_judges, open_subject
from pipelines.evaluation.rating import Beside
from pipelines.evaluation.report import draw_grid, sampling_in_words
from pipelines.evaluation.report_files import Heading, write_files
from pipelines.evaluation.scene_groups import scene_groups
from pipelines.evaluation.scene_report import check_readable, choose_sampling, show_scenes
from pipelines.evaluation.subjects import CheckpointSubject, Subject
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
        except UserError:
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
    own = isinstance(subject, CheckpointSubject)
    if data.scenes and isinstance(subject, CheckpointSubject):
        pipe, count = subject.pipe, arguments.rows
        more = processes.on_main(lambda: scene_groups(pipe, count, data.language))
        measured = replace(measured, figures=measured.figures | more)
    if processes.is_main:
        print(write_files(folder, measured, heading(arguments, subject)))
        beside.write_sheet(folder, measured.gallery.first[: arguments.rate], with_real=own)
        if data.scenes and isinstance(subject, CheckpointSubject):
            _draw_samples(subject, data, folder)
    processes.wait()


def heading(arguments: argparse.Namespace, subject: Subject) -> Heading:
    """Title and settings of the report."""
    what = arguments.checkpoint or arguments.images or arguments.captions
    how: list[str] = []
    settings = {"subject": what, "data": arguments.data, "tasks": list(subject.tasks)}
    if isinstance(subject, CheckpointSubject) and "text_to_image" in subject.tasks:
        pipe, rerank = subject.pipe, arguments.rerank
        source = "ids" if pipe.decoder == "codebook" else "hidden states"
        best = f", the best of {rerank} by its own captions" * (rerank > 1)
        how.append(f"Drawn with {sampling_in_words(pipe.sampling)}, painted from {source}{best}.")
        settings |= {"sampling": asdict(pipe.sampling), "decoder": pipe.decoder, "rerank": rerank}
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return Heading(f"{what} on {arguments.data}", how, {**settings, "versions": versions})


def _choose_sampling(
    arguments: argparse.Namespace, subject: Subject, data: Data, processes: Processes
) -> None:
    """On validation scenes; the checkpoint then recommends them."""
    if not (data.scenes and isinstance(subject, CheckpointSubject)):
        raise UserError("--choose-sampling needs a checkpoint and --data scenes, which are judged.")
    pipe = subject.pipe
    pipe.require("text_to_image")
    pipe.sampling = processes.on_main(lambda: choose_sampling(pipe, arguments.rows, data.language))
    if processes.is_main:
        recommend_sampling(open_checkpoint(arguments.checkpoint).root, pipe.sampling)


def _draw_samples(subject: CheckpointSubject, data: Data, folder: Path) -> None:
    """Prompts, drawn pictures, and captions read back, coloured by the exact reader."""
    if {"text_to_image", "image_to_text"} <= set(subject.tasks):
        draw_grid(folder / "samples.png", show_scenes(subject.pipe, data.language))
