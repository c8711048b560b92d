"""What a dual encoder's run shows of itself on the way."""

import json
from pathlib import Path

from pipelines.data.text_tokenizer import TextCodec
from pipelines.dual_encoder.objective import ContrastiveObjective, cosines
from pipelines.samples import PICTURES, save_grid
from pipelines.training.contracts import Batch
from pipelines.training.storage import replace_file


def draw_nearest(
    path: Path, objective: ContrastiveObjective, codec: TextCodec, batch: Batch
) -> None:
    """`path`.png: the first pictures of a batch; `path`.jsonl: of each its caption, and which of
    the batch's captions it finds nearest."""
    image, text = objective.features(batch)
    captions = [codec.decode_caption(ids) for ids in batch["text_ids"].tolist()]
    nearest = cosines(image[:PICTURES], text).argmax(dim=1).tolist()
    rows = [
        {"caption": caption, "nearest": captions[index]}
        for caption, index in zip(captions, nearest, strict=False)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    save_grid(path.with_suffix(".png"), [batch["pixels"][:PICTURES]])
    replace_file(path.with_suffix(".jsonl"), lambda file: file.write_text(lines, encoding="utf-8"))
