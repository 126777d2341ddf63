"""Writing bundles, and the engines that open them again."""

import json
import os
import stat
import sys
import zipfile

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start
from dlnotes.serving import (
    Bounds,
    BundleDamaged,
    ExportError,
    GreedyDecoding,
    Predictor,
    RequestError,
    TextEncoding,
    UnsafeBundle,
    engines,
    exporting,
    load_bundle,
    open_engine,
)

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.models import build_transformer
    from dlnotes.serving import export

from serving_bundles import CLASSIFIER, SOURCES, TARGETS, WRITER, answers_of, make_writer

ROWS = np.random.default_rng(0).integers(0, 256, (100, 2)).tolist()


@pytest.mark.parametrize("engine", ["onnx", "tensorflow"])
def test_every_engine_gives_the_answers_of_the_model(classifier, points_folder, engine):
    with load_bundle(points_folder) as bundle:
        opened = open_engine(bundle, engine)
        bundle.check(opened)
        predictions = Predictor(bundle.signature, opened).predict(ROWS)
    np.testing.assert_allclose(predictions, answers_of(classifier, ROWS), atol=1e-5)


def test_all_four_forms_agree_in_a_zip(classifier, tmp_path):
    forms = ["keras", "saved_model", "onnx", "litert"]
    path = export(classifier, tmp_path / "points.zip", forms=forms, **CLASSIFIER)
    assert [p.name for p in tmp_path.iterdir()] == ["points.zip"]
    assert zipfile.ZipFile(path).getinfo("bundle.json").date_time[0] == 1980
    with load_bundle(path) as bundle:
        assert bundle.manifest.forms == forms
        for form in forms:
            engine = engines.open_form(bundle.path_of(form), form, bundle.signature)
            assert engine.name == form
            bundle.check(engine)
            predictions = Predictor(bundle.signature, engine).predict(ROWS)
            np.testing.assert_allclose(predictions, answers_of(classifier, ROWS), atol=1e-5)
        assert open_engine(bundle, "tensorflow").name == "saved_model"
        assert open_engine(bundle, "litert").name == "litert"


