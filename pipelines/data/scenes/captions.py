"""Scene -> caption and caption -> statement, both from the same small grammar."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np

from pipelines.data.scenes.languages import LANGUAGES, Language, Template, language_named
from pipelines.data.scenes.scene import (
    OPPOSITE_RELATION,
    Scene,
    SceneObject,
    dominant_relation,
)


@dataclass(frozen=True)
class Attributes:
    """What a caption says of one object."""

    size: str
    colour: str
    shape: str


@dataclass(frozen=True)
class Statement:
    """What a caption says; `relation` is that of the first object to the second, if any."""

    objects: tuple[Attributes, ...]
    relation: str | None


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


def attribute_words(scene: Scene, language: str = "en") -> list[str]:
    """Size, colour and shape of each object, in the scene's order, each word once: "large", "red",
    "circle". Raises ValueError for an unknown language."""
    words = language_named(language)
    found = (
        (words.sizes[item.size], words.colours[item.colour], words.shapes[item.shape])
        for item in scene.objects
    )
    return list(dict.fromkeys(chain.from_iterable(found)))


def parse_caption(text: str) -> Statement | None:
    """The statement of a caption of the grammar in either language; None for any other text.

    Tolerant of case, surrounding spaces and spaces between Chinese characters, and nothing else.
    """
    text = _SPACE_IN_CHINESE.sub("", text.strip().lower())
    for words in LANGUAGES.values():
        for template, pattern in _patterns(words):
            match = pattern.fullmatch(text)
            if match is not None:
                return _statement(match, template, words)
    return None


_CHINESE = r"[\u3001\u4e00-\u9fff]"  # the ideographic comma and the common characters
_SPACE_IN_CHINESE = re.compile(rf"(?<={_CHINESE})\s+(?={_CHINESE})")


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


@cache
def _object_pattern(words: Language) -> re.Pattern[str]:
    """Matches one object's phrase; groups size, colour and shape."""
    return re.compile(
        words.phrase.format(
            size=f"(?P<size>{_any_of(words.sizes.values())})",
            colour=f"(?P<colour>{_any_of(words.colours.values())})",
            shape=f"(?P<shape>{_any_of(words.shapes.values())})",
        )
    )


@cache
def _patterns(words: Language) -> tuple[tuple[Template, re.Pattern[str]], ...]:
    """A pattern for every template; the relation is a group, objects are found again after."""
    item = re.sub(r"\?P<\w+>", "?:", _object_pattern(words).pattern)
    wordings = [wording for group in words.relations.values() for wording in group]
    fields = {
        "first": item,
        "second": item,
        "relation": f"(?P<relation>{_any_of(wordings)})",
        # Three or four objects.
        "list": f"{item}(?:{words.list_separator}{item}){{1,2}}{words.list_end}{item}",
    }
    return tuple(
        (template, re.compile(template.text.format(**fields)))
        for template in (*words.one, *words.two, *words.more)
    )


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(re.escape(text) for text in texts)


def _statement(match: re.Match[str], template: Template, words: Language) -> Statement:
    objects = tuple(
        Attributes(
            size=_key_of(words.sizes, found["size"]),
            colour=_key_of(words.colours, found["colour"]),
            shape=_key_of(words.shapes, found["shape"]),
        )
        for found in _object_pattern(words).finditer(match.string)
    )
    if len(objects) != 2:
        return Statement(objects, None)
    wording = match["relation"]
    relation = next(name for name, group in words.relations.items() if wording in group)
    return Statement(
        objects, relation if template.relates == "first" else OPPOSITE_RELATION[relation]
    )


def _key_of(names: Mapping[str, str], word: str) -> str:
    return next(key for key, name in names.items() if name == word)
