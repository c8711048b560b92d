"""WebDataset: tars whose files `KEY.jpg`, `KEY.txt`, `KEY.json` make up a row."""

from collections.abc import Callable
from typing import Any, ClassVar

import datasets
from datasets.packaged_modules.webdataset.webdataset import WebDataset

from pipelines.data.columns import TarColumns


class Tars(WebDataset):
    """The builder of `datasets`, which leaves the files as they are: one that cannot be decoded
    then costs its row, and not all that come after it (and no `.pth` file is ever opened)."""

    DECODERS: ClassVar[dict[str, Callable[[Any], Any]]] = {}


def tar_features(columns: TarColumns) -> datasets.Features:
    """What is read of each row; what it lacks is None."""
    pictures = {name: datasets.Image(decode=False) for name in columns.pictures}
    return datasets.Features(
        {**pictures, **{name: datasets.Value("binary") for name in columns.written}}
    )
