# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tool import Tool
from support.glance import Glance


@pytest.fixture(scope='module')
def glance():
    with Glance('fakeauth') as running:
        yield running


@pytest.fixture
def tool(glance):
    return Tool(glance.url)
