import pytest
from tiny_models import quiet_voice


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The directory of a tiny model."""
    return quiet_voice(tmp_path_factory.mktemp("models") / "tiny")
