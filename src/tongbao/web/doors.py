"""Doors to groups of commands: a group is loaded when it is entered, not when the program starts.

The list of all groups costs no imports, so that help is printed and small commands run at once.
"""

import gc
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


class Door(TyperCommand):
    """A group (or one command) known by name, place and one line of help until somebody enters.

    ``place`` is ``module:attribute``; the attribute is a ``typer.Typer`` or a function that is one command.
    """

    def __init__(self, name: str, place: str, line: str) -> None:
        super().__init__(name=name, callback=None, help=line)
        self._place = place

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of what stands behind the door, which runs from there on."""
        return self._behind().make_context(info_name, args, parent=parent, **extra)

    def _behind(self) -> Any:
        module, _, attribute = self._place.partition(":")
        found = getattr(load(module), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        single = typer.Typer(add_completion=False)
        single.command(self.name)(found)
        return typer.main.get_command(single)


class Doors(TyperGroup):
    """A group of commands that are doors; a subclass names them."""

    doors: ClassVar[Mapping[str, Door]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all doors."""
        return [*super().list_commands(ctx), *self.doors]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a door by its name, None where there is none."""
        return self.doors.get(cmd_name) or super().get_command(ctx, cmd_name)


def load(module: str) -> Any:
    """Return a module, and look for no garbage meanwhile: modules live as long as the program.

    Looking is a sixth of loading them.
    """
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()
