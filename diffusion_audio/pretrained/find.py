"""Finds a model's arrays among all that a file of weights holds.

People save a generator as it is, or under a key, wrapped (``module.`` of DataParallel,
``_orig_mod.`` of torch.compile, ``model.``), several keys deep in a Lightning file,
beside its moving average, its discriminators and their optimisers. Where it lies is
found by what fits and not by what it is called: every place under which a name that the
model has is found is a group, and a group is the model when it fills each leaf in its
shape and has nothing to spare.

Where two groups fit and differ, a moving average (``ema``, ``swa``, ``shadow`` in its
name) goes before the weights that it averages, as everyone does who generates with
such a file; between others nobody can choose but the user.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from diffusion_audio.errors import UserError, unknown
from diffusion_audio.pretrained.rules import Arrays, listed

T = TypeVar("T")

TOP = "."  # the name of the group that lies under no key
ANY, ALL = 3, 8  # names of an error, and of what was left

AVERAGE = re.compile(
    r"(?<![a-z])(ema|swa|shadow|averaged?|avg|moving_average|polyak)(?![a-z])",
    re.IGNORECASE,
)
CAMEL_AVERAGE = re.compile(r"(?<=[a-z])(EMA|Ema|SWA|Avg)(?![a-z])|^ema(?=[A-Z])")
# Copies that optimisers keep of every weight: in its shape, and no weights.
MOMENT = re.compile(
    r"(exp_avg|exp_avg_sq|max_exp_avg_sq|exp_inf|momentum|momentum_buffer|square_avg"
    r"|mu|nu|grads?|gradients?|acc_grads?|sum)",
    re.IGNORECASE,
)
OPTIMISER = re.compile(
    r"(opt|optims?|optimi[sz]ers?|sched|schedulers?|lr_schedulers?|(grad_)?scaler|amp)"
    r"(_\w+)?|\w+_(opt|optim|optimi[sz]er|sched|scheduler)(_states?)?",
    re.IGNORECASE,
)
# What else may stand at the same level as a model's own arrays, and is none; AudioLDM's
# autoencoder holds its vocoder.
BESIDE = re.compile(
    r"(global_|num_|current_|best_|last_|n_)?(steps?|epochs?|iter|iters|iterations?"
    r"|updates|averaged|loss(es)?|score|metric)|decay|initted"
    r"|lr|learning_rate|seed|rng|rng_states?|random_states?|hyper_parameters|hparams"
    r"|config|cfg|args|callbacks|loops|version|mpd|msd|mrd|discriminators?|vocoder",
    re.IGNORECASE,
)


class Found(NamedTuple, Generic[T]):
    """A model in a file.

    Attributes:
        model: what ``fit`` made of its arrays.
        taken: which group that was, of how many arrays, for the user to read.
        left: the groups and values that were left.
        others: keys of groups that fit as well and differ.
    """

    model: T
    taken: str
    left: tuple[str, ...]
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = f"took {self.taken}"
        if self.left:
            more = len(self.left) - ALL
            said += f", left {', '.join(map(_shown, self.left[:ALL]))}"
            said += f" and {more} more" if more > 0 else ""
        for key in self.others:
            said += f"; --take={_escaped(key)} takes that instead"
        return said


class _Group(NamedTuple, Generic[T]):
    key: str
    names: Arrays
    model: T


def find(
    source: Mapping[str, np.ndarray],
    expected: frozenset[str],
    fit: Callable[[Arrays, str], T],
    whose: str,
    take: str | None = None,
    remedy: str = "say which with --take=KEY",
) -> Found[T]:
    """The one group of a file's arrays that is the model.

    Args:
        source: all arrays of the file, by dotted name, in the spelling of ``expected``.
        expected: names that arrays of the model have.
        fit: makes the model of a group's arrays, said whose, or raises `UserError`.
        whose: what the file is, for errors.
        take: key of the group to take, or a key that it alone lies under; ``"."`` is
            what lies under no key.
        remedy: what a user can do where several fit.

    Raises:
        UserError: none fits, with what the nearest lacks; several do, with their keys.
    """
    found = _dots_restored(source, expected)
    hits = Counter(key for name in found for key in _keys(name, expected))
    if not hits:
        raise UserError(
            f"{whose} has {listed(found, ANY) or 'no arrays'}; expected names such as "
            f"{listed(sorted(expected), ANY)}: are these weights of another model?"
        )
    # Half of the most, for weight norm has three arrays where plain weights have two:
    # what has less of the model's names is no copy of it but a part of something.
    most = max(hits.values())
    keys = sorted(
        (key for key, count in hits.items() if 2 * count >= most),
        key=lambda key: (-hits[key], key),
    )
    wanted = keys if take is None else _under(take, keys, whose)
    fitting: list[_Group[T]] = []
    refusals = []
    for key in wanted:
        names = _group(found, key, keys, expected)
        where = whose if key == TOP else f"{whose} ({_shown(key)} in it)"
        try:
            fitting.append(_Group(key, names, fit(names, where)))
        except UserError as error:
            refusals.append(error)
    if not fitting:
        raise refusals[0]
    chosen, others = _choose(fitting, whose, remedy)
    whole = chosen.key == TOP and len(chosen.names) == len(found)
    taken = f"{'all' if whole else _shown(chosen.key)} ({len(chosen.names)} arrays)"
    keys = [other.key for other in others]
    return Found(chosen.model, taken, tuple(_left(found, chosen)), tuple(keys))


def _dots_restored(
    source: Mapping[str, np.ndarray], expected: frozenset[str]
) -> Arrays:
    """Latent diffusion's LitEma keeps names without their dots: puts them back."""
    dotless = {name.replace(".", ""): name for name in expected}
    found = {}
    for name, array in source.items():
        head, dot, tail = name.rpartition(".")
        found[f"{head}{dot}{dotless.get(tail, tail)}"] = array
    return found


