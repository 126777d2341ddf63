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
    read_matching,
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
from dlnotes.datasets.memory_tasks import make_adding, make_copy
from dlnotes.datasets.number_words import load_number_words
from dlnotes.datasets.pipelines import (
    Vocabulary,
    Windows,
    bucketed,
    make_windows,
    pad,
    pair_dataset,
    text_dataset,
)
from dlnotes.datasets.registry import (
    DatasetFile,
    DatasetInfo,
    RegistryError,
    dataset_info,
    load_registry,
)
from dlnotes.datasets.reviews import make_reviews
from dlnotes.datasets.series import load_co2, load_sunspots, make_random_walk
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
from dlnotes.datasets.text import load_imdb, load_place_names, load_python_text
from dlnotes.datasets.types import (
    CorpusData,
    ImageData,
    PairData,
    PhotoData,
    PointData,
    ReviewData,
    SequenceData,
    SeriesData,
    SplitData,
    TableData,
    TabularData,
    TextData,
)

__all__ = [
    "SPLIT_SEED",
    "ArchiveError",
    "CleaningAudit",
    "CorpusData",
    "DatasetDamaged",
    "DatasetError",
    "DatasetFile",
    "DatasetInfo",
    "DatasetNotAvailable",
    "DownloadError",
    "ImageData",
    "PairData",
    "PhotoData",
    "PointData",
    "RegistryError",
    "ReviewData",
    "SequenceData",
    "SeriesData",
    "SplitData",
    "TableData",
    "TabularData",
    "TextData",
    "Vocabulary",
    "Windows",
    "audit_cleaning",
    "bucketed",
    "cache_directory",
    "dataset_info",
    "dataset_state",
    "fetch",
    "format_size",
    "load_breast_cancer",
    "load_cifar10",
    "load_co2",
    "load_diabetes",
    "load_digits",
    "load_fashion_mnist",
    "load_imdb",
    "load_iris",
    "load_mnist",
    "load_mnist_5k",
    "load_npz",
    "load_number_words",
    "load_photos",
    "load_place_names",
    "load_placements",
    "load_placements_xy",
    "load_python_text",
    "load_registry",
    "load_sunspots",
    "load_wine",
    "make_adding",
    "make_blobs",
    "make_copy",
    "make_moons",
    "make_random_walk",
    "make_reviews",
    "make_spiral",
    "make_windows",
    "make_xor",
    "overview",
    "pad",
    "pair_dataset",
    "read_dataset_file",
    "read_matching",
    "read_member",
    "read_members",
    "render_cards",
    "split_indices",
    "text_dataset",
]
