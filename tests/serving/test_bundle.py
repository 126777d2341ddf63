"""What a bundle must be before anything of it is opened."""

import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import tempfile
import zipfile

import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start
from dlnotes.serving import Bundle, BundleDamaged, BundleFormatError, UnsafeBundle, load_bundle
from dlnotes.serving.bundle import distance
from dlnotes.serving.safety import check_graph

with quiet_start():
    import keras
    from tensorflow.core.protobuf import saved_model_pb2


@pytest.fixture
def folder(points_folder, tmp_path):
    return shutil.copytree(points_folder, tmp_path / "points")


def change_manifest(folder, **changes):
    """Change entries of bundle.json; a value of None removes one."""
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            del content[key]
        else:
            content[key] = value
    path.write_text(json.dumps(content))


def add_file(folder, name, content):
    """Add a file and make bundle.json know it, as one who means harm would."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    files = json.loads((folder / "bundle.json").read_text())["files"]
    files[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    change_manifest(folder, files=files)


def zip_of(folder, path, **others):
    """Pack a folder; `others` are more members by name."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
        for name, content in others.items():
            archive.writestr(name, content)
    return path


def test_a_folder_and_a_zip_are_the_same_bundle(points_folder, tmp_path):
    with load_bundle(points_folder) as bundle:
        assert repr(bundle) == (
            "Bundle('points', version='2', forms=['keras', 'onnx', 'saved_model'])"
        )
        assert bundle.manifest.labels == ["red", "green", "blue"]
        assert [tensor.shape for tensor in bundle.manifest.inputs] == [[None, 2]]
        assert bundle.path_of("onnx") == points_folder / "model.onnx"
        with pytest.raises(
            ValueError, match="`form` must be one of 'keras', 'onnx', 'saved_model'"
        ):
            bundle.path_of("litert")
    assert points_folder.exists()
    with load_bundle(zip_of(points_folder, tmp_path / "points.zip")) as packed:
        assert packed.digest == bundle.digest
        unpacked = packed.folder
        assert (unpacked / "model.onnx").read_bytes() == bundle.path_of("onnx").read_bytes()
        assert stat.S_IMODE(unpacked.stat().st_mode) == 0o700
    assert not unpacked.exists()
    check_docstring(Bundle)
    check_docstring(load_bundle)


def test_a_forgotten_bundle_leaves_nothing(points_folder, tmp_path):
    bundle = load_bundle(zip_of(points_folder, tmp_path / "points.zip"))
    unpacked = bundle.folder
    assert unpacked.exists()
    del bundle
    assert not unpacked.exists()


def remove(folder):
    (folder / "model.onnx").unlink()


def grow(folder):
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")


