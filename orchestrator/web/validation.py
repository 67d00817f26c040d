"""Read requests by the types of ``schemas.py``. Pure; every problem names the field and what it must be.

msgspec's own decoder is not used: it does not take 5.0 for 5, and its errors say less.
"""

import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, cast

from msgspec import Struct, inspect

from orchestrator.core.numbers import MAX_ID, MIN_ID, whole, whole_of_text
from orchestrator.web.http import bad_request

_Struct = TypeVar("_Struct", bound=Struct)

#: Azure reads these fields of a query string itself.
_AZURE_FIELDS = frozenset({"code", "clientid"})

#: Unknown names are shown up to this many characters.
_SHOWN_CHARACTERS = 40


def read_json(content: object, struct: type[_Struct]) -> _Struct:
    """Return a request's JSON as its type. :raises Problem: names the first field that is wrong."""
    return cast(_Struct, _read(content, _type_of(struct), "$"))


def read_query(fields: Mapping[str, list[str]], struct: type[_Struct]) -> _Struct:
    """Return a query string as its type.

    A field that is unknown is refused, because a mistyped condition would be passed over otherwise.

    :raises Problem: names the first field that is wrong, unknown, empty or repeated.
    """
    types = {each.encode_name: each.type for each in _type_of(struct).fields}
    for name in fields:
        if name not in types and name.lower() not in _AZURE_FIELDS:
            raise bad_request(f"there is no field {name[:_SHOWN_CHARACTERS]!r}; {_fields_are(types)}")
    given = {name: _from_text(fields[name], type_, name) for name, type_ in types.items() if name in fields}
    return struct(**given)


def _from_text(values: list[str], type_: inspect.Type, name: str) -> Any:
    plain = _plain(type_)
    if isinstance(plain, inspect.ListType):  # Azure joins a repeated field by commas
        return [_read(part, plain.item_type, name) for value in values for part in value.split(",")]
    if len(values) > 1:
        raise bad_request(f"`{name}` is given {_times(len(values))}")
    [value] = values
    if not value:
        raise bad_request(f"`{name}` is empty: give it a value, or leave it out")
    if isinstance(plain, inspect.BoolType):
        return _read({"true": True, "false": False}.get(value), type_, name)
    if isinstance(plain, inspect.IntType):
        return _number_of_text(value, name, **_bounds(plain))
    return _read(value, type_, name)


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"


def _number_of_text(value: str, path: str, *, least: int, most: int) -> int:
    try:
        return whole_of_text(value, least=least, most=most)
    except ValueError as error:
        raise bad_request(f"{path} {error}") from None


@functools.cache
def _type_of(struct: type[Struct]) -> inspect.StructType:
    return cast(inspect.StructType, inspect.type_info(struct))


def _plain(type_: inspect.Type) -> inspect.Type:
    return _plain(type_.type) if isinstance(type_, inspect.Metadata) else type_


def _read(value: Any, type_: inspect.Type, path: str) -> Any:
    reader = _READERS.get(type(type_))
    return value if reader is None else reader(value, type_, path)


def _metadata(value: Any, type_: inspect.Metadata, path: str) -> Any:
    found = _read(value, type_.type, path)
    name = (type_.extra_json_schema or {}).get("format", "")
    if name == "id":
        return _number_of_text(found, path, least=MIN_ID, most=MAX_ID)
    fits, wanted = _FORMATS.get(name, (None, ""))
    if fits is not None and not fits(found):
        raise bad_request(f"{path}: {found[:_SHOWN_CHARACTERS]!r} {wanted}")
    return found


def _object(value: Any, type_: inspect.StructType, path: str) -> Any:
    fields = {each.encode_name: each for each in type_.fields}
    if not isinstance(value, dict):
        raise bad_request(f"{path} is not an object")
    unknown = next((name for name in value if name not in fields), None)
    if unknown is not None and type_.forbid_unknown_fields:
        raise bad_request(f"{path} has no field {unknown[:_SHOWN_CHARACTERS]!r}; {_fields_are(fields)}")
    missing = next((name for name, each in fields.items() if each.required and name not in value), None)
    if missing is not None:
        raise bad_request(f"{path}.{missing} must be given")
    return type_.cls(
        **{
            each.name: _read(value[name], each.type, f"{path}.{name}")
            for name, each in fields.items()
            if name in value
        }
    )


