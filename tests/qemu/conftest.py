# SPDX-License-Identifier: Apache-2.0
import functools

import pytest

from support.chains import ChainScene
from support.full import ImageScene
from support.scene import Scene


@pytest.fixture
def scene(tmp_path):
    """Makes a Scene in the test's own folder; see tests/support/scene.py."""
    return functools.partial(Scene, tmp_path)


@pytest.fixture
def imaging(tmp_path):
    """The same for an ImageScene; see tests/support/full.py."""
    return functools.partial(ImageScene, tmp_path)


@pytest.fixture
def chains(tmp_path):
    """The same for a ChainScene; see tests/support/chains.py."""
    return functools.partial(ChainScene, tmp_path)
