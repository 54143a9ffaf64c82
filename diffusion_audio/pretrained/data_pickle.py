"""Reads the data in a pickle and runs nothing of it.

A pickle is a program for a small stack machine whose opcodes can import and call
anything. This machine knows only the opcodes that make data. What a pickle names
(`GLOBAL`) stays a name and is never imported; what it calls (`REDUCE`) must be in a
list of pure constructors that the caller gives, or the file is refused. An instance of
any other class (`NEWOBJ`), such as the options that a training run keeps beside its
weights, becomes an `Opaque` record: its class's name and, if it is a kind of
dictionary, its items; attributes are dropped.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

from diffusion_audio.errors import UserError

MOST_OPCODES = 1 << 22
# Protocols before 3, PyTorch's among them, call these modules as Python 2 did.
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
NOTHING_READ = (ValueError, IndexError, KeyError, TypeError, AttributeError)

Constructors = Mapping[str, Callable[..., Any]]


class Name(NamedTuple):
    """Something that a pickle names: never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False)
class Opaque:
    """An object of a class that this reader does not know.

    Attributes:
        kind: its class.
        items: what it has as a kind of dictionary; its attributes are dropped.
    """

    kind: Name
    items: dict[Any, Any] = dataclasses.field(default_factory=dict)


@runtime_checkable
class Stateful(Protocol):
    """A value that a constructor made and whose state a pickle may set, once made."""

    def set_state(self, state: Any) -> None:
        """Takes the state that pickle's BUILD gives."""


def load(
    stream: BinaryIO, constructors: Constructors, persistent: Callable[[Any], Any]
) -> Any:
    """The value of the pickle at the start of a stream; reads no further.

    Args:
        stream: at the first byte of a pickle.
        constructors: dotted name -> pure function that stands for it.
        persistent: makes the value of a persistent id.

    Raises:
        UserError: the pickle is damaged, or holds something that is no data.
    """
    try:
        return _Machine(constructors, persistent).run(stream)
    except UserError:
        raise
    except NOTHING_READ as error:
        raise UserError("its pickle is damaged or cut off") from error


class _Machine:
    def __init__(
        self, constructors: Constructors, persistent: Callable[[Any], Any]
    ) -> None:
        self.constructors, self.persistent = constructors, persistent
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
        self.stack.append(Name(RENAMED.get(module, module), name))

    def call(self, _: Any) -> None:
        function, arguments = self.last(2)
        if not isinstance(function, Name):
            raise UserError("its pickle calls what is no constructor of tensors")
        if str(function) not in self.constructors:
            raise UserError(
                f"its pickle names {str(function)[:80]!r} and calls it, which is no "
                "part of weights; nothing of it was run"
            )
        self.stack.append(self.constructors[str(function)](*arguments))

    def instance(self, parts: int) -> None:
        kind, *arguments = self.last(parts)
        if not isinstance(kind, Name):
            raise UserError("its pickle makes an instance of what is no class")
        make = self.constructors.get(str(kind))
        self.stack.append(make(*arguments[0]) if make else Opaque(kind))

    def build(self, _: Any) -> None:
        target, state = self.last(2)
        if isinstance(target, Stateful):
            target.set_state(state)
        # What a state dict carries beside its items is its versions: no use here.
        elif not isinstance(target, dict | Opaque):
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
        if isinstance(self.stack[-1], Opaque):
            return
        if not isinstance(self.stack[-1], list):
            raise TypeError("append")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Opaque):
            target = target.items
        if not isinstance(target, dict):
            raise TypeError("set")
        target.update(zip(items[::2], items[1::2], strict=True))


_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_VALUES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,  # the order of a set says nothing, and a list hashes nothing
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
    "NEWOBJ": lambda machine, _: machine.instance(2),
    "NEWOBJ_EX": lambda machine, _: machine.instance(3),
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persist,
    "TUPLE": lambda machine, _: machine.make_tuple(0),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "FROZENSET": lambda machine, _: machine.make_tuple(0),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
}
