"""The published weights of VGGish, by the names of torchvggish.

Google published them for TensorFlow; these are the same arrays for PyTorch. The
components and their mean are a file of their own, or lie under ``pproc``.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.vggish import VGGishConfig, build_vggish
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.find import Found, find
from diffusion_audio.pretrained.kinds import CONV, DENSE
from diffusion_audio.pretrained.rules import (
    Arrays,
    Kind,
    Layer,
    Layout,
    Leaf,
    export_params,
    file_names,
    import_params,
    permuted,
)

# A mean is a column in torchvggish and a row in the file of components.
PCA_KIND: Kind = {
    "matrix": Leaf("pca_eigen_vectors", permuted(1, 0)),
    "mean": Leaf("pca_means", Layout(lambda x: x.reshape(-1), lambda x: x)),
}
POSTPROCESSOR = {
    "pproc.pca_matrix": "pca_eigen_vectors",
    "pproc.pca_means": "pca_means",
}


def table(cfg: VGGishConfig) -> Iterator[Layer]:
    """The layers of a network: each convolution and each pooling counts, too."""
    place, number = 0, 0
    for stage in cfg.stages:
        for _ in stage:
            yield Layer(f"convs/{number}", f"features.{place}", CONV)
            place, number = place + 2, number + 1  # and its rectifier
        place += 1
    for i in range(len(cfg.hidden) + 1):
        yield Layer(f"denses/{i}", f"embeddings.{2 * i}", DENSE)
    yield Layer("pca", "", PCA_KIND)


def find_vggish(
    cfg: VGGishConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    take: str | None = None,
) -> Found[Params]:
    """The network among all arrays of a file, or of two; see `find`.

    Components that the config does not ask for are left.

    Raises:
        UserError: none or several of this config are in it.
    """
    like = abstract_params(build_vggish(cfg))
    layers = list(table(cfg))
    names = file_names(layers, like)

    def fit(arrays: Arrays, where: str) -> Params:
        left = set(POSTPROCESSOR.values()) - names
        kept = {name: array for name, array in arrays.items() if name not in left}
        return import_params(layers, kept, like, where)

    named = {POSTPROCESSOR.get(name, name): array for name, array in source.items()}
    return find(named, names, fit, whose, take)


def export_vggish(cfg: VGGishConfig, params: Params) -> Arrays:
    """Torchvggish's names and layouts; components as in their own file."""
    return export_params(table(cfg), params)
