"""Tables of what a config can name: one entry a file, and those of one's own.

An entry is a module of the table's package, under the module's name, or is added by a
file outside of this program (``--parts=FILE.py``, docs/parts.md). A config names it in
a group of its own: ``{"name": "unet", "channels": (64, 128)}``.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from diffusion_audio.errors import UserError, unknown
from diffusion_audio.settings import of_group

Part = TypeVar("Part")
Item = TypeVar("Item")


class Table(Generic[Item]):
    """Entries of one kind by their names.

    Args:
        kind: what they are, for messages, such as ``"denoiser"``.
        package: whose modules are entries.
        read: makes an entry of such a module.
    """

    def __init__(self, kind: str, package: str, read: Callable[[Any], Item]) -> None:
        self.kind = kind
        self._package, self._read = package, read
        self._added: dict[str, Item] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all entries."""
        path = importlib.import_module(self._package).__path__
        own = (module.name for module in pkgutil.iter_modules(path))
        return (*sorted(own), *self._added)

    def add(self, name: str, entry: Item) -> None:
        """Makes an entry of one's own known, in place of an earlier one of one's own.

        Raises:
            UserError: this program has an entry of that name.
        """
        if name in self.names and name not in self._added:
            raise UserError(
                f"{self.kind} {name!r} is this program's own; give yours another name"
            )
        self._added[name] = entry

    def __getitem__(self, name: str) -> Item:
        """The entry of a name; only its own module is imported.

        Raises:
            UserError: there is none.
        """
        if name in self._added:
            return self._added[name]
        if name not in self.names:
            error = unknown(self.kind, name, self.names)
            raise UserError(f"{error}; --parts=FILE.py adds one of your own")
        return self._read(importlib.import_module(f"{self._package}.{name}"))


class Entry(NamedTuple, Generic[Part]):
    """How a part is made; the entry of its table.

    Attributes:
        config: a frozen dataclass, its settings.
        build: makes the part of them.
    """

    config: type
    build: Callable[[Any], Part]


def of_module(module: Any) -> Entry[Any]:
    """The entry that the module of a part makes: ``Config`` and ``build``."""
    return Entry(module.Config, module.build)


def build(table: Table[Entry[Part]], values: Any, where: str) -> Part:
    """The part that a group of a config names.

    Args:
        table: of its kind.
        values: ``name`` and the settings of that entry.
        where: the group, for messages, such as ``"config.denoiser"``.

    Raises:
        UserError: no name, no such entry, or settings that it does not have or cannot
            take.
    """
    entry, cfg = configured(table, values, where)
    return entry.build(cfg)


def configured(
    table: Table[Entry[Part]], values: Any, where: str
) -> tuple[Entry[Part], Any]:
    """The entry that a group of a config names, and its settings; see `build`."""
    if not isinstance(values, Mapping) or "name" not in values:
        raise UserError(
            f"{where} names no {table.kind}: expected a group with a name (known: "
            f"{', '.join(table.names)}) and its settings"
        )
    entry = table[values["name"]]
    options = {key: value for key, value in values.items() if key != "name"}
    return entry, of_group(entry.config, options, where)