def _keys(name: str, expected: frozenset[str]) -> Iterable[str]:
    """Under which key a name would be one of those expected; a few, or none."""
    parts = name.split(".")
    for i in range(len(parts)):
        if ".".join(parts[i:]) in expected:
            above = parts[:i]
            if not any(MOMENT.fullmatch(p) or OPTIMISER.fullmatch(p) for p in above):
                yield ".".join(above) or TOP


def _group(
    source: Arrays, key: str, keys: Iterable[str], expected: frozenset[str]
) -> Arrays:
    """What lies under a key, but for groups deeper in it and what is of no model."""
    start = "" if key == TOP else f"{key}."
    deeper = tuple(f"{k}." for k in keys if k not in (key, TOP) and k.startswith(start))
    own = {name.partition(".")[0] for name in expected}

    def belongs(name: str) -> bool:
        first = name.partition(".")[0]
        beside = OPTIMISER.fullmatch(first) or BESIDE.fullmatch(first)
        return first in own or not beside

    return {
        name[len(start) :]: array
        for name, array in source.items()
        if name.startswith(start)
        and not name.startswith(deeper)
        and belongs(name[len(start) :])
    }


def _under(take: str, keys: list[str], whose: str) -> list[str]:
    if take in keys:
        return [take]
    inside = [key for key in keys if key.startswith(f"{take}.")]
    if not inside:
        raise unknown(f"group of weights in {whose}", take, map(_escaped, keys[:ALL]))
    return inside


def _choose(
    groups: list[_Group[T]], whose: str, remedy: str
) -> tuple[_Group[T], list[_Group[T]]]:
    """The group to take, and those that differ from it."""
    different: list[_Group[T]] = []
    for group in groups:
        if not any(_same(group.names, other.names) for other in different):
            different.append(group)
    common = _common([group.key.split(".") for group in different])
    averages = [
        group
        for group in different
        if _is_average(".".join(group.key.split(".")[common:]))
    ]
    if len(different) > 1 and len(averages) != 1:
        raise UserError(
            f"{whose} has {len(different)} of this model that differ, "
            f"{', '.join(_shown(group.key) for group in different[:ALL])}; {remedy}"
        )
    chosen = (averages or different)[0]
    return chosen, [group for group in different if group is not chosen]


def _common(ways: list[list[str]]) -> int:
    """How many keys all ways begin with: they tell none from another."""
    levels = zip(*ways, strict=False)
    return sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))


def _is_average(key: str) -> bool:
    return bool(AVERAGE.search(key) or CAMEL_AVERAGE.search(key))


def _same(mine: Arrays, theirs: Arrays) -> bool:
    return mine.keys() == theirs.keys() and all(
        np.array_equal(array, theirs[name]) for name, array in mine.items()
    )


def _left(source: Arrays, chosen: _Group[T]) -> list[str]:
    """What was not taken, each named by the least that tells it from the chosen."""
    way = [] if chosen.key == TOP else chosen.key.split(".")
    taken = {".".join([*way, name]) for name in chosen.names}
    left: dict[str, None] = {}
    for name in source:
        if name not in taken:
            parts = name.split(".")
            same = 0
            while same < min(len(way), len(parts) - 1) and parts[same] == way[same]:
                same += 1
            left[".".join(parts[: same + 1])] = None
    return list(left)


def _shown(key: str) -> str:
    return "what is under no key" if key == TOP else f"'{_escaped(key)}'"


def _escaped(key: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in key)[:80]
