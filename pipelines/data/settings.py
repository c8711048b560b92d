"""What a run reads: the `data` section of every YAML, and `DATA` on the command line."""

from dataclasses import dataclass

from pipelines.command_line import UserError


@dataclass
class DataSettings:
    """A source of pictures, with captions where there are any.

    source: `scenes`, a hub name (`owner/name`), or a path: a parquet or arrow file or folder, or a
        folder of pictures with `metadata.jsonl` or `.txt` files beside them.
    text_column: one column, or several of which one is drawn per step. A column holds one caption
        or a list. `scenes` has `text` (English) and `text_zh` (Chinese).
    size: height and width of the pictures, or one number for both.
    min_objects, max_objects: of `scenes`.
    object_weights: of `scenes`, how often they have `min_objects`, …, `max_objects` objects, in
        proportion; equally often by default.
    validation_split: the split to validate on. Without one, `validation_rows` rows of `split` (at
        most a tenth of it) are kept from training; `scenes` has a validation split of its own.
    workers: processes that prepare batches ahead; 0 prepares them in the training process.
    """

    source: str = "scenes"
    split: str = "train"
    image_column: str = "image"
    text_column: str | list[str] = "text"
    size: int | tuple[int, int] = 64
    min_objects: int = 1
    max_objects: int = 2
    object_weights: list[float] | None = None
    validation_split: str | None = None
    validation_rows: int = 256
    workers: int = 0

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("source is empty; give `scenes`, a hub name or a path.")
        if not self.text_columns or not all(self.text_columns):
            raise ValueError("text_column is empty; name one column, or several.")
        if min(self.height_width) < 1:
            raise ValueError(f"size is {self.size}; it must be at least 1 pixel.")
        if not 1 <= self.min_objects <= self.max_objects <= 4:
            raise ValueError(
                f"min_objects is {self.min_objects} and max_objects {self.max_objects}; "
                "they must satisfy 1 <= min_objects <= max_objects <= 4."
            )
        if self.object_weights is not None:
            numbers = 1 + self.max_objects - self.min_objects
            if len(self.object_weights) != numbers or min(self.object_weights) <= 0:
                raise ValueError(
                    f"object_weights is {self.object_weights}; give {numbers} numbers above 0, one "
                    f"for each from {self.min_objects} to {self.max_objects} objects."
                )
        if self.validation_rows < 1:
            raise ValueError(f"validation_rows is {self.validation_rows}; it must be at least 1.")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be 0 or more.")

    @property
    def height_width(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def text_columns(self) -> list[str]:
        return [self.text_column] if isinstance(self.text_column, str) else self.text_column


def parse_data(data: str) -> tuple[str, str | None]:
    """`DATA` of the command line, `source` or `source:split` -> (source, split or None).

    Raises:
        UserError: it is empty.
    """
    if not data:
        raise UserError("the data is empty; give scenes, a hub name or a path.")
    source, colon, split = data.rpartition(":")
    # What follows the colon of a Windows drive is a path, not a split.
    if not colon or not split.replace("_", "").replace("-", "").isalnum() or len(source) < 2:
        return data, None
    return source, split
