"""The one rule against matrices drawn by hand: rows are queries, columns are keys, # is visible.

Four text positions, [BOI], and a 2 x 2 image.
"""

import torch

from unified_transformer.attention.dense import dense_mask
from unified_transformer.sequence import Sequence, build_sequence, visible

# text of three tokens and one [PAD]
TEXT_TO_IMAGE = """
    ###. . ....
    ###. . ....
    ###. . ....
    ###. . ....
    ###. # ....
    ###. # #...
    ###. # ##..
    ###. # ###.
    ###. # ####
"""
IMAGE_TO_TEXT = """
    #... # ####
    ##.. # ####
    ###. # ####
    ###. # ####
    .... # ####
    .... # ####
    .... # ####
    .... # ####
    .... # ####
"""
# [CLS] question [SEP] are two source tokens, the answer two target tokens
QUESTION = """
    ##.. # ####
    ##.. # ####
    ###. # ####
    #### # ####
    ##.. # ####
    ##.. # ####
    ##.. # ####
    ##.. # ####
    ##.. # ####
"""
COLUMN_TEXT_TO_IMAGE = """
    ###. . ....
    ###. . ....
    ###. . ....
    ###. . ....
    ###. # ....
    ###. # #...
    ###. # .#..
    ###. # #.#.
    ###. # .#.#
"""
COLUMN_IMAGE_TO_TEXT = """
    #... # ####
    ##.. # ####
    ###. # ####
    ###. # ####
    .... # ####
    .... # #.#.
    .... # .#.#
    .... # #.#.
    .... # .#.#
"""


def three_tokens(direction):
    return build_sequence(torch.tensor([3]), 4, (2, 2), direction)


def test_text_to_image(drawn):
    assert torch.equal(three_tokens("text_to_image").visible()[0], drawn(TEXT_TO_IMAGE))


def test_image_to_text(drawn):
    assert torch.equal(three_tokens("image_to_text").visible()[0], drawn(IMAGE_TO_TEXT))


def test_a_question_and_an_answer_follow_from_the_same_rule(drawn):
    real = torch.ones(1, 9, dtype=torch.bool)
    source = torch.tensor([[1, 1, 0, 0, 1, 1, 1, 1, 1]]).bool()
    assert torch.equal(visible(real, source)[0], drawn(QUESTION))
    lengths = torch.tensor([4]), torch.tensor([2])
    sequence = build_sequence(lengths[0], 4, (2, 2), "image_to_text", lengths[1])
    assert torch.equal(sequence.visible()[0], drawn(QUESTION))


def test_patterns_apply_inside_the_image_only(drawn):
    for direction, picture in (
        ("text_to_image", COLUMN_TEXT_TO_IMAGE),
        ("image_to_text", COLUMN_IMAGE_TO_TEXT),
    ):
        assert torch.equal(dense_mask(three_tokens(direction), "column")[0, 0], drawn(picture))


def test_masks_are_made_once():
    sequence = three_tokens("text_to_image")
    made = []
    for _ in range(2):
        assert sequence.cached("key", lambda: made.append(1) or "value") == "value"
    assert made == [1]


def test_every_query_sees_something():
    for direction in ("text_to_image", "image_to_text"):
        sequence: Sequence = build_sequence(torch.tensor([2, 4]), 4, (2, 2), direction)
        assert sequence.visible().any(-1).all()