def test_the_manifest_says_what_the_model_is(classifier, points_folder):
    content = json.loads((points_folder / "bundle.json").read_text())
    assert content["format"] == 1
    assert content["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 2]}]
    assert content["outputs"] == [{"name": "y", "dtype": "float32", "shape": [None, 3]}]
    assert content["versions"]["keras"] == keras.__version__
    assert [step["step"] for step in content["preprocessing"]] == ["bounds", "rescaling"]
    golden = content["golden"]
    assert golden["request"] == {"instances": CLASSIFIER["example"]}
    wanted = answers_of(classifier, CLASSIFIER["example"])
    np.testing.assert_allclose(golden["response"]["predictions"], wanted, atol=1e-6)
    assert stat.S_IMODE(points_folder.stat().st_mode) & 0o055 == 0o055 & ~os.umask(os.umask(0))


def test_a_golden_answer_that_changed_is_found(points_folder):
    with load_bundle(points_folder) as bundle:

        class Other:
            name = "other"

            def run(self, inputs):
                return {"y": np.full((len(inputs["x"]), 3), 1 / 3, "float32")}

        with pytest.raises(BundleDamaged, match="engine other does not give the golden answer"):
            bundle.check(Other())


def test_a_model_that_writes(words_folder):
    model = make_writer()
    with load_bundle(words_folder) as bundle:
        predictor = Predictor(bundle.signature, open_engine(bundle))
        bundle.check(predictor.engine)
        first, second = predictor.predict(["Two-four-one", "five"])
    # by the Keras model, one row alone, without padding
    written = [TARGETS.id_of("<start>")]
    source = SOURCES.encode("two four one")[None]
    while len(written) <= 5 and written[-1] != TARGETS.id_of("<end>"):
        scores, weights = model([source, np.array([written], "int32")])
        scores = np.array(scores[0, -1])
        scores[:3] = 0
        written.append(int(scores.argmax()))
    assert first["tokens"] == [TARGETS.decode([i]) for i in written[1:]]
    assert first["text"] == "".join(t for t in first["tokens"] if t != "<end>")
    assert first["source_tokens"] == ["two", "four", "one"]
    np.testing.assert_allclose(first["attention"][-1], weights[0, -1], atol=1e-5)
    assert second["source_tokens"] == ["five"]
    assert {len(row) for row in second["attention"]} == {1}


def test_a_transformer_fits_onnx_too(tmp_path):
    keras.utils.set_random_seed(3)
    sizes = {"width": 8, "num_heads": 2, "num_blocks": 1, "hidden_units": 8}
    model = build_transformer(len(SOURCES), len(TARGETS), **sizes)
    decoding = GreedyDecoding("target", "output", TARGETS, "<start>", "<end>", max_length=4)
    options = {**WRITER, "decoding": decoding, "forms": ["onnx"], "num_checks": 10}
    with load_bundle(export(model, tmp_path / "words", **options)) as bundle:
        bundle.check(open_engine(bundle, "onnx"))


# === What is refused, and leaves nothing ===


def refused(model, tmp_path, error, match, **options):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=match) as caught:
        export(model, tmp_path / "new", **{**CLASSIFIER, **options})
    assert sorted(tmp_path.iterdir()) == before, "something was left"
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"name": "a b"}, ValueError, "`name` must be of letters"),
        ({"name": 3}, TypeError, "`name` must be a text"),
        ({"version": ""}, ValueError, "`version` must be of letters"),
        ({"forms": "onnx"}, TypeError, "`forms` must be a list"),
        ({"forms": ["pickle"]}, ValueError, "`forms` must be one of 'keras', 'saved_model'"),
        ({"num_checks": 0}, ValueError, "`num_checks` must be"),
        ({"tolerance": 0}, ValueError, "`tolerance` must be"),
        ({"labels": ["a"]}, ValueError, "`labels` must be as many as the only output has"),
        ({"example": []}, TypeError, "`example` must be a list of instances"),
        ({"example": [{1, 2}]}, TypeError, "`example` must hold what JSON can say"),
        ({"example": [[1, 2, 3]]}, RequestError, r"`instances\[0\]` must be float32 of shape"),
        ({"example": [[1, 256]]}, RequestError, r"must hold numbers in \[0, 255\]"),
        ({"preprocessing": [Bounds("z", 0, 1)]}, ValueError, "`input` must be one of x"),
    ],
)
def test_wrong_arguments_are_refused(classifier, tmp_path, options, error, match):
    refused(classifier, tmp_path, error, match, **options)


def test_models_that_cannot_be_served_are_refused(tmp_path):
    refused(keras.Sequential(), tmp_path, TypeError, "`model` must be a functional or sequential")
    refused("model", tmp_path, TypeError, "`model` must be a functional or sequential")
    fixed = keras.Input(batch_shape=(4, 2), name="x")
    model = keras.Model(fixed, keras.layers.Dense(3, name="y")(fixed))
    refused(model, tmp_path, ValueError, "`model` must take and give numbers, in batches of any")
    ids = keras.Input((2,), dtype="int32", name="x")
    model = keras.Model(ids, keras.layers.Embedding(3, 3, name="y")(ids))
    free = {"preprocessing": [], "labels": None, "example": [[1, 2]]}
    refused(model, tmp_path, ValueError, "`preprocessing` must say what whole numbers", **free)
    check_refusals(export, [Refusal((model, ""), {**CLASSIFIER}, TypeError, "`path` must be")])
    (tmp_path / "new").mkdir()
    with pytest.raises(ValueError, match="`path` must be new. Received: path="):
        export(model, tmp_path / "new", **{**CLASSIFIER, **free})
    check_docstring(export)


def test_lambda_layers_are_kept_out_of_the_keras_form(tmp_path):
    inputs = keras.Input((2,), name="x")
    layer = keras.layers.Lambda(lambda x: 2 * x, output_shape=(2,), name="y")
    model = keras.Model(inputs, layer(inputs))
    refused(model, tmp_path, UnsafeBundle, "has a Lambda layer", labels=["a", "b"])
    onnx = {**CLASSIFIER, "labels": ["a", "b"], "forms": ["onnx"]}
    assert export(model, tmp_path / "new", **onnx).is_dir(), "ONNX holds no code"


def test_a_form_with_other_answers_is_refused(classifier, tmp_path, monkeypatch):
    class Rounded(engines.OnnxEngine):
        def run(self, inputs):
            return {name: array.round(2) for name, array in super().run(inputs).items()}

    monkeypatch.setattr(engines, "OnnxEngine", Rounded)
    message = refused(classifier, tmp_path, ExportError, "the form onnx answers otherwise")
    assert "output y differs by 0.00" in message
    assert "may by 1e-05" in message


