"""A model card, written from what a run left; what is not known is left out."""

from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCardData

from pipelines.hub.data_description import DataDescription, describe_data
from pipelines.hub.pulling import hub_repository, was_pulled
from pipelines.hub.run_description import RunDescription
from pipelines.hub.usage import INSTALLING, command_lines, python_lines
from pipelines.markdown_tables import table
from pipelines.training.checkpoint import INDEX

WHAT = {
    "bidirectional": "One transformer over the ids of a VQGAN, after ERNIE-ViLG "
    "([2112.15283](https://arxiv.org/abs/2112.15283)).",
    "tokenizer": "A VQGAN ([2012.09841](https://arxiv.org/abs/2012.09841)): pictures ↔ grids of "
    "ids.",
    "dual_encoder": "Two encoders, of pictures and of texts, into one space.",
    "gan": "A one-stage GAN.",
}
TASKS = {
    "text_to_image": "draws pictures of texts",
    "image_to_text": "describes pictures",
    "question_answering": "answers questions about pictures",
    "image_generation": "draws pictures from noise",
    "style_transfer": "draws in the style of a given picture",
    "reconstruction": "turns pictures into ids, and ids into pictures",
    "image_text_matching": "says how well pictures and texts go together",
}
PIPELINE_TAGS = {
    "text_to_image": "text-to-image",
    "image_to_text": "image-to-text",
    "question_answering": "visual-question-answering",
    "image_generation": "unconditional-image-generation",
}
"""The hub's names of tasks that it knows."""
ORIGINALS = {
    "taming": "a VQGAN of taming-transformers or latent-diffusion",
    "llamagen": "a tokenizer of LlamaGen",
    "diffusers": "a VQModel of diffusers",
    "chameleon": "the image tokenizer of a Chameleon",
}
"""What `import_tokenizer.py` takes over, by its `--kind`."""
MARK = (
    "<!-- Written by drawscribe from a run. The next push writes it anew; remove this line to keep "
    "what you change here. -->"
)
"""A card without it is somebody's own."""
SCENES_PROMPT = {
    "en": ("a large red circle", "a large red circle above a small blue square"),
    "zh": ("大红色圆形", "大红色圆形在小蓝色正方形上方"),
}


