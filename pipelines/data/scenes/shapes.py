"""The geometry of the shapes: what drawing, placing and reading share.

All shapes are upright, centred on their centroid and described at radius 1; the factors below
balance them, so that a small one of any shape looks small. y points down, as in pictures.
"""

import math

import numpy as np

SHAPES = ("circle", "square", "triangle", "diamond", "cross", "star")

SQUARE_HALF_SIDE = 0.88
TRIANGLE_CIRCUMRADIUS = 1.22
DIAMOND_HALF_DIAGONAL = 1.18
CROSS_HALF_LENGTH = 1.08
CROSS_HALF_WIDTH = 0.36
STAR_TIP = 1.2
STAR_NOTCH = 0.56

_SIN_30, _COS_30 = 0.5, math.sqrt(0.75)


def signed_distance(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance to the outline, negative inside, in the units of x, y and radius.

    x and y are offsets from the object's centre and broadcast together. Outside of corners the
    value is the distance to the nearest edge's line, which keeps drawn corners sharp.
    """
    if shape == "circle":
        return np.sqrt(x * x + y * y) - radius
    if shape == "triangle":
        slanted = _COS_30 * np.abs(x) - _SIN_30 * y
        return np.maximum(slanted, y) - _SIN_30 * TRIANGLE_CIRCUMRADIUS * radius
    if shape == "star":
        return _star_edge_coordinate(x, y) - _STAR_EDGE_OFFSET * radius
    x, y = np.abs(x), np.abs(y)
    if shape == "square":
        return np.maximum(x, y) - SQUARE_HALF_SIDE * radius
    if shape == "diamond":
        return (x + y - DIAMOND_HALF_DIAGONAL * radius) * math.sqrt(0.5)
    if shape == "cross":
        length, width = CROSS_HALF_LENGTH * radius, CROSS_HALF_WIDTH * radius
        return np.maximum(np.minimum(x, y) - width, np.maximum(x, y) - length)
    raise ValueError(f"shape is {shape!r}; it must be one of {', '.join(SHAPES)}")


# One edge of the star, from its upper tip to the notch on its right: unit normal and offset.
_EDGE_X = STAR_NOTCH * math.sin(math.pi / 5)
_EDGE_Y = STAR_TIP - STAR_NOTCH * math.cos(math.pi / 5)
_EDGE_LENGTH = math.hypot(_EDGE_X, _EDGE_Y)
_STAR_EDGE_OFFSET = STAR_TIP * _EDGE_X / _EDGE_LENGTH
_FOLD_X, _FOLD_Y = math.cos(math.pi / 5), math.sin(math.pi / 5)


def _star_edge_coordinate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coordinate along the edge's normal after folding the five arms' ten halves onto one."""
    x, up = np.abs(x), -y
    beyond = 2 * np.maximum(_FOLD_X * x - _FOLD_Y * up, 0)
    x, up = x - beyond * _FOLD_X, up + beyond * _FOLD_Y
    beyond = 2 * np.maximum(-_FOLD_X * x - _FOLD_Y * up, 0)
    x, up = x + beyond * _FOLD_X, up + beyond * _FOLD_Y
    return (np.abs(x) * _EDGE_Y + up * _EDGE_X) / _EDGE_LENGTH


def _regular_polygon(corners: int, circumradius: float, turn: float = 0.0) -> np.ndarray:
    angles = turn + 2 * math.pi * np.arange(corners) / corners
    return circumradius * np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _convex_hulls() -> dict[str, np.ndarray]:
    """Corners [n, 2] (x, y) of each shape's convex hull at radius 1."""
    length, width = CROSS_HALF_LENGTH, CROSS_HALF_WIDTH
    long_and_wide = np.array([(length, width), (width, length)])
    signs = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)])
    return {
        "circle": _regular_polygon(360, 1.0),
        "square": SQUARE_HALF_SIDE * signs,
        "triangle": _regular_polygon(3, TRIANGLE_CIRCUMRADIUS),
        "diamond": _regular_polygon(4, DIAMOND_HALF_DIAGONAL),
        "cross": np.concatenate([long_and_wide * sign for sign in signs]),
        "star": _regular_polygon(5, STAR_TIP),
    }


# Directions [24, 2]; opposite ones are half of the list apart. Their support functions give each
# shape's extent, and two hulls are apart if one of the directions separates them.
DIRECTIONS = _regular_polygon(24, 1.0)
SUPPORTS = {shape: (hull @ DIRECTIONS.T).max(axis=0) for shape, hull in _convex_hulls().items()}
UP, RIGHT, DOWN, LEFT = 0, 6, 12, 18


def opposite(supports: np.ndarray) -> np.ndarray:
    """Support function of the point reflection: `supports` [..., 24] in opposite directions."""
    return np.roll(supports, DIRECTIONS.shape[0] // 2, axis=-1)


def _areas() -> dict[str, float]:
    star_half_arm = 0.5 * STAR_TIP * STAR_NOTCH * math.sin(math.pi / 5)
    return {
        "circle": math.pi,
        "square": (2 * SQUARE_HALF_SIDE) ** 2,
        "triangle": 3 * _SIN_30 * _COS_30 * TRIANGLE_CIRCUMRADIUS**2,
        "diamond": 2 * DIAMOND_HALF_DIAGONAL**2,
        "cross": 4 * CROSS_HALF_WIDTH * (2 * CROSS_HALF_LENGTH - CROSS_HALF_WIDTH),
        "star": 10 * star_half_arm,
    }


# Area and length of the outline of each shape at radius 1.
AREAS = _areas()
PERIMETERS = {
    "circle": 2 * math.pi,
    "square": 8 * SQUARE_HALF_SIDE,
    "triangle": 6 * _COS_30 * TRIANGLE_CIRCUMRADIUS,
    "diamond": 4 * math.sqrt(2) * DIAMOND_HALF_DIAGONAL,
    "cross": 8 * CROSS_HALF_LENGTH,
    "star": 10 * _EDGE_LENGTH,
}
