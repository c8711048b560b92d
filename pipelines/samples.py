"""What a run shows of itself on the way: pictures and captions from validation rows."""

import json
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from pipelines.data.text_tokenizer import TextCodec
from pipelines.data.transforms import to_image
from pipelines.training.storage import replace_file
from unified_transformer import (
    Reconstructor,
    SamplingSettings,
    UnifiedTransformer,
    generate_captions,
    generate_image_ids,
)
from vq import VQGAN

PICTURES = 8


def draw_reconstructions(path: Path, tokenizer: VQGAN, batch: dict[str, Tensor]) -> None:
    """`path`.png: pictures over their reconstructions."""
    pixels = batch["pixels"][:PICTURES]
    save_grid(path.with_suffix(".png"), [pixels, tokenizer(pixels).reconstruction])


def draw_both_directions(
    path: Path,
    transformer: UnifiedTransformer,
    tokenizer: VQGAN,
    codec: TextCodec,
    batch: dict[str, Tensor],
    reconstructor: Reconstructor | None = None,
) -> None:
    """`path`.png: pictures over ones drawn from their captions, by their ids and, where there is a
    reconstructor, by their hidden states; `path`.jsonl: the captions, and what the model says of
    both pictures. Pictures that were encoded before are painted from their ids."""
    batch = {name: tensor[:PICTURES] for name, tensor in batch.items()}
    count = len(batch["image_ids"])
    drawn = generate_image_ids(
        transformer,
        batch["text_ids"],
        batch["text_length"],
        [[seed] for seed in range(count)],
        SamplingSettings(),
        hidden_state=reconstructor.config.hidden_state if reconstructor else None,
    )
    said = generate_captions(transformer, torch.cat([batch["image_ids"], drawn.ids]))
    captions = [codec.decode_caption(ids) for ids in said.ids]
    prompts = [codec.decode_caption(ids) for ids in batch["text_ids"].tolist()]
    given = batch["pixels"] if "pixels" in batch else tokenizer.decode_ids(batch["image_ids"])
    rows = [given, tokenizer.decode_ids(drawn.ids)]
    if reconstructor is not None:
        rows.append(reconstructor(drawn.hidden))
    save_grid(path.with_suffix(".png"), rows)
    texts = zip(prompts, captions[:count], captions[count:], strict=True)
    lines = [
        json.dumps(
            {"prompt": prompt, "caption": caption, "caption_of_drawn": of_drawn},
            ensure_ascii=False,
        )
        for prompt, caption, of_drawn in texts
    ]
    text = "\n".join(lines) + "\n"
    replace_file(path.with_suffix(".jsonl"), lambda file: file.write_text(text, encoding="utf-8"))


def save_grid(path: Path, rows: list[Tensor], gap: int = 2) -> None:
    """Writes a PNG with one row of pictures per entry.

    Args:
        rows: each [n, 3, h, w] in [-1, 1].
        gap: white pixels between pictures.
    """
    padded = [torch.nn.functional.pad(row.float(), (0, gap, 0, gap), value=1.0) for row in rows]
    grid = rearrange(torch.stack(padded), "rows n c h w -> c (rows h) (n w)")
    replace_file(path, to_image(grid).save)
