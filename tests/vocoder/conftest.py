import pytest
from tiny_models import save_quiet_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Return the directory of a tiny model."""
    return save_quiet_model(tmp_path_factory.mktemp("models") / "tiny")
