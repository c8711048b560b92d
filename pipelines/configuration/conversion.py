"""Plain values, as YAML gives them -> the types a dataclass declares; refusals name the key."""

import dataclasses
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def build(schema: type[T], values: dict[str, Any], key: str = "") -> T:
    """The dataclass `schema` from `values`.

    Raises:
        ValueError: one sentence naming the key: it is unknown, a value is missing, has the wrong
            type, or is refused by the dataclass itself.
    """
    prefix = f"{key}." if key else ""
    hints = field_hints(schema)
    for name in values:
        if name not in hints:
            raise ValueError(f"{prefix}{name} is unknown; {key or 'it'} has {', '.join(hints)}.")
    for field in dataclasses.fields(schema):  # type: ignore[arg-type]
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.init and field.name not in values:
            raise ValueError(f"{prefix}{field.name} is missing; give it a value.")
    arguments = {
        name: convert(value, hints[name], f"{prefix}{name}") for name, value in values.items()
    }
    try:
        return schema(**arguments)
    except ValueError as error:
        raise ValueError(f"{key}: {error}" if key else str(error)) from error


def convert(value: Any, hint: Any, key: str) -> Any:
    """`value` as the type `hint`; ValueError naming `key` where it is not one."""
    options = _options(hint)
    if value is None and type(None) in options:
        return None
    kinds = [option for option in options if option is not type(None)]
    for kind in kinds:
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return build(kind, value, key)  # type: ignore[arg-type]
    for kind in kinds:
        try:
            return _convert_one(value, kind, key)
        except TypeError:
            continue
    names = " or ".join(_name(option) for option in options)
    raise ValueError(f"{key} must be {names}, not {value!r}.")


def _convert_one(value: Any, kind: Any, key: str) -> Any:
    """Raises TypeError where `value` is no `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal and any(value == one and type(value) is type(one) for one in arguments):
        return value
    if origin in (list, tuple) and isinstance(value, list | tuple):
        if origin is tuple and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise TypeError
            hints = list(arguments)
        else:
            hints = [arguments[0]] * len(value)
        return origin(
            convert(item, hint, f"{key}[{n}]")
            for n, (item, hint) in enumerate(zip(value, hints, strict=True))
        )
    if kind is float:
        return _as_float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise TypeError


def _as_float(value: Any) -> float:
    # YAML 1.1 reads 3e-4 as a string: it wants a dot.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    try:
        return float(value)
    except ValueError:
        raise TypeError from None


def field_hints(schema: type) -> dict[str, Any]:
    """The resolved types of the fields that the dataclass's constructor takes."""
    hints = get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema) if field.init}


def dataclass_in(hint: Any) -> type | None:
    """The dataclass that a hint such as `Settings | None` names, if any."""
    kinds = [option for option in _options(hint) if isinstance(option, type)]
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _name(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is type(None):
        return "null"
    if origin is Literal:
        return "one of " + ", ".join(repr(value) for value in arguments)
    if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        return f"a list (each {_name(arguments[0])})"
    if origin is tuple:
        return f"a list of {len(arguments)}"
    if dataclasses.is_dataclass(kind):
        return "a section (a mapping of keys to values)"
    return NAMES.get(kind, str(kind))
