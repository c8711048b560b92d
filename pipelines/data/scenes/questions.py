"""Scene -> questions with exactly one right answer each, in English and Chinese."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TypeVar

import numpy as np

from pipelines.data.scenes.captions import describe
from pipelines.data.scenes.languages import Language, language_named
from pipelines.data.scenes.scene import (
    COLOURS,
    HELD_OUT_PAIRS,
    SIZES,
    Scene,
    SceneObject,
    clear_relation,
    is_held_out,
)
from pipelines.data.scenes.shapes import SHAPES

Choice = TypeVar("Choice")

KINDS = ("colour", "shape", "size", "count", "yes_no", "relation")
EACH_ONCE: Mapping[str, int] = {}


@dataclass(frozen=True)
class Question:
    question: str
    answer: str
    kind: str


@dataclass(frozen=True, eq=False)
class Wording:
    """Question templates by kind, and the answers that are no attributes. `joint` stands between
    the words of a phrase as "large red circle"."""

    templates: Mapping[str, str]
    joint: str
    thing: str
    numbers: tuple[str, ...]
    yes: str
    no: str


WORDINGS = {
    "en": Wording(
        templates={
            "colour": "what colour is the {item}?",
            "shape": "what shape is the {item}?",
            "size": "what size is the {item}?",
            "count": "how many {items} are there?",
            "yes_no": "is there {item}?",
            "relation": "where is the {item} relative to the {other}?",
        },
        joint=" ",
        thing="object",
        numbers=("zero", "one", "two", "three", "four"),
        yes="yes",
        no="no",
    ),
    "zh": Wording(
        templates={
            "colour": "{item}是什么颜色？",
            "shape": "{item}是什么形状？",
            "size": "{item}是大还是小？",
            "count": "图中有几个{item}？",
            "yes_no": "图中有{item}吗？",
            "relation": "{item}在{other}的哪边？",
        },
        joint="",
        thing="物体",
        numbers=("零个", "一个", "两个", "三个", "四个"),
        yes="有",
        no="没有",
    ),
}


def questions(
    scene: Scene,
    rng: np.random.Generator,
    language: str = "en",
    times: Mapping[str, int] = EACH_ONCE,
) -> list[Question]:
    """One question of each kind that the scene allows, or as many as `times` says of it, in the
    order of KINDS.

    What is asked about is unique in the scene, relations are clear ones, yes is right as often as
    no, and half of the attributes whose objects are counted are not there. Only questions on
    scenes with a held-out pair ever name one. Raises ValueError for an unknown language.
    """
    words, wording = language_named(language), WORDINGS[language]
    askers: Mapping[str, Callable[..., tuple[str, str] | None]] = {
        "colour": _ask_attribute("colour", ("shape",), ("size", "shape")),
        "shape": _ask_attribute("shape", ("colour",), ("size", "colour")),
        "size": _ask_attribute("size", ("shape",), ("colour",), ("colour", "shape")),
        "count": _ask_count,
        "yes_no": _ask_presence,
        "relation": _ask_relation,
    }
    asked = (
        (kind, askers[kind](scene, rng, words, wording))
        for kind in KINDS
        for _ in range(times.get(kind, 1))
    )
    return [Question(*pair, kind) for kind, pair in asked if pair is not None]


def _ask_attribute(
    kind: str, *references: tuple[str, ...]
) -> Callable[..., tuple[str, str] | None]:
    """Asks for an attribute of an object that one of the combinations of others singles out."""

    def ask(
        scene: Scene, rng: np.random.Generator, words: Language, wording: Wording
    ) -> tuple[str, str] | None:
        for i in rng.permutation(len(scene.objects)):
            item = scene.objects[i]
            for names in references:
                if sum(_shares(item, other, names) for other in scene.objects) == 1:
                    phrase = _phrase(item, names, words, wording)
                    text = wording.templates[kind].format(item=phrase)
                    return text, _word(item, kind, words)
        return None

    return ask


def _ask_count(
    scene: Scene, rng: np.random.Generator, words: Language, wording: Wording
) -> tuple[str, str]:
    """Of all objects, or of those with some size, colour or shape, there or not."""
    names = _drawn(((), ("size",), ("colour",), ("shape",)), rng)
    item = _drawn(scene.objects, rng)
    absent = [other for other in _neighbours(item) if names and not _is_there(other, scene, names)]
    if absent and rng.random() < 0.5:
        item = _drawn(absent, rng)
    count = sum(_shares(item, other, names) for other in scene.objects)
    phrase = _phrase(item, names, words, wording)
    plural = phrase + ("es" if phrase.endswith("s") else "s")  # for English
    text = wording.templates["count"].format(item=phrase, items=plural)
    return text, wording.numbers[count]


def _ask_presence(
    scene: Scene, rng: np.random.Generator, words: Language, wording: Wording
) -> tuple[str, str]:
    """Of an object that is there, or of one that differs from it in one attribute."""
    item = _drawn(scene.objects, rng)
    present = rng.random() < 0.5
    if not present:
        item = _drawn([other for other in _neighbours(item) if _may_be_denied(other, scene)], rng)
    text = wording.templates["yes_no"].format(item=describe(item, words.name))
    return text, wording.yes if present else wording.no


def _ask_relation(
    scene: Scene, rng: np.random.Generator, words: Language, wording: Wording
) -> tuple[str, str] | None:
    pairs = [
        (first, second, relation)
        for first, second in permutations(scene.objects, 2)
        if (relation := clear_relation(first, second)) is not None
    ]
    if not pairs:
        return None
    first, second, relation = _drawn(pairs, rng)
    item, other = (_phrase(one, ("colour", "shape"), words, wording) for one in (first, second))
    text = wording.templates["relation"].format(item=item, other=other)
    return text, words.relations[relation][0]


def _neighbours(item: SceneObject) -> list[SceneObject]:
    """All objects that differ from this one in one attribute."""
    values: Mapping[str, Iterable[str]] = {"size": SIZES, "colour": COLOURS, "shape": SHAPES}
    return [
        replace(item, **{name: value})  # type: ignore[arg-type]
        for name in values
        for value in values[name]
        if value != getattr(item, name)
    ]


def _drawn(choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _may_be_denied(item: SceneObject, scene: Scene) -> bool:
    if (item.colour, item.shape) in HELD_OUT_PAIRS and not is_held_out(scene):
        return False
    return not _is_there(item, scene, ("size", "colour", "shape"))


def _is_there(item: SceneObject, scene: Scene, names: tuple[str, ...]) -> bool:
    return any(_shares(item, other, names) for other in scene.objects)


def _shares(item: SceneObject, other: SceneObject, names: tuple[str, ...]) -> bool:
    return all(getattr(item, name) == getattr(other, name) for name in names)


def _word(item: SceneObject, name: str, words: Language) -> str:
    tables = {"size": words.sizes, "colour": words.colours, "shape": words.shapes}
    return tables[name][getattr(item, name)]


def _phrase(item: SceneObject, names: tuple[str, ...], words: Language, wording: Wording) -> str:
    """The object by some of its attributes: "red circle", "large object", "object"."""
    parts = [_word(item, name, words) for name in names]
    if "shape" not in names:
        parts.append(wording.thing)
    return wording.joint.join(parts)
