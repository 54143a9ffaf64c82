"""Reads the data in a pickle and runs nothing of it.

A pickle is a program for a small stack machine whose opcodes can import and call
anything. This machine knows only the opcodes that make data. What a pickle names
(`GLOBAL`) stays a name, and what it calls (`REDUCE`) must be in a list of pure
constructors that the caller gives; everything else is refused.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from diffusion_audio.errors import UserError

MOST_OPCODES = 1 << 22
NOTHING_READ = (ValueError, IndexError, KeyError, TypeError, AttributeError)

Constructors = Mapping[str, Callable[..., Any]]


class Name(NamedTuple):
    """Something that a pickle names: never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def load(
    stream: BinaryIO,
    constructors: Constructors,
    names: frozenset[str],
    persistent: Callable[[Any], Any],
) -> Any:
    """The value of the pickle at the start of a stream; reads no further.

    Args:
        stream: at the first byte of a pickle.
        constructors: dotted name -> pure function that stands for it.
        names: dotted names that may appear as data, and are not called.
        persistent: makes the value of a persistent id.

    Raises:
        UserError: the pickle is damaged, or holds something that is no data.
    """
    try:
        return _Machine(constructors, names, persistent).run(stream)
    except UserError:
        raise
    except NOTHING_READ as error:
        raise UserError("its pickle is damaged or cut off") from error


class _Machine:
    def __init__(
        self,
        constructors: Constructors,
        names: frozenset[str],
        persistent: Callable[[Any], Any],
    ) -> None:
        self.constructors, self.names = constructors, names
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MOST_OPCODES:
                raise UserError(f"its pickle is of more than {MOST_OPCODES} opcodes")
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _CONSTANTS:
                self.stack.append(argument)
            elif name in _VALUES:
                self.stack.append(_VALUES[name]())
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise UserError(f"its pickle asks for {name}, which no weights need")
        raise UserError("its pickle is cut off")

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def last(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        if len(items) < count:
            raise IndexError("stack")
        del self.stack[-count:]
        return items

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def named(self, argument: str) -> None:
        self.name(*argument.split(" ", 1))

    def stack_named(self, _: Any) -> None:
        self.name(*self.last(2))

    def name(self, module: str, name: str) -> None:
        found = Name(module, name)
        if str(found) not in self.constructors and str(found) not in self.names:
            raise UserError(
                f"its pickle names {str(found)[:80]!r}, which is no part of weights; "
                "nothing of it was run"
            )
        self.stack.append(found)

    def call(self, _: Any) -> None:
        function, arguments = self.last(2)
        if not isinstance(function, Name) or str(function) not in self.constructors:
            raise UserError("its pickle calls what is no constructor of tensors")
        self.stack.append(self.constructors[str(function)](*arguments))

    def build(self, _: Any) -> None:
        target, _ = self.last(2)
        # What a state dict carries beside its items is its versions: no use here.
        if not isinstance(target, dict):
            raise UserError("its pickle sets the state of what is no dictionary")
        self.stack.append(target)

    def persist(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))

    def make_tuple(self, size: int) -> None:
        self.stack.append(tuple(self.last(size) if size else self.since_mark()))

    def make_list(self, _: Any) -> None:
        self.stack.append(self.since_mark())

    def make_dict(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("append")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise TypeError("set")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))


_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_VALUES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.stack_named,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persist,
    "TUPLE": lambda machine, _: machine.make_tuple(0),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
}
