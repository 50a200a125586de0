"""Python source that is made for a schema, compiled once, and can tell in which field it failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from types import CodeType
from typing import Any

_numbers = count(1)


class Source:
    """Collects lines of functions. What a schema names enters only as ``repr`` of a string or as a constant."""

    def __init__(self, title: str) -> None:
        self.file = f"<avro {next(_numbers)}: {title}>"
        self.namespace: dict[str, Any] = {}
        self._lines: list[str] = []
        self._labels: list[str] = []
        self.label = ""

    def add(self, depth: int, text: str) -> None:
        """Adds a line that belongs to the field that ``label`` names."""
        self._lines.append("    " * depth + text)
        self._labels.append(self.label)

    def constant(self, value: Any, hint: str = "c") -> str:
        """A name under which the functions find ``value``."""
        name = f"{hint}_{len(self.namespace)}"
        self.namespace[name] = value
        return name

    @property
    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def compile(self) -> CodeType:
        return compile(self.text, self.file, "exec")

    def path(self, error: BaseException) -> str:
        """The field in which ``error`` was raised, from the line numbers of its traceback; "" outside any field."""
        labels = []
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file:
                labels.append(self._labels[trace.tb_lineno - 1])
            trace = trace.tb_next
        path = ".".join(label for label in labels if label).replace(".[]", "[]")
        return path if len(path) <= 200 else f"{path[:100]} … {path[-90:]}"


def function_of(code: CodeType, namespace: Mapping[str, Any], entry: str) -> Callable[..., Any]:
    """The function called ``entry`` of compiled source, with ``namespace`` as its own globals."""
    functions = dict(namespace)
    exec(code, functions)  # noqa: S102 - the text is made by this package, see Source
    found: Callable[..., Any] = functions[entry]
    return found
