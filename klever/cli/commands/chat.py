"""`klever chat NAME`: chat with a language model."""

from __future__ import annotations

import argparse
import json
import readline  # noqa: F401 - `input` then edits lines and keeps a history
import sys
from collections.abc import Iterator
from typing import Any

from klever.cli.commands.client import connect
from klever.cli.commands.flags import add_server, add_wait
from klever.cli.commands.output import seconds
from klever.client.endpoint import Endpoint
from klever.errors import InvalidError, NotFoundError, UnavailableError

EXAMPLES = """  klever chat assistant
  klever chat assistant "What is an OCI artifact?"
  klever chat assistant --system "Answer in one sentence." < question.txt"""

_PATH = "/openai/v1/chat/completions"
_EVENT = "data: "
_END = "[DONE]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the Serving")
    parser.add_argument("message", nargs="?", metavar="MESSAGE", help="one message; without it, start a conversation")
    parser.add_argument("--system", default="", metavar="TEXT", help="instructions for the model")
    parser.add_argument("--temperature", type=float, metavar="NUMBER", help="0 for the most likely answer")
    parser.add_argument("--max-tokens", type=int, metavar="NUMBER", help="the most tokens of an answer")
    add_wait(parser)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    options = {"temperature": args.temperature, "max_tokens": args.max_tokens}
    api = connect(args)
    chat = Chat(
        Endpoint(api.settings, api.servings.get(args.name), {}, seconds(args.timeout)),
        args.system,
        {name: value for name, value in options.items() if value is not None},
    )
    try:
        for message in _messages(args):
            chat.say(message)
    except NotFoundError as error:
        advice = f"`klever predict {args.name} --example` shows what it answers"
        raise NotFoundError(f"serving {args.name} is not a language model: {advice}", reason=error.reason) from error
    return 0


def _messages(args: argparse.Namespace) -> Iterator[str]:
    if args.message or not sys.stdin.isatty():
        yield args.message or sys.stdin.read()
    else:
        yield from _typed()


def _typed() -> Iterator[str]:
    """Yield typed lines until Ctrl-D."""
    print("Ctrl-D ends the conversation.", file=sys.stderr)
    while True:
        try:
            message = input("> ")
        except EOFError:
            print()
            return
        if message.strip():
            yield message


class Chat:
    """A conversation. Each request contains all of it."""

    def __init__(self, model: Endpoint, system: str, options: dict[str, Any]) -> None:
        self._model = model
        self._options = options
        self._messages = [{"role": "system", "content": system}] if system else []

    def say(self, message: str) -> None:
        """Send a message and print the answer while it arrives. Ctrl-C ends the answer."""
        messages = [*self._messages, {"role": "user", "content": message}]
        body = json.dumps({"messages": messages, "stream": True, **self._options}).encode()
        answer: list[str] = []
        try:
            for text in _texts(self._model.lines(_PATH, body)):
                print(text, end="", flush=True)
                answer.append(text)
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
        print()
        self._messages = [*messages, {"role": "assistant", "content": "".join(answer)}]


def _texts(lines: Iterator[str]) -> Iterator[str]:
    """Yield the pieces of an answer. Source: server-sent events, as OpenAI's chat completions stream them."""
    for line in lines:
        if not line.startswith(_EVENT):
            continue
        event = line.removeprefix(_EVENT)
        if event == _END:
            return
        yield _text(event)


def _text(event: str) -> str:
    try:
        document = json.loads(event)
        if "error" in document:
            raise UnavailableError(str(document["error"].get("message", document["error"])))
        choices = document["choices"]
        return str(choices[0]["delta"].get("content") or "") if choices else ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(f"the Serving does not speak OpenAI's API; it answered: {event[:200]}") from error
