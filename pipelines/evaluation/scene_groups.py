"""What is measured of a checkpoint on scenes besides: sets of one kind, and answers by kind."""

from dataclasses import asdict

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.evaluation.figures import Figures
from pipelines.evaluation.scene_accuracy import SceneSet, scene_set
from pipelines.evaluation.scene_questions import AnswerShares, answer_shares, commonest_answers
from pipelines.evaluation.scene_report import DESCRIPTIONS, measure_scenes


def scene_groups(pipe: BidirectionalPipeline, scenes: int, language: str) -> dict[str, Figures]:
    """Shares by group, over so many scenes of each kind."""
    groups: dict[str, Figures] = {}
    if {"text_to_image", "image_to_text"} <= set(pipe.tasks):
        report = asdict(measure_scenes(pipe, scenes, language))
        groups["scene_sets"] = {name: report[name] for _, name in DESCRIPTIONS}
    if "question_answering" in pipe.tasks:
        groups |= answer_groups(pipe, scenes, language)
    return groups


def answer_groups(pipe: BidirectionalPipeline, scenes: int, language: str) -> dict[str, Figures]:
    """Exact answers about scenes of one and two objects, so many each."""
    size = pipe.picture_size
    known = commonest_answers(size, (1, 2), 0, language)

    def shares(split: str) -> AnswerShares:
        one, two = (scene_set(split, scenes, n, size, 0, language) for n in (1, 2))
        both = SceneSet(
            one.scenes + two.scenes, one.captions + two.captions, one.pictures + two.pictures
        )
        return answer_shares(pipe, both, known, language)

    test, held_out = shares("test"), shares("held_out")
    return {
        "answers": {**test.right},
        "answers_to_another_picture": {**test.another_picture},
        "commonest_answers": {**test.commonest},
        "questions_asked": {**test.questions},
        "answers_held_out": {**held_out.right},
    }
