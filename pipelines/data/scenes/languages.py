"""The words and sentence templates of captions, in English and Chinese.

One table serves both ways: writing fills a template in, parsing matches all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """`text` with fields {first}, {second}, {relation}, or {list}; drawn in proportion to `weight`.

    `relates` says whose relation the text names: "first" to second, or "second" to first.
    """

    text: str
    weight: float
    relates: str = "first"


@dataclass(frozen=True, eq=False)
class Language:
    """The words of one language.

    Names of attributes and of relations, and the templates for one, two and more objects. Of
    relations' wordings and of templates the canonical one comes first; `first_wording_share` is
    the share of captions that use the first wording.
    """

    name: str
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
        name="en",
        sizes={"small": "small", "large": "large"},
        colours={name: name for name in ("red", "green", "blue", "orange", "purple", "black")},
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
        name="zh",
        sizes={"small": "小", "large": "大"},
        colours={
            "red": "红色",
            "green": "绿色",
            "blue": "蓝色",
            "orange": "橙色",
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
