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
    """A storage daemon with one disk, which somebody could write to, to attach to."""
    export = ['--nbd-server', f'addr.type=unix,addr.path={tmp_path / "p/nbd"}',
              '--export', 'nbd,id=disk0,node-name=node0,writable=on']
    with StorageDaemon(disks=[create_qcow2(tmp_path / 'disk')], write=False, args=export, folder=tmp_path / 'p') as running:
        yield running
