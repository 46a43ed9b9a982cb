"""`klever edit KIND/NAME`."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import yaml

from klever.api.codec import to_object
from klever.api.documents import read_document
from klever.api.kinds import Object
from klever.cli.commands.client import Api, connect
from klever.cli.commands.documents import check_object
from klever.cli.commands.flags import add_server
from klever.cli.commands.previews import declared_part
from klever.cli.commands.resources import Resources
from klever.cli.commands.stored import StoredKind, refuse_deleting
from klever.cli.commands.targets import add_target, read_target
from klever.errors import ConflictError, FailedPreconditionError, InvalidError

EXAMPLES = """  klever edit serving/digits
  EDITOR="code --wait" klever edit serving digits"""

_ATTEMPTS: Final = 20
"""How often a change is tried again that another write of the object overtook, such as one of its status."""
_HEADER: Final = "# Save to change the object, or save it unchanged to leave it as it is."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "serving or modeljob")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    kind, name = read_target(args)
    stored = Resources(args.kinds).stored(kind, "Update", "editing")
    api = connect(args)
    current = stored.get(api, api.namespace, name)
    refuse_deleting(f"{stored.singular} {name}", current)
    changed = _edit(api, stored, name, declared_part(to_object(current)))
    print(f"{stored.singular} {name} {'configured' if changed else 'unchanged'}")
    return 0


def _edit(api: Api, stored: StoredKind, name: str, shown: Object) -> bool:
    """Let the user edit an object until it is valid or unchanged. Return whether it changed."""
    descriptor, file = tempfile.mkstemp(prefix=f"{stored.singular}-{name}-", suffix=".yaml")
    os.close(descriptor)
    path = Path(file)
    before, problem = _text(shown), ""
    while True:
        path.write_text("\n".join([_HEADER, *(f"# {line}" for line in problem.splitlines()), before]), encoding="utf-8")
        try:
            _open(path)
        except FailedPreconditionError:
            if not problem:
                path.unlink()
            raise
        edited = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#")
        if edited.strip() == before.strip():
            return _left(path, problem)
        try:
            _update(api, stored, name, shown, edited.encode())
        except InvalidError as error:
            before, problem = edited, str(error)
        except ConflictError as error:
            error.message = f"{error.message}; your change is kept in {path}"
            raise
        else:
            path.unlink()
            return True


def _left(path: Path, problem: str) -> bool:
    """Report that nothing changed. Raise `InvalidError` if the previous edit was invalid."""
    if problem:
        raise InvalidError(f"{problem}; your change is kept in {path}")
    path.unlink()
    return False


def _open(path: Path) -> None:
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    try:
        code = subprocess.run([*editor, str(path)], check=False).returncode
    except OSError as error:
        raise FailedPreconditionError(f"cannot run the editor {editor[0]}: {error.strerror}; set EDITOR") from error
    if code:
        raise FailedPreconditionError(f"the editor {editor[0]} ended with exit code {code}; nothing was changed")


def _update(api: Api, stored: StoredKind, name: str, shown: Object, edited: bytes) -> None:
    """Write an edited object. Raise `ConflictError` if it has changed since it was shown."""
    _, message = check_object(read_document(edited, "the edited object"), [stored])
    if (message.metadata.name, message.metadata.namespace or api.namespace) != (name, api.namespace):
        raise InvalidError("metadata.name and metadata.namespace cannot be changed")
    for _ in range(_ATTEMPTS):
        current = stored.get(api, api.namespace, name)
        if declared_part(to_object(current)) != shown:
            break
        message.metadata.resource_version = current.metadata.resource_version
        try:
            stored.objects(api).update(message)
        except ConflictError:
            continue
        return
    raise ConflictError(f"{stored.singular} {name} was changed by somebody else meanwhile: edit it again")


def _text(obj: Object) -> str:
    return yaml.safe_dump(obj, sort_keys=False, allow_unicode=True)
