"""What arms draw of the same prompts with the same noise, as a picture for each data set."""

from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
from PIL import Image
from study.cells import cell_name
from study.figures import drawing_of
from study.runs import Study, trained
from study.strips import write_strip

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.evaluation.scene_accuracy import scene_set
from pipelines.training.storage import replace_file
from reproduction_study.arms import ARMS, Arm, Dataset
from reproduction_study.curves import save_figure
from reproduction_study.figures import decoders, says
from reproduction_study.results import ReproductionResults
from reproduction_study.runs import pairs_of, prompts_among

PROMPTS = 10
SHOWN = (
    "base",
    "end_to_end",
    "end_to_end_predicting",
    "end_to_end_own_ids",
    "dvae",
    "dvae_end_to_end",
)
"""Arms, of which the runs with seed 0 are shown."""
DECODERS = {"codebook": "by ids", "hidden": "by hidden states"}


def draw_arms(results: ReproductionResults, folder: Path) -> None:
    """`reproduction_scenes.png` and so on: a row for each arm and decoder, framed in green where
    the exact reader finds what the prompt says, in red where it does not."""
    for name, data in results.data.items():
        rows = {
            f"{arm.name}, {of_decoder}": strip
            for arm in ARMS[name]
            if arm.name in SHOWN
            for decoder, of_decoder in DECODERS.items()
            if (strip := strip_of(results.study, data, arm, decoder)) is not None
        }
        if rows:
            folder.mkdir(parents=True, exist_ok=True)
            draw_rows(folder / f"reproduction_{name}.png", rows, prompts_file(results.study, data))


def strip_of(study: Study, data: Dataset, arm: Arm, decoder: str) -> Image.Image | None:
    """The drawings of an arm side by side, drawn now if need be; None where it has no such decoder
    or its run is not at hand."""
    if decoder == "hidden" and not arm.end_to_end:
        return None
    file = drawings(study) / f"{data.name}_{arm.name}_{decoder}.png"
    run = study.run_folder(cell_name(data.name, arm.name, 0))
    if not file.exists() and study.cells.finished(run.name) and trained(run):
        draw_strips(study, data, arm, run)
    return Image.open(file) if file.exists() else None


def draw_strips(study: Study, data: Dataset, arm: Arm, run: Path) -> None:
    """By each decoder of a run, and the prompts beside them."""
    pipe = BidirectionalPipeline.from_pretrained(run)
    if data.name == "scenes":
        prompts = scene_set("test", PROMPTS, 1, pipe.picture_size).captions
    else:
        captions = prompts_among(pairs_of(data, "test"), pipe).captions
        prompts = captions[:: max(1, len(captions) // PROMPTS)][:PROMPTS]
    drawings(study).mkdir(exist_ok=True)
    text = "\n".join(prompts)
    replace_file(prompts_file(study, data), lambda path: path.write_text(text, encoding="utf-8"))
    for decoder in decoders(pipe):
        images = drawing_of(pipe, decoder=decoder)(prompts, range(len(prompts)))
        write_strip(drawings(study) / f"{data.name}_{arm.name}_{decoder}.png", images)


def drawings(study: Study) -> Path:
    """Where strips are kept."""
    return study.folder / "drawings"


def prompts_file(study: Study, data: Dataset) -> Path:
    """Where the prompts of a data set's strips are kept, one a line."""
    return drawings(study) / f"{data.name}.txt"


def draw_rows(path: Path, rows: dict[str, Image.Image], prompts_file: Path) -> None:
    """Strips below each other, their names on the left, prompts above."""
    prompts = prompts_file.read_text(encoding="utf-8").splitlines()
    size = (1.3 * len(prompts) + 1.5, 1.35 * len(rows))
    figure, axes = plt.subplots(len(rows), len(prompts), figsize=size, squeeze=False)
    for places, (name, strip) in zip(axes, rows.items(), strict=True):
        places[0].set_ylabel(
            name.replace(", ", "\n"), rotation=0, ha="right", va="center", fontsize=8
        )
        for number, (place, prompt) in enumerate(zip(places, prompts, strict=True)):
            image = strip.crop(
                (strip.height * number, 0, strip.height * (number + 1), strip.height)
            )
            place.imshow(image)
            place.set(xticks=[], yticks=[])
            if path.stem.endswith("scenes"):
                colour = "tab:green" if says(prompt, image) else "tab:red"
                plt.setp(place.spines.values(), color=colour, linewidth=2)
    for place, prompt in zip(axes[0], prompts, strict=True):
        place.set_title(fill(prompt, 16), fontsize=8, parse_math=False)
    figure.tight_layout()
    save_figure(figure, path)
