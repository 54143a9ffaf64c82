"""Protocols by name: a module each, constants with their source and nothing else.

``docs/metrics.md`` has what each is and what is known to be wrong in its toolkit.
"""

from typing import Any

from diffusion_audio.evaluation.named_protocol import NamedProtocol
from diffusion_audio.systems.table import Table


def _of_module(module: Any) -> NamedProtocol:
    return module.PROTOCOL


TABLE: Table[NamedProtocol] = Table("protocol", __name__, _of_module)
