"""What a run reads: the `data` section of every YAML, and `DATA` on the command line."""

from dataclasses import asdict, dataclass, replace

from pipelines.command_line import UserError
from pipelines.data.transforms import Cropping


@dataclass(frozen=True)
class Wanted:
    """Which texts are read of a row beside its picture."""

    captions: bool = True
    questions: bool = False
    attributes: bool = False


CAPTIONS, PICTURES_ALONE = Wanted(), Wanted(captions=False)


@dataclass(frozen=True)
class TextColumns:
    """The columns of texts: of captions, of questions each with that of its answers, and of a
    picture's attributes."""

    captions: tuple[str, ...] = ()
    questions: tuple[tuple[str, str], ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once."""
        asked = (name for pair in self.questions for name in pair)
        return tuple(dict.fromkeys((*self.captions, *asked, *self.attributes)))


@dataclass
class MixtureEntry:
    """One of several sources; what is null is as `data` says.

    weight: how often a sample comes from it, in proportion to the other sources' weights. Each
        source has epochs of its own.
    """

    source: str
    weight: float = 1.0
    split: str | None = None
    image_column: str | None = None
    text_column: str | list[str] | None = None
    question_column: str | list[str] | None = None
    answer_column: str | list[str] | None = None
    attribute_column: str | None = None
    image_folder: str | None = None
    validation_split: str | None = None

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError(f"weight is {self.weight}; it must be above 0.")


@dataclass
class DataSettings:
    """A source of pictures, with captions where there are any.

    source: `scenes`, a hub name (`owner/name`), or a path: a parquet or arrow file or folder, a
        folder of pictures with `metadata.jsonl` or `.txt` files beside them, a JSON of captions as
        COCO has it, a WebDataset tar or a folder of them (as img2dataset writes it), or a folder
        that `encode_images.py` wrote.
    text_column: one column, or several of which one is drawn per step. A column holds one caption
        or a list. `scenes` has `text` (English) and `text_zh` (Chinese); in a tar `text` is the
        `.txt` file, and any other name a field of the `.json` file. `[]` stands for none, as in an
        entry of a mixture that has questions only.
    question_column, answer_column: likewise, where questions are trained on: a column holds one
        question, with one right answer or a list of them, or a list of questions with as many
        answers; one is drawn per step. `scenes` has them in English, and in Chinese as
        `question_zh` and `answer_zh`.
    attribute_column: of the attributes of each picture, for a GAN's memory of them: a list of
        phrases, or a text with commas or semicolons between them; null looks for attributes in the
        captions. `scenes` has `attributes` and `attributes_zh`: size, colour and shape of each
        object.
    image_folder: where the pictures of a JSON of captions are; null looks beside it and, for
        `annotations/captions_NAME.json`, in the folder `NAME` beside `annotations`.
    mixture: several sources in the place of `source`, mixed by weight.
    streaming: read files and hub data row by row as they come, instead of preparing a table first:
        for more pictures than the disk holds. Its shards (files, or row groups of parquet) are
        shuffled, and the rows within each stretch of
    shuffle_window: rows, which are kept in memory undecoded.
    size: height and width of the pictures, or one number for both.
    random_crop: null takes the center, as the paper does. A number from 1 on takes a part at
        random, of a picture whose short side is made that many times as long as it need be at most
        (1 moves along the longer side only).
    random_flip: mirror every other picture. Wrong for captions that tell left from right.
    min_objects, max_objects: of `scenes`.
    object_weights: of `scenes`, how often they have `min_objects`, …, `max_objects` objects, in
        proportion; equally often by default.
    validation_split: the split to validate on (of a stream its first `validation_rows` rows).
        Without one, `validation_rows` rows of `split` (at most a tenth of it; of a stream the first
        ones) are kept from training; `scenes` has a validation split of its own.
    workers: processes that prepare batches ahead; 0 prepares them in the training process.
    """

    source: str = "scenes"
    split: str = "train"
    image_column: str = "image"
    text_column: str | list[str] = "text"
    question_column: str | list[str] = "question"
    answer_column: str | list[str] = "answer"
    attribute_column: str | None = None
    image_folder: str | None = None
    mixture: list[MixtureEntry] | None = None
    streaming: bool = False
    shuffle_window: int = 1000
    size: int | tuple[int, int] = 64
    random_crop: float | None = None
    random_flip: bool = False
    min_objects: int = 1
    max_objects: int = 2
    object_weights: list[float] | None = None
    validation_split: str | None = None
    validation_rows: int = 256
    workers: int = 0

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("source is empty; give `scenes`, a hub name or a path.")
        for name in ("text_column", "question_column", "answer_column"):
            if not all(as_list(getattr(self, name))):
                raise ValueError(f"{name} is empty; name one column or several, or [] for none.")
        if self.attribute_column == "":
            raise ValueError("attribute_column is empty; name a column, or null for none.")
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
        if len(as_list(self.question_column)) != len(as_list(self.answer_column)):
            raise ValueError(
                f"question_column is {self.question_column} and answer_column "
                f"{self.answer_column}; give each column of questions one of answers."
            )
        if self.validation_rows < 1:
            raise ValueError(f"validation_rows is {self.validation_rows}; it must be at least 1.")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be 0 or more.")
        if self.shuffle_window < 1:
            raise ValueError(f"shuffle_window is {self.shuffle_window}; it must be at least 1.")
        if self.random_crop is not None and not 1 <= self.random_crop <= 4:
            raise ValueError(
                f"random_crop is {self.random_crop}; it must be from 1 to 4, or null for the "
                "center."
            )
        if self.mixture is not None and len(self.mixture) < 2:
            raise ValueError("mixture has fewer than two sources; set source instead.")

    @property
    def height_width(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def cropping(self) -> Cropping:
        return Cropping(self.random_crop, self.random_flip)

    def text_columns(self, wanted: Wanted) -> TextColumns:
        """Those that hold what is wanted, as far as this source has it."""
        questions = zip(as_list(self.question_column), as_list(self.answer_column), strict=True)
        return TextColumns(
            tuple(as_list(self.text_column)) if wanted.captions else (),
            tuple(questions) if wanted.questions else (),
            (self.attribute_column,) if wanted.attributes and self.attribute_column else (),
        )

    @property
    def gives_attributes(self) -> bool:
        """Whether a column has them."""
        return any(one.attribute_column for one in self.sources())

    def sources(self) -> list["DataSettings"]:
        """One for each source."""
        if self.mixture is None:
            return [self]
        return [
            replace(
                self,
                mixture=None,
                **{k: v for k, v in asdict(one).items() if k != "weight" and v is not None},
            )
            for one in self.mixture
        ]

    @property
    def weights(self) -> list[float]:
        """Those of `sources`."""
        return [one.weight for one in self.mixture or ()] or [1.0]


def as_list(columns: str | list[str]) -> list[str]:
    """One column, or several."""
    return [columns] if isinstance(columns, str) else columns


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
