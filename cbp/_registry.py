"""Registries: the members of a family (activations, losses, optimizers) by name, each entered where it is defined."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from cbp.errors import unknown_name
from cbp.habits import understood

Member = TypeVar("Member", bound=Any)
"""An object or a class with a ``name`` and with ``aliases``, what other libraries call it."""


class Registry(dict[str, Member]):
    """A family's members in the order of their definition; ``family`` is what errors call one."""

    def __init__(self, family: str):
        super().__init__()
        self.family = family

    def add(self, member: Member) -> Member:
        """Enter a member; decorates a class."""
        self[member.name] = understood(member) if isinstance(member, type) else member
        return member

    def find(self, name: str) -> Member:
        """The member of this name; raises ValueError, which suggests another, where there is none."""
        if name not in self:
            aliases = {alias: member.name for member in self.values() for alias in member.aliases}
            raise unknown_name(self.family, name, self, aliases)
        return self[name]


def shown(specification: Any) -> str:
    """How a specification is written: with its fields but for those that are as usual.

    Examples
    --------
    >>> from cbp._registry import shown
    >>> shown(cbp.SGD(0.1, nesterov=True, momentum=0.9))
    'SGD(rate=0.1, momentum=0.9, nesterov=True)'
    """
    ordered = sorted(fields(specification), key=lambda field: bool(field.kw_only))
    values = ((field.name, getattr(specification, field.name)) for field in ordered
              if not field.kw_only or getattr(specification, field.name) != field.default)
    return f"{type(specification).__name__}({', '.join(f'{name}={value!r}' for name, value in values)})"
