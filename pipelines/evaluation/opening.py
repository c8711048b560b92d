"""The command line -> what is measured, on which rows, by which judges."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from PIL import Image

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError, sampling_given
from pipelines.configuration.assembly.parts import or_user_error
from pipelines.data.opening import open_source
from pipelines.data.settings import DataSettings, Wanted, as_list, parse_data
from pipelines.data.sources import SCENE_LANGUAGES, SCENE_QUESTIONS, Source
from pipelines.data.tables import TableSource
from pipelines.data.transforms import read_image, to_array
from pipelines.evaluation.classification import open_classifier
from pipelines.evaluation.figures import Missing
from pipelines.evaluation.gan_subject import GANSubject
from pipelines.evaluation.inception import load_inception
from pipelines.evaluation.matching import open_matcher
from pipelines.evaluation.measures import Judges
from pipelines.evaluation.objects import open_detector
from pipelines.evaluation.opening_judges import open_in_all
from pipelines.evaluation.other_systems import CaptionsSubject, PicturesSubject
from pipelines.evaluation.rows import Rows, by_lot
from pipelines.evaluation.similarity import load_lpips
from pipelines.evaluation.subjects import CheckpointSubject, Subject, TokenizerSubject
from pipelines.evaluation.transformer_options import options_of_transformers
from pipelines.gan_pipeline import GANPipeline
from pipelines.model_loading import load_tokenizer
from pipelines.training.checkpoint import CheckpointPaths, open_checkpoint
from pipelines.training.distributed import Processes
from vq import VQGAN

T = TypeVar("T")

NO_MATCHER = Missing(
    "CLIP score and R-precision need a CLIP; name its folder or hub name with --matcher, such as "
    "openai/clip-vit-base-patch32 (or a checkpoint of train_dual_encoder.py, whose figures are "
    "called otherwise)."
)
NO_DETECTOR = Missing(
    "SOA needs an object detector of transformers; name its folder or hub name with --detector, "
    "such as facebook/detr-resnet-50."
)
NO_CLASSIFIER = Missing(
    "top-1 accuracy and mAP need an image classifier of transformers and the rows' classes; name "
    "them with --classifier and --label-column."
)
DEFAULT_SIZE = (256, 256)
"""Of what has no size of its own: a tokenizer takes any, and captions have none."""


@dataclass(frozen=True)
class Data:
    """The data that a subject is measured on."""

    settings: DataSettings
    rows: Rows

    @property
    def scenes(self) -> bool:
        return self.settings.source == "scenes"

    @property
    def language(self) -> str:
        """Of scenes."""
        return SCENE_LANGUAGES[as_list(self.settings.text_column)[0]]


def open_subject(arguments: argparse.Namespace, processes: Processes) -> Subject:
    """What --checkpoint, --images or --captions names.

    Raises:
        UserError: it cannot be opened, or is of a kind that is not measured here.
    """
    if arguments.images is not None:
        return _pictures(Path(arguments.images), _size(arguments))
    if arguments.captions is not None:
        return CaptionsSubject(Path(arguments.captions))
    paths = open_checkpoint(arguments.checkpoint)
    subject = _of_checkpoint(paths, arguments, processes)
    subject.checkpoint = paths.root
    return subject


def _of_checkpoint(
    paths: CheckpointPaths, arguments: argparse.Namespace, processes: Processes
) -> Subject:
    """Raises UserError: as `open_subject`."""
    if paths.kind in ("tokenizer", "gan"):
        _refuse_options_of_transformers(arguments)
    if paths.kind == "gan":
        return _gan(arguments, processes)
    if paths.kind == "tokenizer":
        return _tokenizer(load_tokenizer(paths.tokenizer).to(processes.device), _size(arguments))
    pipe = BidirectionalPipeline.from_pretrained(
        arguments.checkpoint, processes.device_name, arguments.dtype
    )
    _refuse_another_size(arguments, pipe.picture_size)
    subject = CheckpointSubject(pipe, arguments.tasks, rerank=arguments.rerank)
    if "text_to_image" in subject.tasks:
        pipe.sampling = pipe.sampling_settings(**sampling_given(arguments))
        settings = pipe.drawing_settings(decoder=arguments.decoder, rerank=arguments.rerank)
        pipe.decoder = settings.decoder
    return subject


def _refuse_options_of_transformers(arguments: argparse.Namespace) -> None:
    """Raises:
    UserError: there are any.
    """
    if given := options_of_transformers(arguments):
        raise UserError(
            f"--{given[0].replace('_', '-')} is about a transformer's checkpoint; leave it out."
        )


def _gan(arguments: argparse.Namespace, processes: Processes) -> GANSubject:
    """Raises:
    UserError: it draws pictures of another size than the one that is asked for, or has no use for
        attributes.
    """
    pipe = GANPipeline.from_pretrained(arguments.checkpoint, processes.device_name, arguments.dtype)
    _refuse_another_size(arguments, pipe.picture_size)
    return GANSubject(pipe, arguments.attribute_column)


def _refuse_another_size(arguments: argparse.Namespace, own: tuple[int, int]) -> None:
    if (size := _size(arguments)) not in (None, own):
        raise UserError(
            f"--size is {size}, but the checkpoint takes pictures of {own}; leave it out."
        )


def _tokenizer(tokenizer: VQGAN, size: tuple[int, int] | None) -> TokenizerSubject:
    """Raises:
    UserError: it does not take pictures of that size.
    """
    factor = tokenizer.downsampling_factor
    if any(side % factor for side in size or DEFAULT_SIZE):
        raise UserError(
            f"--size is {size or DEFAULT_SIZE}, and the tokenizer takes sides that are multiples "
            f"of {factor}; give such a --size."
        )
    return TokenizerSubject(tokenizer)


def _pictures(folder: Path, size: tuple[int, int] | None) -> PicturesSubject:
    """Brought to one size: the one asked for, else that of the first."""

    def open_picture(path: Path) -> Image.Image:
        assert subject.picture_size is not None
        return Image.fromarray(to_array(read_image(path), subject.picture_size))

    subject = PicturesSubject(folder, open_picture)
    first = read_image(subject.pictures[0][0])
    subject.picture_size = size or (first.height, first.width)
    return subject


def open_data(arguments: argparse.Namespace, subject: Subject) -> Data:
    """The rows of --data.

    Raises:
        UserError: they cannot be opened, or do not suit the subject.
    """
    if arguments.attribute_column is not None and not isinstance(subject, GANSubject):
        raise UserError(
            "--attribute-column gives attributes to a GAN's memory of them; leave it out."
        )
    source, split = parse_data(arguments.data)
    question, answer = arguments.question_column, arguments.answer_column
    if source == "scenes":
        question, answer = _scene_questions(arguments.text_column, split)
    size = subject.picture_size or _size(arguments) or DEFAULT_SIZE
    settings = or_user_error(
        lambda: DataSettings(
            source=source,
            split=split or "test",
            image_column=arguments.image_column,
            text_column=arguments.text_column,
            question_column=question,
            answer_column=answer,
            attribute_column=arguments.attribute_column,
            image_folder=arguments.image_folder,
            size=size,
        )
    )
    tasks = set(subject.tasks)
    captions = bool(tasks & {"text_to_image", "image_to_text"})
    questions = "question_answering" in tasks and bool(as_list(settings.question_column))
    labels = None
    if arguments.classifier is not None:
        labels = open_source(replace(settings, text_column=[arguments.label_column]))
    opened = open_source(settings, wanted=Wanted(captions, questions, settings.gives_attributes))
    if isinstance(subject, PicturesSubject):
        chosen = subject.suit(opened, arguments.rows)
        if labels is not None and not subject.paired:
            raise UserError(
                f"{arguments.images} has pictures of other prompts than the data's captions, which "
                "have no class; leave --classifier out."
            )
    else:
        chosen = by_lot(opened.length, arguments.rows)
    if isinstance(subject, GANSubject):
        subject.suit(opened, chosen)
    if isinstance(subject, CaptionsSubject):
        subject.suit(_files(opened, arguments.rows), chosen)
    return Data(settings, Rows(opened, size, chosen, captions, labels))


def _files(source: Source, rows: int) -> list[str]:
    """Of all pictures; empty where they have none."""
    if isinstance(source, TableSource):
        return source.files()
    return [""] * (rows if source.length is None else source.length)


def _size(arguments: argparse.Namespace) -> tuple[int, int] | None:
    """(height, width) of --size."""
    size = arguments.size
    return (size[0], size[-1]) if size else None


def _scene_questions(text_columns: list[str], split: str | None) -> tuple[str, str]:
    """The columns of questions and answers in the language of the captions.

    Raises:
        UserError: there is no such language, or the split is not the one that is measured.
    """
    if len(text_columns) != 1 or text_columns[0] not in SCENE_LANGUAGES:
        raise UserError(f"--text-column is {' '.join(text_columns)}; give text or text_zh.")
    if split not in (None, "test"):
        raise UserError(f"--data is scenes:{split}; scenes are measured on their test split.")
    language = SCENE_LANGUAGES[text_columns[0]]
    return next(pair for pair, of in SCENE_QUESTIONS.items() if of == language)


def open_judges(arguments: argparse.Namespace, subject: Subject, processes: Processes) -> Judges:
    """The networks that the subject's tasks need, on the processes' devices.

    Raises:
        UserError: a file or folder that was named holds something else.
    """
    draws = bool({"text_to_image", "image_generation"} & set(subject.tasks))
    reconstructs = "reconstruction" in subject.tasks

    def opened(
        needed: bool,
        name: str | None,
        absent: Missing | None,
        open_judge: Callable[[], T | Missing],
    ) -> T | Missing:
        if not needed:
            return Missing("it is not needed.")
        if name is None and absent is not None:
            return absent
        return open_in_all(processes, open_judge)

    weights, of_lpips = arguments.inception_weights, arguments.lpips_weights
    inception = opened(draws or reconstructs, weights, None, partial(load_inception, weights))
    load = partial(load_lpips, weights=of_lpips or "pretrained")
    lpips = opened(reconstructs, of_lpips, None, load)
    for network in (inception, lpips):
        if not isinstance(network, Missing):
            network.to(processes.device)
    device, name = processes.device_name, arguments.matcher
    matcher = opened(draws, name, NO_MATCHER, lambda: open_matcher(name, device))
    detector = opened(
        draws, arguments.detector, NO_DETECTOR, lambda: open_detector(arguments.detector)
    )
    classifier = opened(
        draws, arguments.classifier, NO_CLASSIFIER, lambda: open_classifier(arguments.classifier)
    )
    for judge in (detector, classifier):
        if not isinstance(judge, Missing):
            judge.model.to(processes.device)
    return Judges(inception, lpips, matcher, detector, classifier)
