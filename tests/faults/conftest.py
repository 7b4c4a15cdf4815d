# SPDX-License-Identifier: Apache-2.0
import functools

import pytest

from support.chains import ChainScene


@pytest.fixture
def chains(tmp_path):
    """Makes a ChainScene in the test's own folder; see tests/support/chains.py."""
    return functools.partial(ChainScene, tmp_path)
