"""YAML file + `key.sub=value` overrides -> nested dataclasses, strictly, and back."""

import dataclasses
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pipelines.command_line import UserError
from pipelines.configuration.conversion import build, dataclass_in, field_hints
from pipelines.training.storage import replace_file

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]


def load_configuration(path: str | Path, overrides: list[str], schema: type[T]) -> T:
    """Reads `path`, applies `overrides` and builds the dataclass `schema`.

    Args:
        path: a YAML file, relative to the working folder; else to the repository or its `configs/`.
        overrides: `key.sub=value`, values parsed as YAML; later ones win.
        schema: a dataclass; its fields may be dataclasses, optional, int, float, str, bool,
            Literal, and tuples or lists of these.

    Raises:
        UserError: the file is missing or not a YAML mapping, a key is unknown, missing or given
            twice, a value has the wrong type, or a dataclass refuses it.
    """
    file, values = _read(path, overrides)
    _refuse_unknown_keys(values, schema, file)
    try:
        return build(schema, values)
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error


def schema_of(path: str | Path, overrides: list[str], schemas: Sequence[type]) -> type:
    """The one of the schemas that knows the most of a configuration's keys, of equals the first.

    Raises:
        UserError: the file is missing or not a YAML mapping, or an override is no `key=value`.
    """
    _, values = _read(path, overrides)

    def known(schema: type) -> int:
        return len({*_dotted_values(values, schema)} & {*_dotted_keys(schema)})

    return max(schemas, key=known)


def dump_configuration(config: Any, path: str | Path) -> None:
    """Writes the dataclass as YAML that `load_configuration` reads back; never half a file."""
    text = yaml.safe_dump(as_plain_values(config), sort_keys=False, allow_unicode=True)
    replace_file(Path(path), lambda file: file.write_text(text, encoding="utf-8"))


def as_plain_values(config: Any) -> dict[str, Any]:
    """The dataclass as what `read_yaml` reads of its file."""
    return _plain(dataclasses.asdict(config))


def find_configuration(path: str | Path) -> Path:
    """The YAML file that `path` means (see `load_configuration`)."""
    for candidate in (Path(path), REPOSITORY / path, REPOSITORY / "configs" / path):
        if candidate.is_file():
            return candidate
    known = (REPOSITORY / "configs").glob("*/*.yaml")
    names = [file.relative_to(REPOSITORY).as_posix() for file in known]
    hint = f"; the nearest one there is {nearest(str(path), names)}" if names else ""
    raise UserError(f"configuration {path} does not exist{hint}.")


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; anything else is a UserError."""
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), Loader=_NoDuplicates)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{file} must be a mapping of keys to values, not {values!r}.")
    return values


class _NoDuplicates(yaml.SafeLoader):
    """Plain YAML lets the later of two equal keys win, silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise yaml.YAMLError(f"key {key!r} is given twice (line {mark.line + 1})")
        return super().construct_mapping(node, deep)


def _read(path: str | Path, overrides: list[str]) -> tuple[Path, dict[str, Any]]:
    """The file that is meant, and its values with the overrides."""
    file = find_configuration(path)
    values = read_yaml(file)
    for override in overrides:
        _apply_override(values, override)
    return file, values


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *sections, last = key.split(".")
    if not equals or not all([*sections, last]):
        raise UserError(f"override {override!r} must look like key=value or section.key=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"the value of override {override!r} is not valid YAML.") from error
    for section in sections:
        # A section that is absent or switched off (null) is opened with its defaults.
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise UserError(f"override {override!r} reaches into {section!r}, which is a value.")
    values[last] = value


def _refuse_unknown_keys(values: dict[str, Any], schema: type, file: Path) -> None:
    known = _dotted_keys(schema)
    for key in _dotted_values(values, schema):
        if key not in known:
            raise UserError(
                f"{file}: unknown key {key!r}; the nearest known one is {nearest(key, known)!r}."
            )


def nearest(name: str, known: list[str]) -> str:
    """The known dotted name most like `name`, the last part counting twice."""

    def likeness(candidate: str) -> float:
        last = SequenceMatcher(None, name.split(".")[-1], candidate.split(".")[-1]).ratio()
        return last + SequenceMatcher(None, name, candidate).ratio()

    return max(known, key=likeness)


def _dotted_keys(schema: type, prefix: str = "") -> list[str]:
    keys = []
    for name, hint in field_hints(schema).items():
        keys.append(prefix + name)
        if (inner := dataclass_in(hint)) is not None:
            keys += _dotted_keys(inner, f"{prefix}{name}.")
    return keys


def _dotted_values(values: dict[Any, Any], schema: type, prefix: str = "") -> list[str]:
    hints = field_hints(schema)
    keys = []
    for name, value in values.items():
        keys.append(f"{prefix}{name}")
        inner = dataclass_in(hints.get(name))
        if inner is not None and isinstance(value, dict):
            keys += _dotted_values(value, inner, f"{prefix}{name}.")
    return keys


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML writes without a tag."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
