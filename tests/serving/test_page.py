"""The page at / as a visitor sees it: in headless Chromium, where that is installed.

``DLNOTES_SCREENSHOTS=folder pytest tests/serving/test_page.py`` keeps a picture of each state.
"""

import json
import math
import shutil
import urllib.request

import numpy as np
import pytest
from browser import browser, find_chromium

from dlnotes import datasets, serving
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="Chromium is not installed (Debian: apt install chromium)"
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A bundle that knows digits well enough for a circle and a line."""
    keras.utils.set_random_seed(0)
    data = datasets.load_mnist_5k()
    layers = [keras.layers.Flatten(), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential(
        [keras.Input((28, 28, 1), name="pixels"), *layers, keras.layers.Softmax()]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    pictures = data.x_train[..., None]
    model.fit(pictures / 255.0, data.y_train, epochs=4, batch_size=32, verbose=0)
    return serving.export(
        model,
        tmp_path_factory.mktemp("bundles") / "digits",
        name="digits",
        version="1",
        example=pictures[:1].astype("float32"),
        preprocessing=[serving.Bounds("pixels", 0, 255), serving.Rescaling("pixels", 1 / 255)],
        labels=list("0123456789"),
        forms=["onnx"],
    )


@pytest.fixture(scope="module")
def address(digits, words_folder, points_folder):
    with serving.start([digits, words_folder, points_folder]) as service:
        yield service.address


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    with browser(CHROMIUM, folder) as page:
        yield page
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def page(chromium, address):
    chromium.resize(1000, 760)
    chromium.complaints.clear()
    chromium.open(f"{address}/")
    chromium.wait("document.querySelector('#facts').textContent")
    yield chromium
    assert not chromium.complaints


def choose(page, name):
    page.run(
        f"(() => {{ const e = document.querySelector('#model'); e.value = '{name}';"
        "e.dispatchEvent(new Event('change')); })()"
    )
    page.wait(f"model && model.name === '{name}'")


def strokes(page, points):
    """Points of the unit square, on the canvas."""
    x, y, width, height = page.box("canvas")
    return [(x + a * width, y + b * height) for a, b in points]


LINE = [(0.55, 0.2 + 0.05 * i) for i in range(12)]
CIRCLE = [
    (0.3 + 0.15 * math.cos(i * math.pi / 10), 0.6 + 0.22 * math.sin(i * math.pi / 10))
    for i in range(21)
]


@pytest.mark.parametrize(("drawing", "digit", "finger"), [(CIRCLE, "0", False), (LINE, "1", True)])
def test_a_drawn_digit_is_recognised(page, address, drawing, digit, finger):
    if finger:
        page.resize(390, 844, touch=True)
    (page.touch if finger else page.drag)(strokes(page, drawing))
    page.wait("document.querySelector('#answer').textContent")
    page.keep(f"digit_{digit}")
    assert page.text("#answer") == [digit]
    pixels = np.array(page.run("pixels()"))
    assert pixels.shape == (28, 28, 1)
    rows, columns = np.nonzero(pixels[..., 0] > 20)
    assert max(np.ptp(rows), np.ptp(columns)) in (18, 19, 20, 21), "as tall as MNIST's digits"
    ink = pixels[..., 0] / pixels.sum()
    for weights in (ink.sum(1), ink.sum(0)):
        assert weights @ (np.arange(28) + 0.5) == pytest.approx(14, abs=0.75)
    body = json.dumps({"instances": [pixels.tolist()]}).encode()
    with urllib.request.urlopen(f"{address}/v1/models/digits:predict", body) as answer:
        wanted = json.load(answer)["predictions"][0]
    shown = [float(text) for text in page.text(".bar .value")]
    np.testing.assert_allclose(shown, wanted, atol=0.00051)
    assert page.text(".bar.best .name") == [digit]
    width = page.run("document.documentElement.scrollWidth <= innerWidth")
    assert width, "nothing stands outside of a narrow screen"
    page.click("#clear")
    page.wait("!document.querySelector('#answer').textContent")
    assert page.run("pixels()") is None


def test_a_text_shows_where_the_model_looked(page):
    choose(page, "words")
    assert page.text("#prompt") == ["source"]
    page.write("#text", "five one two")
    page.press("Enter")
    page.wait("document.querySelector('#picture table')")
    page.keep("words")
    assert page.text("#picture thead th")[1:] == ["five", "one", "two"]
    tokens = page.text("#picture tbody th")
    weights = page.run(
        "[...document.querySelectorAll('#picture tbody tr')].map((row) =>"
        "[...row.querySelectorAll('td')].map((cell) => Number(cell.textContent)))"
    )
    assert np.shape(weights) == (len(tokens), 3)
    np.testing.assert_allclose(np.sum(weights, axis=1), 1, atol=0.02)


def test_numbers_are_typed(page):
    choose(page, "points")
    page.write("#json", "[255, 0]")
    page.click("#typing button")
    page.wait("document.querySelector('#answer').textContent")
    page.keep("points")
    assert page.text(".bar .name") == ["red", "green", "blue"]
    values = [float(text) for text in page.text(".bar .value")]
    assert sum(values) == pytest.approx(1, abs=0.002)
    assert page.text("#answer") == [["red", "green", "blue"][int(np.argmax(values))]]


@pytest.mark.parametrize(
    ("model", "field", "text", "message"),
    [
        ("words", "#text", "one six", "'six' (word 2)"),
        ("points", "#json", "[51]", "axis 0 has the length 1"),
        ("points", "#json", "[51,", "JSON"),
    ],
)
def test_what_cannot_be_answered_is_said(page, model, field, text, message):
    choose(page, model)
    page.write(field, text)
    page.click("section:not([hidden]) form button")
    page.wait("document.querySelector('#problem').textContent")
    page.keep(f"problem_{model}")
    assert message in page.text("#problem")[0]
    assert page.text("#answer") == [""] or page.text("#answer") == []
    page.complaints[:] = [text for text in page.complaints if "400 (Bad Request)" not in text]


def test_the_list_of_addresses(page, address):
    page.open(f"{address}/docs")
    page.wait("document.querySelector('h2')")
    page.keep("docs")
    assert "POST /v1/models/digits:predict" in page.text("h2")
