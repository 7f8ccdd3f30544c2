"""The tools of a toolset, by the names under which models call them."""

from collections.abc import Iterator

from sandbox.errors import BadCall
from sandbox.providers.envelope import Declaration, ToolCall
from sandbox.tools.context import Context
from sandbox.tools.tool import Tool

__all__ = ["Catalogue"]


class Catalogue:
    """Tools by name. Two never share one, in whichever way a provider writes it."""

    def __init__(self) -> None:
        """Start empty."""
        self._tools: dict[str, Tool] = {}

    def __iter__(self) -> Iterator[Tool]:
        """Give the tools in the order in which they were added."""
        return iter(self._tools.values())

    def __len__(self) -> int:
        """Give their number."""
        return len(self._tools)

    def add(self, *tools: Tool) -> None:
        """Add all of them, or none. Raises BadCall when two would have one name."""
        names = [*self._tools, *(tool.name for tool in tools)]
        for tool in tools:
            if names.count(tool.name) > 1:
                message = f"there are two tools {tool.name!r}: give one of them name= or namespace="
                raise BadCall(message)
        self._tools |= {tool.name: tool for tool in tools}

    def find(self, call: ToolCall) -> Tool | None:
        """Give the tool that a call names, None if there is none."""
        tool = self._tools.get(call.name)
        if not call.namespace:
            return tool
        joined = f"{call.namespace}__{call.name}"
        return self._tools.get(joined)

    def declarations(self, context: Context | None) -> list[Declaration]:
        """Give what a model is told: of the tools that a caller can use, if one is given."""
        return [
            tool.declaration
            for tool in self
            if (tool.is_usable(context) if context else tool.enabled is not False)
        ]

    def names(self, context: Context) -> list[str]:
        """Give the names of the tools that a caller can use."""
        return [tool.name for tool in self if tool.is_usable(context)]
