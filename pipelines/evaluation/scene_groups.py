"""What is measured of a checkpoint on scenes besides: sets of one kind, and answers by kind."""

from collections.abc import Sequence

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.evaluation.figures import Figures
from pipelines.evaluation.scene_accuracy import Share, scene_set
from pipelines.evaluation.scene_questions import AnswerShares, answer_shares, commonest_answers
from pipelines.evaluation.scene_report import measure_scenes
from pipelines.training.distributed import Processes


def scene_groups(
    pipe: BidirectionalPipeline,
    tasks: Sequence[str],
    scenes: int,
    language: str,
    processes: Processes,
) -> dict[str, Figures]:
    """Shares by group, over so many scenes of each kind, which the processes share."""
    groups: dict[str, Figures] = {}
    share = processes.share_out
    if {"text_to_image", "image_to_text"} <= set(tasks):
        report = measure_scenes(pipe, scenes, language, share, quiet=not processes.is_main)
        groups["scene_sets"] = {**report.shares}
    if "question_answering" in tasks:
        groups |= answer_groups(pipe, scenes, language, share)
    return groups


def answer_groups(
    pipe: BidirectionalPipeline, scenes: int, language: str, share: Share
) -> dict[str, Figures]:
    """Exact answers about scenes of one and two objects, so many each."""
    size = pipe.picture_size
    known = commonest_answers(size, (1, 2), 0, language)

    def shares(split: str) -> AnswerShares:
        one, two = (scene_set(split, scenes, n, size, 0, language) for n in (1, 2))
        return answer_shares(pipe, one + two, known, language, share)

    test, held_out = shares("test"), shares("held_out")
    return {
        "answers": {**test.right},
        "answers_to_another_picture": {**test.another_picture},
        "commonest_answers": {**test.commonest},
        "questions_asked": {**test.questions},
        "answers_held_out": {**held_out.right},
    }
