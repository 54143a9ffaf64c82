"""Published folders and our pipelines of them, made once for a file of tests."""

import functools

import pytest

from tests.parity.whole_ours import Ours
from tests.published.folders import make


@pytest.fixture(scope="module")
def one_thread():
    """Networks this small are slower on several."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``folder(kind, **changes)``: see `tests.published.folders.make`."""
    root, made = tmp_path_factory.mktemp("published"), []

    def of(kind, **changes):
        for asked, place in made:
            if asked == (kind, changes):
                return place
        place = make(kind, root / str(len(made)), **changes)
        made.append(((kind, changes), place))
        return place

    return of


@pytest.fixture(scope="module")
def ours():
    """``ours(folder, preset)``, whose programs are compiled once."""
    return functools.cache(Ours)
