"""How a checkpoint of each kind is used: what a model card tells in code."""

import json
import shlex

from pipelines.command_line import PROGRAM

INSTALLING = (
    "drawscribe is a Python package that draws pictures of texts and describes pictures. "
    "`pip install drawscribe-*.whl` installs it from the wheel that its repository is built into; "
    "what a program needs besides, it says. The weights are downloaded on first use."
)
BIDIRECTIONAL = {
    "text_to_image": "images = pipe.generate_images([{prompt}])",
    "image_to_text": "captions = pipe.caption_images(images)",
    "question_answering": 'answers = pipe.answer_questions(images, ["QUESTION"])',
}
COMMANDS = {
    "text_to_image": "generate-images --checkpoint {name} --prompt {text} --output drawn",
    "image_to_text": "caption-images --checkpoint {name} picture.png",
    "question_answering": "answer-questions --checkpoint {name} --question QUESTION picture.png",
    "image_generation": "generate-images --checkpoint {name} --output drawn",
}


def python_lines(
    kind: str, tasks: tuple[str, ...], name: str, prompt: str, size: tuple[int, int]
) -> str:
    """A few lines that load a repository and use it, on pictures of a height and width."""
    quoted = json.dumps(prompt, ensure_ascii=False)
    if kind == "tokenizer":
        return f"""from pipelines.data.transforms import read_image, to_pixels
from pipelines.training.checkpoint import open_checkpoint
from vq import VQGAN

tokenizer = VQGAN.from_pretrained(open_checkpoint("{name}").tokenizer)
pixels = to_pixels(read_image("picture.png"), {size})[None]  # [1, 3, height, width] in [-1, 1]
ids = tokenizer.encode_to_ids(pixels)  # [1, h, w]
pixels = tokenizer.decode_ids(ids)"""
    if kind == "dual_encoder":
        return f"""import PIL.Image

from pipelines.dual_encoder.matcher import Matcher

matcher = Matcher.from_pretrained("{name}")
images = [PIL.Image.open("picture.png")]
scores = matcher.scores(images, [{quoted}])  # a text for each picture"""
    if kind == "gan":
        prompts = f"[{quoted}]" if "text_to_image" in tasks else "num_images=4"
        return f"""from pipelines.gan_pipeline import GANPipeline

pipe = GANPipeline.from_pretrained("{name}")
images = pipe.generate_images({prompts})"""
    uses = "\n".join(line.format(prompt=quoted) for t, line in BIDIRECTIONAL.items() if t in tasks)
    if "text_to_image" not in tasks:
        uses = f'images = [PIL.Image.open("picture.png")]\n{uses}'
    imports = "" if "text_to_image" in tasks else "import PIL.Image\n\n"
    return f"""{imports}from pipelines import BidirectionalPipeline

pipe = BidirectionalPipeline.from_pretrained("{name}")
{uses}"""


def command_lines(kind: str, tasks: tuple[str, ...], name: str, prompt: str) -> str:
    """The commands that take it."""
    text = shlex.quote(prompt)
    commands = [line.format(name=name, text=text) for t, line in COMMANDS.items() if t in tasks]
    if kind == "tokenizer":
        commands = [
            f"train-bidirectional --config CONFIG.yaml tokenizer={name} output=run",
            f"evaluate-checkpoint --checkpoint {name} --data DATA --output report",
        ]
    if kind == "dual_encoder":
        commands = [
            f"generate-images --checkpoint DIR --prompt {text} --rerank 8 --rerank-by {name} "
            "--output drawn"
        ]
    return "\n".join(PROGRAM + command for command in commands)
