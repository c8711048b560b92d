"""Models in folders or on the hub that are not whole checkpoints of ours: opened, or refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.utils import logging

from pipelines.command_line import UserError, in_short


def load_pretrained(
    model_class: Any, name_or_path: str | Path, give: str, may_lack: str | None = None
) -> Any:
    """The model with every weight present, from safetensors alone.

    Args:
        give: what to name instead.
        may_lack: how names of weights begin that are not needed.

    Raises:
        UserError: there is none, or it is damaged.
    """
    read = partial(model_class.from_pretrained, use_safetensors=True, output_loading_info=True)
    with without_bars() if Path(name_or_path).is_dir() else nullcontext():
        model, report = or_user_error(name_or_path, read, give)
    missing = [
        key for key in report["missing_keys"] if may_lack is None or not key.startswith(may_lack)
    ]
    if wrong := [*missing, *report["mismatched_keys"]]:
        raise UserError(
            f"the weights in {name_or_path} do not fit its config.json (for example {wrong[0]}); "
            "copy the whole folder again."
        )
    return model


@contextmanager
def without_bars() -> Iterator[None]:
    """Weights that are here are read and written at once: the library's progress bars would only
    stand between what a command has to say."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def model_type(name_or_path: str | Path, give: str) -> str | None:
    """What its `config.json` says it is.

    Raises:
        UserError: it has none.
    """
    settings, _ = or_user_error(name_or_path, PreTrainedConfig.get_config_dict, give)
    return settings.get("model_type")


def or_user_error(name_or_path: str | Path, read: Callable[..., Any], give: str) -> Any:
    """Whatever the network or a damaged file makes the library raise is the user's to mend."""
    try:
        return read(name_or_path)
    except Exception as error:
        reason = in_short(error)
        raise UserError(f"{name_or_path} cannot be loaded ({reason}); {give}.") from error
