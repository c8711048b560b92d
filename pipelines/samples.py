"""What a run shows of itself on the way: pictures and texts from validation rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from pipelines.data.text_tokenizer import TextCodec
from pipelines.data.transforms import to_image
from pipelines.picture_files import png_info
from pipelines.training.storage import replace_file
from unified_transformer import (
    Reconstructor,
    SamplingSettings,
    UnifiedTransformer,
    generate_answers,
    generate_captions,
    generate_image_ids,
)
from unified_transformer.sequence import Task
from vq import VQGAN

PICTURES = 8
GAP = 2
"""White pixels between pictures."""


def draw_reconstructions(path: Path, tokenizer: VQGAN, batch: dict[str, Tensor]) -> None:
    """`path`.png: pictures over their reconstructions."""
    pixels = batch["pixels"][:PICTURES]
    save_grid(path.with_suffix(".png"), [pixels, tokenizer(pixels).reconstruction])


def draw_pictures(
    path: Path, batch: dict[str, Tensor], drawn: Tensor, codec: TextCodec | None
) -> None:
    """`path`.png: pictures of a batch over ones that were drawn [b, 3, h, w], of their captions
    where there are any; those in `path`.jsonl and in the PNG's texts."""
    said = {}
    if codec is not None:
        texts = [codec.decode_caption(ids) for ids in batch["text_ids"][:PICTURES].tolist()]
        said["prompts"] = texts
        save_lines(path, {"prompt": texts})
    save_grid(path.with_suffix(".png"), [batch["pixels"][:PICTURES], drawn[:PICTURES]], said)


def draw_tasks(
    path: Path,
    transformer: UnifiedTransformer,
    tokenizer: VQGAN,
    codec: TextCodec,
    tasks: Sequence[Task],
    batch: dict[str, Tensor],
    reconstructor: Reconstructor | None = None,
) -> None:
    """What a run's `tasks` make of a batch.

    `path`.png: pictures, over ones drawn from their captions, by their ids and, where there is a
    reconstructor, by their hidden states. `path`.jsonl: the captions, what the model says of both
    pictures, and what it answers. Pictures that were encoded before are painted from their ids. The
    PNG's texts say how it was drawn.
    """
    batch = {name: tensor[:PICTURES] for name, tensor in batch.items()}
    count, seen = len(batch["image_ids"]), batch["image_ids"]
    rows = [batch["pixels"] if "pixels" in batch else tokenizer.decode_ids(batch["image_ids"])]
    texts: dict[str, list[str]] = {}
    said_of_drawn: dict[str, Any] = {}
    if "text_ids" in batch:
        texts["prompt"] = [codec.decode_caption(ids) for ids in batch["text_ids"].tolist()]
    if "text_to_image" in tasks:
        sampling = SamplingSettings()
        seeds = list(range(count))
        said_of_drawn = {"prompts": texts["prompt"], "seeds": seeds, **asdict(sampling)}
        drawn = generate_image_ids(
            transformer,
            batch["text_ids"],
            batch["text_length"],
            [[seed] for seed in seeds],
            sampling,
            hidden_state=reconstructor.config.hidden_state if reconstructor else None,
        )
        seen = torch.cat([seen, drawn.ids])
        rows.append(tokenizer.decode_ids(drawn.ids))
        if reconstructor is not None:
            rows.append(reconstructor(drawn.hidden))
    if "image_to_text" in tasks:
        said = generate_captions(transformer, seen)
        captions = [codec.decode_caption(ids) for ids in said.ids]
        texts["caption"] = captions[:count]
        if len(seen) > count:
            texts["caption_of_drawn"] = captions[count:]
    if "question_answering" in tasks:
        texts |= answer_questions(transformer, codec, batch)
    save_grid(path.with_suffix(".png"), rows, said_of_drawn)
    save_lines(path, texts)


def save_lines(path: Path, texts: dict[str, list[str]]) -> None:
    """`path`.jsonl: a line for each picture, with one of each of the texts."""
    lines = [
        json.dumps(dict(zip(texts, row, strict=True)), ensure_ascii=False)
        for row in zip(*texts.values(), strict=True)
    ]
    text = "\n".join(lines) + "\n"
    replace_file(path.with_suffix(".jsonl"), lambda file: file.write_text(text, encoding="utf-8"))


def answer_questions(
    transformer: UnifiedTransformer, codec: TextCodec, batch: dict[str, Tensor]
) -> dict[str, list[str]]:
    """The questions of a batch, their right answers, and what the model says."""
    ids, asked = batch["qa_ids"], batch["question_length"]
    position = torch.arange(ids.shape[1], device=ids.device)
    questions = torch.where(position < asked[:, None], ids, transformer.config.pad_token_id)
    said = generate_answers(transformer, batch["image_ids"], questions, asked)
    pairs = list(zip(ids.tolist(), asked.tolist(), strict=True))
    return {
        "question": [codec.decode_caption(row) for row, _ in pairs],
        "right_answer": [codec.decode_caption(row[length:]) for row, length in pairs],
        "answer": [codec.decode_caption(text) for text in said.ids],
    }


def save_grid(path: Path, rows: list[Tensor], said: Mapping[str, Any] | None = None) -> None:
    """Writes a PNG with one row of pictures per entry.

    Args:
        rows: each [n, 3, h, w] in [-1, 1].
        said: of what is drawn, as `png_info` takes it.
    """
    padded = [torch.nn.functional.pad(row.float(), (0, GAP, 0, GAP), value=1.0) for row in rows]
    grid = rearrange(torch.stack(padded), "rows n c h w -> c (rows h) (n w)")
    info = png_info(said) if said else None
    replace_file(path, partial(to_image(grid).save, pnginfo=info))
