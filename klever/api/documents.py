"""Reads YAML files from users. A duplicate key is an error, so that no value is lost.

As in Kubernetes, a value that looks like a date or a time is text, and so is every key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import yaml

from klever.errors import FieldViolation, InvalidError

__all__ = ["read_document", "read_documents"]

_MAX_DEPTH: Final = 200
"""The C parser has no limit, and would overflow the stack."""


_MOST_DIGITS: Final = 400
"""Python takes quadratic time for longer numbers, and for numbers of base 60 such as `1:30`: 1 MB took minutes."""

_TEXT: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "tag:yaml.org,2002:merge"
_INTEGER: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


_NUMBERS: Final = {tag: _Loader.yaml_constructors[tag] for tag in (_INTEGER, _FLOAT)}


def _number(loader: Any, node: yaml.ScalarNode) -> Any:
    """Return a number. One with colons, or with more digits than a number needs, is text."""
    if ":" in node.value or len(node.value) > _MOST_DIGITS:
        return loader.construct_scalar(node)
    return _NUMBERS[node.tag](loader, node)


_Loader.add_constructor(_INTEGER, _number)
_Loader.add_constructor(_FLOAT, _number)


class _TextLoader(yaml.CBaseLoader):
    """Reads every scalar as text."""


def read_documents(content: bytes, what: str, *, aliases: bool = True) -> Iterator[tuple[str, Any]]:
    """Yield each non-empty document with its position: `what`, or `what[INDEX]` if there are several.

    Without `aliases`, an alias is an error: a few lines of them can expand to gigabytes. Raises `InvalidError` for
    invalid UTF-8 or YAML, and for a duplicate key, with its path.
    """
    nodes = _compose(content, what, _Loader, aliases=aliases)
    for index, (loader, node) in enumerate(nodes):
        where = f"{what}[{index}]" if len(nodes) > 1 else what
        document = _construct(loader, node, where)
        if document is not None:
            yield where, document


def read_document(content: bytes, what: str, *, text: bool = False, aliases: bool = True) -> Any:
    """Return the only document, None if it is empty. With `text`, all scalars are text. `aliases` and the
    errors are those of `read_documents`.
    """
    nodes = _compose(content, what, _TextLoader if text else _Loader, aliases=aliases)
    if len(nodes) > 1:
        raise InvalidError(f"{what} must have one document, not {len(nodes)}")
    return _construct(*nodes[0], what) if nodes else None


def _compose(
    content: bytes, what: str, kind: type[_Loader | _TextLoader], *, aliases: bool = True
) -> list[tuple[Any, Any]]:
    try:
        source = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{what} must be UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from error
    try:
        _check_events(source, what, kind, aliases=aliases)
        loader = kind(source)
        nodes: list[tuple[Any, Any]] = []
        while loader.check_node():
            nodes.append((loader, loader.get_node()))
    except yaml.YAMLError as error:
        raise InvalidError(f"{what} is not valid YAML: {error}") from error
    return nodes


def _check_events(source: str, what: str, kind: type[_Loader | _TextLoader], *, aliases: bool) -> None:
    depth = 0
    for event in yaml.parse(source, Loader=kind):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise InvalidError(f"{what} must be nested at most {_MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent) and not aliases:
            raise InvalidError(
                f"{what} has the alias *{event.anchor}, but aliases are not allowed: write the value out"
            )


def _construct(loader: Any, node: yaml.Node, where: str) -> Any:
    twice = _read_keys(node)
    if twice:
        raise InvalidError(violations=(FieldViolation(f"{where}: {twice}", "duplicate key: remove one of the two"),))
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidError(f"{where} is not valid YAML: {error}") from error


def _read_keys(root: yaml.Node) -> str:
    """Turn every key into text. Return the path of the first duplicate key; empty if there is none."""
    waiting = deque([(root, "")])
    seen = set()
    while waiting:
        node, path = waiting.popleft()
        if id(node) in seen:
            continue  # visited, through an alias
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend((item, f"{path}[{index}]") for index, item in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                where = f"{path}.{key.value}" if path else str(key.value)
                if isinstance(key, yaml.ScalarNode):
                    key.tag = key.tag if key.tag == _MERGE else _TEXT
                    if (key.tag, key.value) in keys:
                        return where
                    keys.add((key.tag, key.value))
                waiting.append((value, where))
    return ""
