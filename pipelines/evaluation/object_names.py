"""Which of a detector's classes an English caption names."""

import re
from collections.abc import Iterable, Sequence

# Words of one meaning, one of which is a class of COCO (whichever spelling the detector has). From
# the captions that Hinz et al. (1910.13321) chose for each class, and for persons from their words.
SAME = (
    ("person", "people", "human", "man", "woman", "child"),
    ("bicycle", "bike"),
    ("car", "auto"),
    (
        *("motorcycle", "motor cycle", "motorbike", "motor bike", "dirt bike"),
        *("scooter", "motor scooter"),
    ),
    ("airplane", "aeroplane", "plane", "jet", "aircraft"),
    ("bus", "tour bus", "school bus"),
    ("truck", "fire truck", "firetruck"),
    ("boat", "ship", "sailboat", "motorboat", "rowboat"),
    ("fire hydrant", "hydrant"),
    ("stop sign", "stopsign"),
    ("cat", "kitten"),
    ("dog", "pup", "puppy", "bulldog", "sheepdog"),
    ("backpack", "back pack", "rucksack"),
    ("handbag", "purse"),
    ("suitcase", "suit case"),
    ("skis", "ski"),
    ("snowboard", "snow board"),
    ("sports ball", "ball"),
    ("skateboard", "skate board"),
    ("surfboard", "surf board"),
    ("tennis racket", "racket", "racquet", "tennis racquet"),
    ("cup", "teacup"),
    ("hot dog", "hotdog"),
    ("donut", "doughnut"),
    ("couch", "sofa"),
    ("potted plant", "pottedplant"),
    ("dining table", "diningtable", "table", "desk"),
    ("tv", "television", "tvmonitor", "monitor", "screen"),
    ("cell phone", "cellphone", "mobile phone"),
    ("remote", "remote control"),
    ("refrigerator", "fridge"),
    ("book", "notebook", "textbook"),
    ("teddy bear", "teddybear", "teddy"),
    ("hair drier", "hair dryer", "hairdryer"),
    ("toothbrush", "tooth brush"),
)
# Mostly a colour, and mostly an animal: there the paper chose other words instead of the name.
INSTEAD = {"orange": ("oranges",), "mouse": ("computer mouse",)}
# What stands in the place of a class.
NO_CLASS = ("n/a", "no-object", "no object", "background", "__background__", "")
IRREGULAR = {
    **{"person": "persons", "man": "men", "woman": "women", "child": "children"},
    **{"mouse": "mice", "knife": "knives", "goose": "geese", "tooth": "teeth", "foot": "feet"},
}

Phrase = tuple[str, ...]


class ObjectNames:
    """Finds class names in captions, as whole words and in the plural as well.

    Longer names go first and use their words up: a teddy bear is no bear and a hot dog no dog. (The
    paper looks for parts of words and then sorts out by hand; these counts come close to its, and
    are not the same.)

    Args:
        names: of the detector's classes, in English.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.classes: dict[Phrase, int] = {}
        # Backwards, so that of two classes that share a word ("table") the first has it, and a
        # class's own name goes before the other words for another one.
        for number in reversed(range(len(names))):
            self._add(_other_words(names[number]), number)
        for number in reversed(range(len(names))):
            self._add(_own_words(names[number]), number)
        self.longest = max(map(len, self.classes), default=0)

    def _add(self, words: Iterable[str], number: int) -> None:
        for text in words:
            for form in (text, plural(text)):
                self.classes[_words(form)] = number

    def named(self, caption: str) -> set[int]:
        """The numbers of the classes that the caption names."""
        words = _words(caption)
        found = set()
        place = 0
        while place < len(words):
            for length in range(self.longest, 0, -1):
                number = self.classes.get(words[place : place + length])
                if number is not None:
                    found.add(number)
                    place += length
                    break
            else:
                place += 1
        return found


def _own_words(name: str) -> tuple[str, ...]:
    name = name.strip().lower()
    return () if name in NO_CLASS else INSTEAD.get(name, (name,))


def _other_words(name: str) -> tuple[str, ...]:
    name = name.strip().lower()
    return tuple(word for group in SAME if name in group for word in group)


def plural(text: str) -> str:
    """Of an English noun, by the last of its words."""
    head, last = text[: text.rfind(" ") + 1], text[text.rfind(" ") + 1 :]
    if last in IRREGULAR:
        return head + IRREGULAR[last]
    if re.search("(s|x|z|ch|sh)$", last):
        return f"{head}{last}es"
    if re.search("[^aeiou]y$", last):
        return f"{head}{last[:-1]}ies"
    return f"{head}{last}s"


def _words(text: str) -> Phrase:
    return tuple(re.findall("[a-z0-9]+", text.lower()))
