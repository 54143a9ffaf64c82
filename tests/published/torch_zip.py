"""Files as ``torch.save`` writes them, of plain arrays, without PyTorch."""

import struct
import zipfile

import numpy as np

STORAGES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int"}


def save(path, arrays, wrap=()):
    """Writes arrays by name, as a state dict under the keys of ``wrap``."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    pickled = [b"\x80\x02"]
    for key in wrap:
        pickled += [b"}", _text(key)]
    pickled += [b"}("]
    for number, (name, array) in enumerate(arrays.items()):
        pickled += [_text(name), _tensor(str(number), array)]
    pickled += [b"u", b"s" * len(wrap), b"."]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", b"".join(pickled))
        file.writestr("archive/byteorder", "little")
        for number, array in enumerate(arrays.values()):
            content = np.ascontiguousarray(array, _kind(array)).tobytes()
            file.writestr(f"archive/data/{number}", content)
        file.writestr("archive/version", "3\n")


def _kind(array):
    return f"<{array.dtype.kind}{array.dtype.itemsize}"


def _tensor(key, array):
    size = array.dtype.itemsize
    strides = [s // size for s in np.empty(array.shape, array.dtype).strides]
    storage = b"".join(
        [
            *(b"(", _text("storage")),
            f"ctorch\n{STORAGES[_kind(array)[1:]]}Storage\n".encode(),
            *(_text(key), _text("cpu"), _whole(array.size), b"tQ"),
        ]
    )
    return b"".join(
        [
            *(b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, _whole(0)),
            *(_tuple(array.shape), _tuple(strides), b"\x89"),
            b"ccollections\nOrderedDict\n)RtR",
        ]
    )


def _tuple(numbers):
    return b"(" + b"".join(map(_whole, numbers)) + b"t"


def _whole(number):
    return b"J" + struct.pack("<i", number)


def _text(text):
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content
