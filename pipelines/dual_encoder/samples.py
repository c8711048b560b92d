"""What a dual encoder's run shows of itself on the way."""

from pathlib import Path

from pipelines.data.text_tokenizer import TextCodec
from pipelines.dual_encoder.objective import ContrastiveObjective, cosines
from pipelines.samples import PICTURES, save_grid, save_lines
from pipelines.training.contracts import Batch


def draw_nearest(
    path: Path, objective: ContrastiveObjective, codec: TextCodec, batch: Batch
) -> None:
    """`path`.png: the first pictures of a batch; `path`.jsonl: of each its caption, and which of
    the batch's captions it finds nearest."""
    image, text = objective.features(batch)
    captions = [codec.decode_caption(ids) for ids in batch["text_ids"].tolist()]
    nearest = cosines(image[:PICTURES], text).argmax(dim=1).tolist()
    said = {"caption": captions[:PICTURES], "nearest": [captions[index] for index in nearest]}
    save_grid(path.with_suffix(".png"), [batch["pixels"][:PICTURES]])
    save_lines(path, said)
