"""Does a scene show what a caption states, and which attributes does it get right?"""

from dataclasses import dataclass
from itertools import permutations

from pipelines.data.scenes.captions import Attributes, Statement
from pipelines.data.scenes.scene import Scene, SceneObject, dominant_relation


@dataclass(frozen=True)
class Match:
    """What of a statement holds in a scene.

    shape, colour, size: every stated object has this attribute of its own object in the scene.
    relation: the stated relation holds between them (true where none is stated).
    count: no object is missing and none is extra. exact: all of these.
    """

    shape: bool
    colour: bool
    size: bool
    relation: bool
    count: bool

    @property
    def exact(self) -> bool:
        return self.shape and self.colour and self.size and self.relation and self.count

    @property
    def number_right(self) -> int:
        return sum((self.shape, self.colour, self.size, self.relation))


NOTHING = Match(shape=False, colour=False, size=False, relation=False, count=False)


def compare(statement: Statement | None, scene: Scene | None) -> Match:
    """Compares a statement with a (read) scene, under the assignment that favours it most.

    Relations are judged by the centres' dominant axis. A caption that does not parse (None) and a
    picture that does not read (None) match in nothing.
    """
    if statement is None or scene is None:
        return NOTHING
    stated, shown = statement.objects, scene.objects
    count = len(stated) == len(shown)
    if len(stated) > len(shown):
        return NOTHING  # some stated object is nowhere
    matches = (
        _match(stated, chosen, statement.relation, count)
        for chosen in permutations(shown, len(stated))
    )
    return max(matches, key=lambda match: match.number_right)


def _match(
    stated: tuple[Attributes, ...],
    shown: tuple[SceneObject, ...],
    relation: str | None,
    count: bool,
) -> Match:
    pairs = list(zip(stated, shown, strict=True))
    return Match(
        shape=all(a.shape == b.shape for a, b in pairs),
        colour=all(a.colour == b.colour for a, b in pairs),
        size=all(a.size == b.size for a, b in pairs),
        relation=relation is None or dominant_relation(shown[0], shown[1]) == relation,
        count=count,
    )