def flip(folder):
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def add_unknown(folder):
    (folder / "model.tflite").write_bytes(b"x")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove, "model.onnx is missing"),
        (grow, r"model.onnx must have \d+ bytes, as bundle.json says, and has"),
        (flip, "model.onnx was changed: its SHA-256"),
        (add_unknown, "model.tflite must not be there"),
    ],
)
def test_damage_is_found_in_folders_and_zips(folder, tmp_path, monkeypatch, spoil, message):
    load_bundle(folder)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    spoil(folder)
    with pytest.raises(BundleDamaged, match=message):
        load_bundle(folder)
    with pytest.raises(BundleDamaged, match=message):
        load_bundle(zip_of(folder, tmp_path / "points.zip"))
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "`format` must be 1, all that this version"),
        ({"format": True}, "`format` must be 1"),
        ({"format": None}, "`format` must be 1"),
        ({"name": None}, "`name`: Field required"),
        ({"name": "../x"}, "`name`: String should match"),
        ({"extra": 1}, "`extra`: Extra inputs are not permitted"),
        ({"inputs": []}, "`inputs`: List should have at least 1"),
        ({"inputs": [{"name": "x", "dtype": "object", "shape": [None]}]}, "`dtype` must be one of"),
        ({"forms": ["pickle"]}, "`forms.0`: Input should be 'keras'"),
        ({"forms": ["keras", "keras"]}, "`forms` must all be different"),
        ({"forms": ["keras", "onnx", "saved_model", "litert"]}, "`files` must hold those of"),
        ({"preprocessing": [{"step": "eval"}]}, "`step` must be one of bounds, rescaling"),
        ({"preprocessing": [{"step": "bounds", "input": "x"}]}, "missing 2 required"),
        ({"labels": ["a"]}, "`labels` must be as many as the only output has places"),
        ({"decoding": {"kind": "beam"}}, "`kind` must be one of 'greedy'"),
        ({"golden": {}}, "`golden.request`: Field required"),
    ],
)
def test_another_format_is_refused(folder, changes, message):
    change_manifest(folder, **changes)
    with pytest.raises(BundleFormatError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_a_manifest_that_is_no_json_is_refused(folder, content):
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleFormatError, match="bundle.json: "):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.pkl", b"x", "weights.pkl is a pickle"),
        ("saved_model/variables/variables.index", pickle.dumps(1), "is a pickle, or may hold one"),
        ("weights.npy", b"x", "is a pickle, or may hold one"),
        ("model.h5", b"x", "model.h5 is an HDF5 file"),
        ("model.keras", b"\x89HDF\r\n\x1a\n....", "model.keras is an HDF5 file"),
        ("run.py", b"x", "run.py belongs to no form"),
        ("model.tflite", b"x", "belongs to none of the forms keras, onnx, saved_model"),
    ],
)
def test_files_that_a_bundle_may_not_hold_are_refused(folder, name, content, message):
    add_file(folder, name, content)
    with pytest.raises(UnsafeBundle, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../b", "C:x", "a\\b", "", "a\0b", "./a"])
def test_names_that_leave_the_folder_are_refused(folder, tmp_path, name):
    files = json.loads((folder / "bundle.json").read_text())["files"]
    change_manifest(folder, files={**files, name: {"size": 1, "sha256": 64 * "0"}})
    with pytest.raises(UnsafeBundle, match="must stay inside the bundle"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_zip_slip_is_refused(points_folder, tmp_path, name):
    path = zip_of(points_folder, tmp_path / "points.zip", **{name: "x"})
    with pytest.raises(UnsafeBundle, match="must stay inside the bundle"):
        load_bundle(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["points.zip"]


def test_links_are_refused(folder, tmp_path):
    target = tmp_path / "elsewhere"
    (folder / "model.onnx").rename(target)
    (folder / "model.onnx").symlink_to(target)
    with pytest.raises(UnsafeBundle, match=r"model.onnx must be a plain file"):
        load_bundle(folder)
    (folder / "model.onnx").unlink()
    (folder / "saved_model" / "more").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UnsafeBundle, match="saved_model/more must be a plain file"):
        load_bundle(folder)
    packed = tmp_path / "points.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("model.onnx")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeBundle, match=r"model.onnx must be a plain file"):
        load_bundle(packed)


def test_a_pipe_is_refused_and_not_read(folder):
    os.mkfifo(folder / "model.tflite")
    with pytest.raises(UnsafeBundle, match=r"model.tflite must be a plain file"):
        load_bundle(folder)


def test_sizes_are_limited_before_anything_is_unpacked(points_folder, folder, tmp_path):
    packed = zip_of(points_folder, tmp_path / "points.zip")
    for path in (points_folder, packed):
        with pytest.raises(UnsafeBundle, match="must have at most 1000 bytes together"):
            load_bundle(path, max_bytes=1000)
    bomb = tmp_path / "bomb.zip"
    (folder / "model.onnx").unlink()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
        archive.writestr("model.onnx", bytes(10**7))
    with pytest.raises(BundleDamaged, match=r"model.onnx must have \d+ bytes"):
        load_bundle(bomb)


def test_a_zip_that_lies_about_a_size_is_refused(folder, tmp_path):
    size = (folder / "model.onnx").stat().st_size
    honest = zip_of(folder, tmp_path / "points.zip").read_bytes()
    change = {size.to_bytes(4, "little"): (size - 1).to_bytes(4, "little")}
    for old, new in change.items():
        assert old in honest
        (tmp_path / "points.zip").write_bytes(honest.replace(old, new))
    with pytest.raises(BundleDamaged, match="model.onnx"):
        load_bundle(tmp_path / "points.zip")


def test_members_that_occur_twice_and_secret_ones_are_refused(points_folder, tmp_path):
    path = zip_of(points_folder, tmp_path / "points.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("model.onnx", "x")
    with pytest.raises(BundleDamaged, match=r"model.onnx occurs twice"):
        load_bundle(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BundleFormatError, match=r"points.zip is no bundle"):
        load_bundle(path)


def test_what_is_no_bundle_is_named(classifier, tmp_path):
    (tmp_path / "empty").mkdir()
    check_refusals(load_bundle, [Refusal((3,), {}, TypeError, "`path` must be a path")])
    with pytest.raises(FileNotFoundError, match="`path` must be a bundle. Received: path="):
        load_bundle(tmp_path / "nothing")
    with pytest.raises(BundleFormatError, match=r"empty is no bundle: it has no bundle.json"):
        load_bundle(tmp_path / "empty")
    classifier.save(tmp_path / "m.keras")
    with pytest.raises(BundleFormatError, match="m.keras is no bundle.*dlnotes.serving.export"):
        load_bundle(tmp_path / "m.keras")
    for name, content, message in (
        ("m.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("m.pkl", pickle.dumps({}), "pickle"),
        ("m", pickle.dumps({}), "pickle"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnsafeBundle, match=message):
            load_bundle(tmp_path / name)


# === What a .keras file may hold ===


def replace_keras(folder, model=None, change=lambda members: None):
    """Put another .keras file into a bundle, with the right hash."""
    if model is not None:
        model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    add_file(folder, "model.keras", buffer.getvalue())


def test_lambda_layers_are_refused(folder):
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x, name="l")(inputs))
    replace_keras(folder, model)
    with pytest.raises(UnsafeBundle, match=r"model.keras has a Lambda layer, which is code"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"module": "keras.layers"', '"module": "os"', "asks for 'Dense' of 'os'"),
        ('"module": "keras.layers"', '"module": "kerasevil"', "of 'kerasevil'"),
        ('"module": "keras.layers"', '"module": "dlnotes.cli"', "of 'dlnotes.cli'"),
        ('"module": "keras.layers"', '"module": "keras.config"', "of 'keras.config'"),
        ('"module": "keras.layers"', '"module": "keras.utils"', "of 'keras.utils'"),
        ('"module": "keras.layers"', '"module": "keras.src.saving.x"', "of 'keras.src.saving.x'"),
        ('"module": "keras.layers"', '"module": "builtins"', "of 'builtins'"),
        ('"class_name": "Dense"', '"class_name": "__lambda__"', "Lambda"),
        ('"class_name": "Dense"', '"class_name": "function"', "asks for 'function'"),
    ],
)
def test_classes_from_elsewhere_are_refused(folder, old, new, message):
    def change(members):
        config = members["config.json"].decode()
        assert old in config
        members["config.json"] = config.replace(old, new).encode()

    replace_keras(folder, change=change)
    with pytest.raises(UnsafeBundle, match=message):
        load_bundle(folder)


def test_other_members_and_other_files_are_refused(folder):
    replace_keras(folder, change=lambda members: members.update({"assets/run.pkl": b"x"}))
    with pytest.raises(UnsafeBundle, match="holds 'assets/run.pkl', which is not Keras'"):
        load_bundle(folder)
    add_file(folder, "model.keras", b"nothing")
    with pytest.raises(BundleDamaged, match=r"model.keras is no .keras file"):
        load_bundle(folder)


def packed_oddly(content, method, damage=b""):
    """A zip whose config.json is packed so; `damage` replaces bytes in its middle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("config.json", content)
    packed = bytearray(buffer.getvalue())
    packed[50 : 50 + len(damage)] = damage
    return bytes(packed)


NOISE = os.urandom(500).hex()


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (packed_oddly(bytes(70 * 2**20), zipfile.ZIP_DEFLATED), UnsafeBundle, "to no less than"),
        (packed_oddly("{}", zipfile.ZIP_LZMA), UnsafeBundle, "must be stored or deflated"),
        (packed_oddly("{}", zipfile.ZIP_BZIP2), UnsafeBundle, "must be stored or deflated"),
        (
            packed_oddly(NOISE, zipfile.ZIP_DEFLATED, b"\xff" * 99),
            BundleDamaged,
            r"is no .keras file: Error -3",
        ),
    ],
    ids=["bomb", "lzma", "bzip2", "damaged"],
)
def test_oddly_packed_zips_are_refused(folder, tmp_path, content, kind, message):
    add_file(folder, "model.keras", content)
    with pytest.raises(kind, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_oddly_packed_bundles_are_refused(points_folder, tmp_path, method):
    path = shutil.copyfile(zip_of(points_folder, tmp_path / "a.zip"), tmp_path / "points.zip")
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("more", "x")
    with pytest.raises(UnsafeBundle, match="points.zip: more must be stored or deflated"):
        load_bundle(path)


# === What a SavedModel may compute ===


@pytest.fixture(scope="module")
def saved_model(points_folder):
    return saved_model_pb2.SavedModel.FromString(
        (points_folder / "saved_model" / "saved_model.pb").read_bytes()
    )


def functions_of(graph):
    return {f.signature.name.rsplit("_", 1)[0]: f for f in graph.graph_def.library.function}


def add_operation(operation):
    def change(graph):
        functions_of(graph)["__inference___call__"].node_def.add(op=operation)

    return change


def call_saving(graph):
    saving = functions_of(graph)["__inference__traced_save"].signature.name
    node = functions_of(graph)["__inference___call__"].node_def.add(op="StatefulPartitionedCall")
    node.attr["f"].func.name = saving


def serve_saving(graph):
    saving = functions_of(graph)["__inference__traced_save"].signature.name
    graph.object_graph_def.nodes.add().bare_concrete_function.concrete_function_name = saving


TOUCH_FILES = [
    *("SaveV2", "RestoreV2", "MergeV2Checkpoints", "Restore", "RestoreSlice", "ImmutableConst"),
    *("LoadAndRemapMatrix", "GenerateVocabRemapping", "DebugNanCount", "WriteFile"),
]


def without_objects(graph):
    graph.ClearField("object_graph_def")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *((add_operation(name), f"has the operation {name}, which") for name in TOUCH_FILES),
        (call_saving, "computes __inference__traced_save"),
        (serve_saving, "computes __inference__traced_save"),
        (without_objects, "computes __inference__traced_"),
    ],
)
def test_saved_models_that_touch_files_are_refused(saved_model, change, message):
    check_graph(saved_model, "it")
    changed = saved_model_pb2.SavedModel.FromString(saved_model.SerializeToString())
    change(changed.meta_graphs[0])
    with pytest.raises(UnsafeBundle, match=message):
        check_graph(changed, "it")


@pytest.mark.parametrize(
    ("answer", "wanted", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        (1, 1.0, 0.0),
        ([[1.0]], [1.0], float("inf")),
        ({"a": 1.0}, {"b": 1.0}, float("inf")),
        ("a", "b", float("inf")),
        (True, 1, float("inf")),
        (float("nan"), float("nan"), float("inf")),
        ([], [], 0.0),
    ],
)
def test_distance_of_answers(answer, wanted, expected):
    assert distance(answer, wanted) == pytest.approx(expected)