def _fields_are(names: Mapping[str, object]) -> str:
    return f"the fields are {', '.join(names)}" if names else "there are no fields"


def _list(value: Any, type_: inspect.ListType, path: str) -> list[Any]:
    least, most = type_.min_length or 0, type_.max_length
    if not isinstance(value, list) or len(value) < least or (most is not None and len(value) > most):
        raise bad_request(f"{path} must be a list{_of_length(least, most)}")
    return [_read(each, type_.item_type, f"{path}[{index}]") for index, each in enumerate(value)]


def _of_length(least: int, most: int | None) -> str:
    if most is None:
        return f" with at least {least} value" if least else ""
    return f" of {least} to {most} values"


def _union(value: Any, type_: inspect.UnionType, path: str) -> Any:
    members = [each for each in type_.types if not isinstance(each, inspect.NoneType)]
    if value is None and len(members) < len(type_.types):
        return None
    fitting = next((each for each in members if isinstance(value, _PYTHON[type(_plain(each))])), None)
    if fitting is None and len(members) > 1:
        raise bad_request(f"{path} must be {' or '.join(_NAMES[type(_plain(each))] for each in members)}")
    return _read(value, fitting or members[0], path)


def _enum(value: Any, type_: inspect.EnumType, path: str) -> Enum:
    try:
        return type_.cls(value)
    except ValueError:
        raise bad_request(f"{path} must be one of {', '.join(each.value for each in type_.cls)}") from None


def _literal(value: Any, type_: inspect.LiteralType, path: str) -> Any:
    if value not in type_.values:
        raise bad_request(f"{path} must be one of {', '.join(map(str, type_.values))}")
    return value


def _whole(value: Any, type_: inspect.IntType, path: str) -> int:
    try:
        return whole(value, **_bounds(type_))
    except ValueError as error:
        raise bad_request(f"{path} {error}") from None


def _bounds(type_: inspect.IntType) -> dict[str, int]:
    """Return the least and the most: every number in a request has both."""
    return cast(dict[str, int], {"least": type_.ge, "most": type_.le})


def _flag(value: Any, _type: inspect.BoolType, path: str) -> bool:
    if not isinstance(value, bool):
        raise bad_request(f"{path} must be true or false")
    return value


def _text(value: Any, type_: inspect.StrType, path: str) -> str:
    least, most = type_.min_length or 0, type_.max_length
    if not isinstance(value, str) or len(value) < least or (most is not None and len(value) > most):
        raise bad_request(
            f"{path} must be a text{'' if most is None else f' of {least} to {most} characters'}"
        )
    return value


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_READERS: Mapping[type[inspect.Type], Callable[[Any, Any, str], Any]] = {
    inspect.Metadata: _metadata,
    inspect.StructType: _object,
    inspect.ListType: _list,
    inspect.UnionType: _union,
    inspect.EnumType: _enum,
    inspect.LiteralType: _literal,
    inspect.IntType: _whole,
    inspect.BoolType: _flag,
    inspect.StrType: _text,
}

_PYTHON: Mapping[type[inspect.Type], type | tuple[type, ...]] = {
    inspect.DictType: dict,
    inspect.StructType: dict,
    inspect.ListType: list,
    inspect.EnumType: str,
    inspect.StrType: str,
    inspect.IntType: (int, float),
    inspect.BoolType: bool,
}

_NAMES: Mapping[type[inspect.Type], str] = {
    inspect.DictType: "an object",
    inspect.ListType: "a list",
    inspect.EnumType: "a text",
    inspect.StrType: "a text",
    inspect.IntType: "a whole number",
}

#: By the name of the format: whether a text has it, and what to say if not.
_FORMATS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "printable": (str.isprintable, "has characters that are not printable"),
    "date-time": (_is_time, "is not a time; use 2026-01-31T04:00:00Z"),
}
