"""Judging networks in every process, each downloaded once."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from PIL import Image
from transformers import AutoImageProcessor

from pipelines.command_line import UserError, in_short
from pipelines.data.locations import local_path
from pipelines.data.transforms import Picture, to_rgb
from pipelines.evaluation.figures import Missing
from pipelines.training.distributed import Processes

T = TypeVar("T")


def open_in_all(processes: Processes, open_judge: Callable[[], T | Missing]) -> T | Missing:
    """What `open_judge` gives: a network in every process, or in every process the same `Missing`.

    The first process goes ahead, and the others only where it was successful: they then find on the
    disk what it has downloaded, and none asks in vain for what the first could not have.

    Raises:
        UserError: `open_judge` does, in any process.
    """
    mine: list[T | Missing] = []

    def first() -> Missing | None:
        mine.append(open_judge())
        return mine[0] if isinstance(mine[0], Missing) else None

    if missing := processes.on_main(first):
        return missing
    found = processes.together(lambda: mine[0] if mine else open_judge())
    # Processes on another machine can lack what the first has.
    for other in processes.gather(found if isinstance(found, Missing) else None):
        if other is not None:
            return other
    return found


def open_network(model_class: Any, name: str, what: str, option: str) -> tuple[Any, Any] | Missing:
    """A model of `transformers` in evaluation mode on the CPU, and its image processor.

    Args:
        model_class: `AutoModelFor…`.
        name: a folder or a hub name.
        what: it is, in words: "detector".
        option: that names it: "--detector".

    Raises:
        UserError: a folder that is here holds no such model, or a damaged one.
    """
    folder = local_path(name, what)
    try:
        processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        model, report = model_class.from_pretrained(
            folder or name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        if wrong := [*report["missing_keys"], *report["mismatched_keys"]]:
            raise ValueError(f"its weights do not fit its config.json, for example {wrong[0]}")
    except Exception as error:  # whatever the network or a damaged file makes the library raise
        sentence = (
            f"the {what} {name} cannot be loaded ({in_short(error)}); give {option} the folder or "
            "hub name of such a model of transformers, with model.safetensors."
        )
        if folder is None:
            return Missing(sentence)
        raise UserError(sentence) from error
    return model.eval(), processor


def as_images(pictures: Sequence[Picture]) -> list[Image.Image]:
    """Upright RGB images, as processors take them."""
    return [
        to_rgb(one if isinstance(one, Image.Image) else Image.fromarray(one)) for one in pictures
    ]
