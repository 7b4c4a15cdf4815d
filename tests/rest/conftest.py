# SPDX-License-Identifier: Apache-2.0
import pytest

from support import StorageDaemon, create_qcow2
from support.daemon import Daemon


@pytest.fixture(scope='module')
def daemon(tmp_path_factory):
    """One that all tests of a file share: each leaves it as it was."""
    with Daemon(tmp_path_factory.mktemp('d')) as running:
        yield running


@pytest.fixture
def peer(tmp_path):
    """A storage daemon with one disk, to attach to."""
    with StorageDaemon(disks=[create_qcow2(tmp_path / 'disk')], write=False, folder=tmp_path / 'p') as running:
        yield running