@dataclass(frozen=True)
class ModelCard:
    """Args:
    name: of the repository, `owner/name`.
    license: as the hub abbreviates it; None where its owner has chosen none.
    """

    name: str
    run: RunDescription
    license: str | None = None

    def __str__(self) -> str:
        data = describe_data(self.run.configuration, self.run.tasks)
        sections = [
            self._what(data),
            self._pictures(),
            self._use(data),
            self._data(data),
            self._training(),
            self._figures(),
            self._limits(data),
            self._license(),
        ]
        body = "\n\n".join(filter(None, [MARK, *sections]))
        return f"{self._front_matter(data)}\n{body}\n"

    def _front_matter(self, data: DataDescription | None) -> str:
        tags = [PIPELINE_TAGS[task] for task in self.run.tasks if task in PIPELINE_TAGS]
        start = _hub_model(self.run.configuration.get("initialize_from"))
        facts = ModelCardData(
            license=self.license,
            library_name="drawscribe",
            pipeline_tag=tags[0] if tags else None,
            tags=["drawscribe", self.run.kind.replace("_", "-"), *tags],
            language=(data.languages or None) if data else None,
            datasets=(data.datasets or None) if data else None,
            base_model=start,
        )
        return f"---\n{facts.to_yaml()}\n---\n"

    def _what(self, data: DataDescription | None) -> str:
        does = "\n".join(f"- {TASKS.get(task, task)}" for task in self.run.tasks)
        size = ""
        if data is not None:
            height, width = data.settings.height_width
            size = f" Pictures have {height} x {width} pixels."
        origin = "Trained with drawscribe, which it is used with."
        if (original := self.run.imported_from) is not None:
            origin = (
                f"Taken over, as it is, from {ORIGINALS.get(original, original)} by drawscribe's "
                "`import_tokenizer.py`, to be used with drawscribe; others trained it."
            )
        return f"# {self.name.split('/')[-1]}\n\n{WHAT[self.run.kind]}{size} {origin} It\n\n{does}"

    def _pictures(self) -> str:
        return "\n\n".join(f"![{found.shows}]({found.path})" for found in self.run.pictures)

    def _use(self, data: DataDescription | None) -> str:
        about = (self.run.kind, self.run.tasks, self.name, self._prompt(data))
        size = data.settings.height_width if data is not None else (256, 256)
        return (
            f"## How to use\n\n{INSTALLING}\n\n```python\n{python_lines(*about, size)}\n```\n\n"
            f"```bash\n{command_lines(*about)}\n```"
        )

    def _prompt(self, data: DataDescription | None) -> str:
        if data is not None and data.of_scenes and data.languages:
            of_one, of_two = SCENES_PROMPT[data.languages[0]]
            return of_two if data.settings.max_objects > 1 else of_one
        return self.run.prompt or "TEXT"

    def _data(self, data: DataDescription | None) -> str:
        if data is None:
            return ""
        lines = "\n".join(f"- {line}" for line in data.lines)
        return f"## Data\n\n{lines}"

    def _training(self) -> str:
        lines = [f"{part}: {count:,} parameters" for part, count in _counted(self.run.parameters)]
        title = "Size"
        if self.run.imported_from is None:
            title, lines = "Training", lines + _training_lines(self.run)
        return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)

    def _figures(self) -> str:
        tables = [
            f"{found.title}:\n\n{table([('what', 'measured'), *found.rows])}"
            for found in self.run.figures
        ]
        if not tables:
            return ""
        sampling = ", ".join(f"{name} {value}" for name, value in self.run.sampling.items())
        drawn = f"\n\nRecommended sampling: {sampling}." if sampling else ""
        return "## Figures\n\n" + "\n\n".join(tables) + drawn

    def _limits(self, data: DataDescription | None) -> str:
        if data is None:
            return ""
        height, width = data.settings.height_width
        texts = " and the texts" if data.of_texts else ""
        positions = self.run.configuration.get("model", {}).get("text_positions")
        start = self.run.configuration.get("initialize_from")
        before = ", after those of the checkpoint that it went on from" if start else ""
        longest = f" Texts have at most {positions} tokens." if positions else ""
        return (
            f"## Limitations\n\nIt was trained on the pictures{texts} of these data at {height} x "
            f"{width} pixels{before}: expect little of others, and in what it makes whatever these "
            f"data leave out or lean to.{longest}"
        )

    def _license(self) -> str:
        said = self.license or "Its owner has chosen none yet: ask before you use it."
        if self.run.imported_from is not None:
            said = f"That of the original{f': {self.license}' if self.license else ''}."
        return f"## Licence\n\n{said}"


def _counted(parameters: dict[str, int]) -> list[tuple[str, int]]:
    return [(part, count) for part, count in parameters.items() if count]


def _training_lines(run: RunDescription) -> list[str]:
    lines: list[str] = []
    configuration = run.configuration
    settings: dict[str, Any] = configuration.get("training", {})
    if run.last and "batch_size" in settings:
        lines.append(f"{run.last['step']} steps of {settings['batch_size']} samples")
    if run.step is not None:
        lines.append(f"the weights are those of step {run.step}")
    if run.minutes is not None:
        lines.append(f"{run.minutes:.1f} minutes")
    if optimizer := settings.get("optimizer"):
        names = ("name", "learning_rate", "weight_decay")
        said = ", ".join(f"{n.replace('_', ' ')} {optimizer[n]}" for n in names if n in optimizer)
        lines.append(f"optimizer: {said.removeprefix('name ')}")
    for name in ("precision", "ema_decay"):
        if settings.get(name):
            lines.append(f"{name.replace('_', ' ')}: {settings[name]}")
    if (start := configuration.get("initialize_from")) is not None:
        lines.append(f"went on from {_hub_model(start) or 'another checkpoint'}")
    for part in ("tokenizer", "text_encoder"):
        if (given := configuration.get(part)) is not None:
            lines.append(f"{part}: {_hub_model(given) or 'trained before, by itself'}")
    if run.tokenizer_configuration:
        data = describe_data(run.tokenizer_configuration, ("reconstruction",))
        lines.append("tokenizer: trained first" + (f", on {'; '.join(data.lines)}" if data else ""))
    if "seed" in configuration:
        lines.append(f"seed {configuration['seed']}")
    return lines


def _hub_model(name: str | None) -> str | None:
    """`owner/name` where a checkpoint was pulled from the hub; a folder's name says nothing."""
    repository = hub_repository(name) if name else None
    return repository.name if repository is not None and was_pulled(repository, INDEX) else None
