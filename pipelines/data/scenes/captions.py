"""A small grammar of captions in English and Chinese.

One table of templates serves both ways: writing fills a template in, parsing matches all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.data.scenes.scene import (
    OPPOSITE_RELATION,
    Scene,
    SceneObject,
    dominant_relation,
)


@dataclass(frozen=True)
class Template:
    """`text` with fields {first}, {second}, {relation}, or {list}; drawn in proportion to `weight`.

    `relates` says whose relation the text names: "first" to second, or "second" to first.
    """

    text: str
    weight: float
    relates: str = "first"


@dataclass(frozen=True)
class Language:
    """The words of one language: names of attributes and relations (all wordings of each, the
    canonical one first, drawn with `first_wording_share`), and templates (the canonical one first).
    """

    sizes: Mapping[str, str]
    colours: Mapping[str, str]
    shapes: Mapping[str, str]
    phrase: str
    relations: Mapping[str, tuple[str, ...]]
    list_separator: str
    list_end: str
    one: tuple[Template, ...]
    two: tuple[Template, ...]
    more: tuple[Template, ...]
    first_wording_share: float = 0.8


LANGUAGES = {
    "en": Language(
        sizes={"small": "small", "large": "large"},
        colours={name: name for name in ("red", "green", "blue", "yellow", "purple", "black")},
        shapes={
            name: name for name in ("circle", "square", "triangle", "diamond", "cross", "star")
        },
        phrase="a {size} {colour} {shape}",
        relations={
            "left of": ("left of", "to the left of"),
            "right of": ("right of", "to the right of"),
            "above": ("above", "over"),
            "below": ("below", "under"),
        },
        list_separator=", ",
        list_end=" and ",
        one=(Template("{first}", 0.8), Template("there is {first}", 0.2)),
        two=(
            Template("{first} {relation} {second}", 0.8),
            Template("there is {first} {relation} {second}", 0.1),
            Template("{first} with {second} {relation} it", 0.1, relates="second"),
        ),
        more=(Template("{list}", 0.8), Template("there is {list}", 0.2)),
    ),
    "zh": Language(
        sizes={"small": "小", "large": "大"},
        colours={
            "red": "红色",
            "green": "绿色",
            "blue": "蓝色",
            "yellow": "黄色",
            "purple": "紫色",
            "black": "黑色",
        },
        shapes={
            "circle": "圆形",
            "square": "正方形",
            "triangle": "三角形",
            "diamond": "菱形",
            "cross": "十字形",
            "star": "五角星",
        },
        phrase="{size}{colour}{shape}",
        relations={
            "left of": ("左边", "左侧"),
            "right of": ("右边", "右侧"),
            "above": ("上方", "上面"),
            "below": ("下方", "下面"),
        },
        list_separator="、",
        list_end="和",
        one=(Template("{first}", 0.8), Template("图中有{first}", 0.2)),
        two=(
            Template("{first}在{second}{relation}", 0.8),
            Template("图中{first}在{second}{relation}", 0.1),
            Template("{first}{relation}有{second}", 0.1, relates="second"),
        ),
        more=(Template("{list}", 0.8), Template("图中有{list}", 0.2)),
    ),
}


def language_named(name: str) -> Language:
    """The language's words. Raises ValueError for one that scenes do not speak."""
    if name not in LANGUAGES:
        raise ValueError(f"language is {name!r}; captions are in {' or '.join(LANGUAGES)}")
    return LANGUAGES[name]


def caption(scene: Scene, rng: np.random.Generator, language: str = "en") -> str:
    """One of the captions of the scene; it states everything that scoring looks at.

    Size, colour and shape of each object, and for two objects their relation. The objects come in
    any order, so that both "above" and "below" describe a scene. Raises ValueError for an unknown
    language.
    """
    words = language_named(language)
    objects = [scene.objects[i] for i in rng.permutation(len(scene.objects))]
    template = _drawn(_templates(words, len(objects)), rng)
    wording = 0 if rng.random() < words.first_wording_share else 1
    return _filled_in(template, objects, words, wording)


def canonical_caption(scene: Scene, language: str = "en") -> str:
    """The plainest caption, objects in the scene's order, without chance.

    Example: "a large red circle above a small blue square". Raises ValueError for an unknown
    language.
    """
    words = language_named(language)
    return _filled_in(_templates(words, len(scene.objects))[0], list(scene.objects), words, 0)


def describe(item: SceneObject, language: str = "en") -> str:
    """The object alone: "a large red circle". Raises ValueError for an unknown language."""
    return _phrase(item, language_named(language))


def _templates(words: Language, number_of_objects: int) -> tuple[Template, ...]:
    return {1: words.one, 2: words.two}.get(number_of_objects, words.more)


def _drawn(templates: tuple[Template, ...], rng: np.random.Generator) -> Template:
    threshold = rng.random() * sum(template.weight for template in templates)
    for template in templates:
        threshold -= template.weight
        if threshold < 0:
            return template
    return templates[-1]


def _filled_in(
    template: Template, objects: list[SceneObject], words: Language, wording: int
) -> str:
    phrases = [_phrase(item, words) for item in objects]
    if len(objects) == 1:
        return template.text.format(first=phrases[0])
    if len(objects) > 2:
        listed = words.list_separator.join(phrases[:-1]) + words.list_end + phrases[-1]
        return template.text.format(list=listed)
    relation = dominant_relation(*objects)
    if template.relates == "second":
        relation = OPPOSITE_RELATION[relation]
    return template.text.format(
        first=phrases[0], second=phrases[1], relation=words.relations[relation][wording]
    )


def _phrase(item: SceneObject, words: Language) -> str:
    return words.phrase.format(
        size=words.sizes[item.size],
        colour=words.colours[item.colour],
        shape=words.shapes[item.shape],
    )
