"""What is measured of a trained arm, on test rows that nothing was trained on."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image
from study.cells import Figures
from study.figures import SCENES, drawing_of, drawn_sets, judged
from study.pairs import Pairs
from torch import Tensor

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.data.scenes import compare, parse_caption, read_scene
from pipelines.data.transforms import arrays_to_pixels, to_image
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.likelihoods import encode_captions
from pipelines.evaluation.scene_accuracy import SceneSet, caption_accuracy, scene_set, shows
from unified_transformer import Drawings, hidden_states_of
from vq import psnr


def scene_figures(pipe: BidirectionalPipeline, two_objects: bool) -> Figures:
    """Shares of test scenes, of one object unless named otherwise, every attribute right by the
    exact reader."""
    test, held_out = (
        scene_set(split, SCENES, 1, pipe.picture_size) for split in ("test", "held_out")
    )
    figures: Figures = {}
    if "text_to_image" in pipe.tasks:
        for decoder in decoders(pipe):
            figures[f"drawn_{decoder}"] = drawn_right(pipe, test, decoder=decoder)
            figures[f"held_out_{decoder}"] = drawn_right(pipe, held_out, decoder=decoder)
        for decoder, images in reconstructions(pipe, test.pictures, test.captions).items():
            figures[f"gold_{decoder}"] = fmean(map(shows, test.scenes, images))
            figures[f"gold_psnr_{decoder}"] = mean_psnr(images, test.pictures)
    if "image_to_text" in pipe.tasks:
        figures["described"] = caption_accuracy(pipe, test).exact
        if two_objects:
            two = scene_set("test", SCENES, 2, pipe.picture_size)
            figures["described_two"] = caption_accuracy(pipe, two).exact
    return figures


def drawn_right(pipe: BidirectionalPipeline, scenes: SceneSet, **options: Any) -> float:
    """The share of captions whose picture reads as they say; each has its own noise."""
    images = drawing_of(pipe, **options)(scenes.captions, range(len(scenes.captions)))
    return fmean(map(says, scenes.captions, images))


def says(caption: str, image: Image.Image) -> bool:
    """Whether a picture shows what a caption says."""
    return compare(parse_caption(caption), read_scene(np.asarray(image))).exact


def decoders(pipe: BidirectionalPipeline) -> list[str]:
    """What the pipeline can paint with."""
    return ["codebook"] if pipe.artist.reconstructor is None else ["codebook", "hidden"]


@torch.no_grad()
def reconstructions(
    pipe: BidirectionalPipeline, pictures: Sequence[np.ndarray], captions: Sequence[str]
) -> dict[str, list[Image.Image]]:
    """By decoder: the pictures painted from their own ids, and from the hidden states that a
    teacher-forced pass over caption and ids gives ("gold" in the paper's table)."""
    ids = pipe.encode_images(pictures)
    painted = {"codebook": [to_image(pixels) for pixels in pipe.tokenizer.decode_ids(ids)]}
    reconstructor = pipe.artist.reconstructor
    if reconstructor is None:
        return painted
    text_ids, text_length = text_of(pipe, captions)
    painted["hidden"] = []
    for some in torch.arange(len(ids), device=ids.device).split(64):
        hidden = hidden_states_of(
            pipe.transformer,
            text_ids[some],
            text_length[some],
            ids[some],
            reconstructor.config.hidden_state,
        )
        painted["hidden"] += pipe.artist.paint(Drawings(ids[some], hidden), "hidden")
    return painted


def text_of(pipe: BidirectionalPipeline, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids [row, T] and lengths [row] of captions, on the model's device."""
    text = encode_captions(pipe, captions)
    return text["text_ids"], text["text_length"]


def mean_psnr(images: Sequence[Image.Image], pictures: Sequence[np.ndarray]) -> float:
    """In dB."""
    ours, real = (
        arrays_to_pixels(np.stack([np.asarray(one) for one in some])) for some in (images, pictures)
    )
    return psnr(ours, real).mean().item()


def pair_figures(pipe: BidirectionalPipeline, pairs: Pairs, matcher: Matcher) -> Figures:
    """On captioned pictures, by the study's dual encoder: Fréchet distance of the features,
    R-precision among 100 names, diversity within a name."""
    figures: Figures = {}

    def measure(name: str, sets: Sequence[Sequence[Image.Image]]) -> None:
        found = judged(matcher, pairs, sets)
        figures.update({f"{figure}_{name}": value for figure, value in found.items()})

    if "text_to_image" in pipe.tasks:
        for decoder in decoders(pipe):
            draw = drawing_of(pipe, decoder=decoder)
            measure(f"drawn_{decoder}", drawn_sets(draw, pairs.captions))
        for decoder, images in reconstructions(pipe, pairs.pictures, pairs.captions).items():
            measure(f"gold_{decoder}", [images])
            figures[f"gold_psnr_{decoder}"] = mean_psnr(images, pairs.pictures)
    if "image_to_text" in pipe.tasks:
        said = pipe.caption_images(pairs.pictures)
        right = [{as_generated(pipe, text) for text in texts} for texts in pairs.references]
        figures["described"] = fmean(map(set.__contains__, right, said))
    return figures


def as_generated(pipe: BidirectionalPipeline, caption: str) -> str:
    """The caption as the model would write it: its text tokenizer knows no other spelling."""
    positions = pipe.transformer.config.text_positions
    return pipe.codec.decode_caption(pipe.codec.encode_caption(caption, positions).ids)