def test_a_form_that_cannot_hold_the_model_is_refused(tmp_path):
    with pytest.raises(ExportError, match="the form litert cannot hold this model") as caught:
        export(make_writer(), tmp_path / "new", **{**WRITER, "forms": ["litert"]})
    assert "operations that LiteRT lacks" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_padding_that_changes_answers_is_refused(tmp_path):
    keras.utils.set_random_seed(1)
    ids = keras.Input((None,), dtype="int32", name="source")
    x = keras.layers.Embedding(len(SOURCES), 4, name="embedding")(ids)
    x = keras.layers.GlobalAveragePooling1D(name="average")(x)
    model = keras.Model(ids, keras.layers.Dense(3, name="y")(x))
    options = {"example": ["one two"], "labels": None, "forms": ["keras"]}
    step = [TextEncoding("source", SOURCES, max_length=6)]
    refused(
        model,
        tmp_path,
        ExportError,
        "padding changes the output y.*max_length",
        preprocessing=step,
        **options,
    )
    step = [TextEncoding("source", SOURCES, max_length=6, pad_to="max_length")]
    export(model, tmp_path / "new", **{**CLASSIFIER, **options, "preprocessing": step})


def test_interruption_leaves_nothing(classifier, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_publish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(classifier, tmp_path / "new.zip", **{**CLASSIFIER, "forms": ["keras"]})
    assert not list(tmp_path.iterdir())


# === Engines ===


def test_an_engine_without_its_form_is_refused(words_folder):
    with load_bundle(words_folder) as bundle:
        for engine, match in (
            ("litert", "`engine` must be one that words has a form for: onnx, tensorflow"),
            ("torch", "`engine` must be one of 'onnx', 'tensorflow', 'litert'"),
        ):
            with pytest.raises(ValueError, match=match):
                open_engine(bundle, engine)


@pytest.mark.parametrize("form", ["onnx", "keras", "saved_model", "litert"])
def test_files_that_cannot_be_opened_are_damaged(points_folder, tmp_path, form):
    with load_bundle(points_folder) as bundle:
        path = tmp_path / "model"
        if form == "saved_model":
            path.mkdir()
            path /= "saved_model.pb"
        path.write_bytes(b"nothing")
        with pytest.raises(BundleDamaged, match="model.*(cannot be opened|is no .keras file)"):
            engines.open_form(tmp_path / "model", form, bundle.signature)


def test_another_model_of_the_same_form_is_refused(points_folder, words_folder):
    with load_bundle(points_folder) as points, load_bundle(words_folder) as words:
        for form in ("onnx", "keras"):
            with pytest.raises(BundleDamaged, match="must have the inputs x and 1 outputs"):
                engines.open_form(words.path_of(form), form, points.signature)


def test_a_graph_that_reads_files_is_refused(points_folder, tmp_path):
    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 2), name="x")])
        def serve(self, x):
            return {"output_0": x + tf.cast(tf.strings.length(tf.io.read_file("/x")), tf.float32)}

    module = Reader()
    tf.saved_model.save(module, tmp_path, signatures={"serving_default": module.serve})
    with (
        load_bundle(points_folder) as bundle,
        pytest.raises(UnsafeBundle, match="has the operation ReadFile"),
    ):
        engines.open_form(tmp_path, "saved_model", bundle.signature)


def test_weights_outside_the_onnx_file_are_refused(points_folder, tmp_path, monkeypatch):
    import onnx

    model = onnx.load(points_folder / "model.onnx")
    onnx.save_model(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    assert (tmp_path / "weights").exists()
    monkeypatch.chdir(tmp_path)
    with load_bundle(points_folder) as bundle, pytest.raises(BundleDamaged, match="model.onnx can"):
        engines.open_form(tmp_path / "model.onnx", "onnx", bundle.signature)


def test_a_missing_library_is_named_with_its_extra(points_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with (
        load_bundle(points_folder) as bundle,
        pytest.raises(ModuleNotFoundError, match=r"onnxruntime is not installed.*dlnotes\[serve\]"),
    ):
        open_engine(bundle)
