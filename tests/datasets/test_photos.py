import dataclasses

import numpy as np
import pytest
from contracts import check_loader_contract

from dlnotes.datasets import PhotoData, dataset_info, load_photos


def photo(shape=(2, 3, 3), dtype=np.uint8):
    return np.zeros(shape, dtype)


def data(**changes):
    facts = dict.fromkeys(("name", "description", "license", "source"), "toy")
    return PhotoData(
        **facts | {"china": photo(), "flower": photo(), "pixel_range": (0.0, 255.0)} | changes
    )


def test_loader_contract():
    photos = check_loader_contract(load_photos)
    info = dataset_info("photos")
    assert (photos.license, photos.source) == (info.license, info.source)
    assert "CC BY 2.0" in photos.describe()
    assert "danielbuechele" in photos.describe()
    assert photos.china.size == photos.flower.size == info.features
    assert len(repr(photos)) < 100


def test_channels_are_red_green_blue():
    photos = load_photos()
    sky, petal = photos.china[:80, :80], photos.flower[200:280, 250:350]
    assert (np.diff(sky.mean(axis=(0, 1))) > 20).all()  # the sky is blue
    assert (np.diff(petal.mean(axis=(0, 1))) < -20).all()  # the dahlia is orange
    assert photos.china.min() == 0
    assert photos.china.max() == 255


def test_photos_are_read_only_copies():
    array = photo()
    photos = data(china=array)
    array[:] = 9
    assert photos.china.max() == 0
    with pytest.raises(ValueError, match=r"read-only"):
        photos.flower[0, 0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        photos.china = array


def test_errors():
    with pytest.raises(ValueError, match=r"`china` must be bytes of shape \(H, W, 3\).*\(2, 3\)"):
        data(china=photo((2, 3)))
    with pytest.raises(ValueError, match=r"`flower` must be bytes .*dtype=float64"):
        data(flower=photo(dtype=float))
    with pytest.raises(TypeError, match=r"`china` must be an array"):
        data(china=[1])
