"""The sampling settings that a checkpoint recommends to all who draw from it."""

import json
from dataclasses import asdict
from pathlib import Path

from pipelines.command_line import UserError
from pipelines.training.checkpoint import INDEX
from pipelines.training.storage import replace_file
from unified_transformer import SamplingSettings


def recommended_sampling(checkpoint: Path) -> SamplingSettings:
    """The settings in a checkpoint's index, plain sampling where it has none.

    Raises:
        UserError: they are not settings that this version knows.
    """
    try:
        return SamplingSettings(**json.loads((checkpoint / INDEX).read_text()).get("sampling", {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"the sampling settings in {checkpoint / INDEX}: {error}.") from error


def recommend_sampling(checkpoint: Path, settings: SamplingSettings) -> None:
    """Writes settings into a checkpoint's index."""
    index = json.loads((checkpoint / INDEX).read_text())
    index["sampling"] = asdict(settings)
    text = json.dumps(index, indent=2) + "\n"
    replace_file(checkpoint / INDEX, lambda file: file.write_text(text))
