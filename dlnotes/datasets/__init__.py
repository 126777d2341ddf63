"""Every dataset of the course: loaders, generators, and the files behind them.

Importing this package loads neither pandas nor scikit-learn; a loader does so when it is called.
"""

from dlnotes.datasets.audit import CleaningAudit, audit_cleaning
from dlnotes.datasets.cards import overview, render_cards
from dlnotes.datasets.fetch import (
    ArchiveError,
    DatasetDamaged,
    DatasetError,
    DatasetNotAvailable,
    DownloadError,
    cache_directory,
    dataset_state,
    fetch,
    format_size,
    load_npz,
    read_dataset_file,
    read_member,
    read_members,
)
from dlnotes.datasets.images import (
    load_cifar10,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    load_mnist_5k,
    load_photos,
)
from dlnotes.datasets.registry import (
    DatasetFile,
    DatasetInfo,
    RegistryError,
    dataset_info,
    load_registry,
)
from dlnotes.datasets.splits import SPLIT_SEED, split_indices
from dlnotes.datasets.synthetic import make_blobs, make_moons, make_spiral, make_xor
from dlnotes.datasets.tabular import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_placements,
    load_placements_xy,
    load_wine,
)
from dlnotes.datasets.types import (
    ImageData,
    PhotoData,
    PointData,
    SplitData,
    TableData,
    TabularData,
)

__all__ = [
    "SPLIT_SEED",
    "ArchiveError",
    "CleaningAudit",
    "DatasetDamaged",
    "DatasetError",
    "DatasetFile",
    "DatasetInfo",
    "DatasetNotAvailable",
    "DownloadError",
    "ImageData",
    "PhotoData",
    "PointData",
    "RegistryError",
    "SplitData",
    "TableData",
    "TabularData",
    "audit_cleaning",
    "cache_directory",
    "dataset_info",
    "dataset_state",
    "fetch",
    "format_size",
    "load_breast_cancer",
    "load_cifar10",
    "load_diabetes",
    "load_digits",
    "load_fashion_mnist",
    "load_iris",
    "load_mnist",
    "load_mnist_5k",
    "load_npz",
    "load_photos",
    "load_placements",
    "load_placements_xy",
    "load_registry",
    "load_wine",
    "make_blobs",
    "make_moons",
    "make_spiral",
    "make_xor",
    "overview",
    "read_dataset_file",
    "read_member",
    "read_members",
    "render_cards",
    "split_indices",
]
