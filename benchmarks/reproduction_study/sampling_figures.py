"""What guidance, candidates and given rows add to a trained arm, on test scenes of one object."""

from collections.abc import Sequence
from statistics import fmean

import torch
from study.cells import Figures
from study.figures import SAMPLING

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.scene_accuracy import SceneSet, scene_set
from reproduction_study.figures import drawn_right, says, text_of
from unified_transformer import generate_image_ids, score_captions

GUIDANCE_SCALES = (1.0, 1.5, 2.0, 3.0, 5.0)
CANDIDATES = (1, 2, 4, 8, 16)
FEWER_SCENES = 250
"""Of each figure about sampling, of which there are many."""


def sampling_figures(pipe: BidirectionalPipeline, matcher: Matcher) -> Figures:
    """What guidance, candidates and given rows add; on fewer scenes."""
    test = scene_set("test", FEWER_SCENES, 1, pipe.picture_size)
    return {
        "guidance": {
            str(scale): drawn_right(pipe, test, guidance_scale=scale) for scale in GUIDANCE_SCALES
        },
        **best_of_figures(pipe, test.captions, matcher),
        **completion_figures(pipe, test),
    }


@torch.no_grad()
def completion_figures(pipe: BidirectionalPipeline, scenes: SceneSet) -> Figures:
    """With the upper half of its picture given and with nothing given, the share of captions drawn
    right, of scenes whose object the given half cuts: it neither shows nor lacks the whole."""
    cut = [
        row
        for row, scene in enumerate(scenes.scenes)
        if all(abs(one.y - 0.5) < one.radius for one in scene.objects)
    ]
    captions = [scenes.captions[row] for row in cut]
    text = text_of(pipe, captions)
    ids = pipe.encode_images([scenes.pictures[row] for row in cut])
    given = ids[:, : pipe.transformer.config.grid_height // 2]
    settings = pipe.sampling_settings(**SAMPLING)

    def right(given: torch.Tensor | None) -> float:
        seeds = [[seed] for seed in range(len(captions))]
        drawn = generate_image_ids(pipe.transformer, *text, seeds, settings, given=given)
        return fmean(map(says, captions, pipe.artist.paint(drawn, "codebook")))

    return {"completed": right(given), "not_completed": right(None), "cut_scenes": len(cut)}


@torch.no_grad()
def best_of_figures(
    pipe: BidirectionalPipeline, captions: Sequence[str], matcher: Matcher
) -> Figures:
    """Of the first N of 16 candidates: the share of captions for which the one chosen is right,
    and for which any is."""
    right, own, by_matcher = [], [], []
    most = max(CANDIDATES)
    settings = pipe.sampling_settings(**SAMPLING)
    for number, caption in enumerate(captions):
        text = text_of(pipe, [caption])
        seeds = [[number * most + k for k in range(most)]]
        drawn = generate_image_ids(pipe.transformer, *text, seeds, settings)
        images = pipe.artist.paint(drawn, "codebook")
        right.append([says(caption, image) for image in images])
        repeated = (tensor.repeat_interleave(most, 0) for tensor in text)
        own.append(score_captions(pipe.transformer, drawn.ids, *repeated).cpu())
        by_matcher.append(matcher.scores(images, [caption] * most).cpu())
    is_right = torch.tensor(right).float()

    def chosen(scores: list[torch.Tensor]) -> dict[str, float]:
        best = {n: torch.stack(scores)[:, :n].argmax(dim=1, keepdim=True) for n in CANDIDATES}
        return {str(n): is_right.gather(1, index).mean().item() for n, index in best.items()}

    return {
        "best_of": chosen(own),
        "best_of_by_dual_encoder": chosen(by_matcher),
        "any_of": {str(n): is_right[:, :n].amax(dim=1).mean().item() for n in CANDIDATES},
    }
