import importlib.util

import pytest

from dlnotes.runtime import repository_root


@pytest.fixture(scope="session")
def build_script():
    """Load a script of data/build by its name, without running it."""

    def load(name):
        if repository_root() is None:
            pytest.skip("the scripts that rebuild the data are not part of the wheel")
        script = repository_root() / "data" / "build" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"{name}_build", script)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
