import pytest
from serving_bundles import CLASSIFIER, WRITER, make_classifier, make_writer

from dlnotes.serving import export


@pytest.fixture(scope="session")
def classifier():
    return make_classifier()


@pytest.fixture(scope="session")
def points_folder(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "points"
    return export(classifier, path, forms=["keras", "onnx", "saved_model"], **CLASSIFIER)


@pytest.fixture(scope="session")
def words_folder(tmp_path_factory):
    return export(make_writer(), tmp_path_factory.mktemp("bundles") / "words", **WRITER)
