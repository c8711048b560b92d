"""What a run was trained on, in words that may leave this machine: names, and never paths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pipelines.command_line import UserError
from pipelines.configuration.conversion import build
from pipelines.data.locations import is_pattern, local_path
from pipelines.data.settings import PICTURES_ALONE, DataSettings, Wanted
from pipelines.hub.pulling import Repository, was_pulled

LANGUAGES = {"text": "en", "text_zh": "zh", "question": "en", "question_zh": "zh"}
"""Of the columns of `scenes`."""


@dataclass(frozen=True)
class DataDescription:
    """wanted: the texts that were trained on.
    lines: one for each source.
    datasets: those of the hub.
    languages: as far as they are known.
    """

    settings: DataSettings
    wanted: Wanted
    lines: list[str]
    datasets: list[str]
    languages: list[str]

    @property
    def of_texts(self) -> bool:
        return self.wanted != PICTURES_ALONE

    @property
    def of_scenes(self) -> bool:
        return all(one.source == "scenes" for one in self.settings.sources())


def describe_data(configuration: Mapping[str, Any], tasks: Sequence[str]) -> DataDescription | None:
    """The data of a run that was trained for some tasks; None where it does not say."""
    try:
        settings = build(DataSettings, configuration["data"])
    except (KeyError, TypeError, ValueError):
        return None
    wanted = Wanted(
        captions=bool({"text_to_image", "image_to_text", "image_text_matching"} & {*tasks}),
        questions="question_answering" in tasks,
    )
    sources = settings.sources()
    lines = [_line(one, wanted) for one in sources]
    if len(sources) > 1:
        total = sum(settings.weights)
        lines = [
            f"{weight / total:.0%} of the samples: {line}"
            for weight, line in zip(settings.weights, lines, strict=True)
        ]
    datasets = [name for one in sources if (name := hub_dataset(one.source)) is not None]
    columns = [
        column
        for one in sources
        if one.source == "scenes"
        for column in one.text_columns(wanted).names
    ]
    languages = [LANGUAGES[column] for column in columns if column in LANGUAGES]
    return DataDescription(settings, wanted, lines, datasets, list(dict.fromkeys(languages)))


def _line(source: DataSettings, wanted: Wanted) -> str:
    columns = source.text_columns(wanted).names
    texts = f", texts of {', '.join(f'`{name}`' for name in columns)}" if columns else ""
    if source.source == "scenes":
        objects = f"{source.min_objects} to {source.max_objects}"
        if source.min_objects == source.max_objects:
            objects = str(source.max_objects)
        return f"`scenes`: coloured shapes drawn by drawscribe itself, {objects} a picture{texts}"
    name = hub_dataset(source.source)
    where = "a data set of the hub" if name is not None else "a data set of its trainer's"
    return f"`{name or public_name(source.source)}`, {where} (split `{source.split}`){texts}"


def hub_dataset(source: str) -> str | None:
    """`owner/name` where the source is surely a data set of the hub: loading one leaves its card in
    the hub's local cache, and a private folder's name never does."""
    if source.startswith("hf://datasets/"):
        return "/".join(source.removeprefix("hf://datasets/").split("@")[0].split("/")[:2])
    if source == "scenes" or is_pattern(source):
        return None
    try:
        if local_path(source, "data source") is not None:
            return None
    except UserError:  # a folder that is here no more
        return None
    return source if was_pulled(Repository(source), "README.md", "dataset") else None


def public_name(path: str) -> str:
    """The last part of a path or address: what is before it is nobody's business."""
    return PurePath(path.split("?")[0].replace("\\", "/")).name or "unnamed"
