"""The operations' values as documents of the API: pydantic models that are made from the dataclasses.

So a field that is added there is answered here, with the words that describe it there.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
import types
from datetime import datetime
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from forthwith import job, operations

# What annotations of the operations name, some of it imported for type checkers alone.
_NAMES: dict[str, Any] = {**vars(job), **vars(operations), "datetime": datetime, "Any": Any}


class Document(BaseModel):
    """What all documents have in common: they are read off values."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


@cache
def document_of(cls: type) -> type[Document]:
    """Return the document of a dataclass: its fields and properties, and those of the values in it."""
    hints = get_type_hints(cls, vars(sys.modules[cls.__module__]), _NAMES)
    words = _words(cls)
    fields: dict[str, Any] = {
        field.name: (_documented(hints[field.name]), Field(description=words.get(field.name)))
        for field in dataclasses.fields(cls)
    }
    for name, getter in inspect.getmembers(cls, lambda member: isinstance(member, property)):
        returned = get_type_hints(getter.fget, None, _NAMES)["return"]
        fields[name] = (returned, Field(description=getter.__doc__))
    return create_model(cls.__name__, __base__=Document, __doc__=cls.__doc__, **fields)


def list_of(cls: type) -> Any:
    """Return the type of a list of a dataclass's documents."""
    return list[document_of(cls)]  # type: ignore[misc]  # made at run time


def _documented(hint: Any) -> Any:
    """Return an annotation with documents in place of dataclasses."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return document_of(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return Union[tuple(_documented(argument) for argument in get_args(hint))]  # noqa: UP007
    if get_origin(hint) is list:
        return list.__class_getitem__(tuple(map(_documented, get_args(hint))))
    return hint


def _words(cls: type) -> dict[str, str]:
    """Return the descriptions that follow a dataclass's fields in its source."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    words = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                words[name] = inspect.cleandoc(text)
    return words
