# SPDX-License-Identifier: Apache-2.0
"""Storage that fails where a job makes its data durable, and under the way back of a full image.

What a job reads and writes otherwise is in tests/qemu/test_chain_errors.py.
"""

import errno
import os

from support import Disk, create_qcow2
from support.chains import MIB
from support.full import ImageScene, qemu_io
from support.images import sector_of, table_sector_of
from support.machine import wait_until
from support.oracles import graph
from support.scene import pairs

FLUSH = {'event': 'none', 'iotype': 'flush', 'errno': errno.EIO, 'once': False}


def on_failing_base(folder, qemu, rules):
    """A disk on a base with data; the guest itself neither writes nor flushes that."""
    (folder / 'a').mkdir(exist_ok=True)
    base = create_qcow2(folder / 'a/base', '64M', options='preallocation=metadata', qemu=qemu)
    qemu_io('write -P 7 40M 1M', base, qemu)
    disk = create_qcow2(folder / 'a/disk', backing='base', qemu=qemu)
    return Disk(disk, backing=Disk(base, below={'driver': 'blkdebug', 'inject-error': rules}))


@pairs('on_error, kind', ('report', 'drive'), ('enospc', 'blockdev'), quick=[0])
def test_a_flush_fails(qemu, on_error, kind, chains, tmp_path):
    """Then nobody says that it is durable: the operation fails, and no layer goes."""
    with chains(qemu, [on_failing_base(tmp_path, qemu, [FLUSH])], kind=kind) as s:
        s.models[0][40] = 7
        s.point()
        s.write(20)
        files = [os.stat(path).st_ino for path in s.layers()]
        operation = s.daemon.finished(s.begin_to('disks', 'disk0', 'commit', base='base',
                                                 on_error=on_error, discard_points=True))
        assert operation['state'] == 'failed', operation
        assert 'Input/output error' in operation['error']['message'], operation['error']
        assert [os.stat(path).st_ino for path in s.layers()] == files
        s.points = {point['id']: s.points[point['id']] for point in s.listed()}
        s.aside |= s.name_for_life()
        s.judge()
        s.point('after that')


@pairs('kind', ('blockdev',), quick=[0])
def test_a_flush_fails_below_the_top(qemu, kind, chains, tmp_path):
    """The same of an intermediate commit, which does not flush by itself."""
    with chains(qemu, [on_failing_base(tmp_path, qemu, [FLUSH])], kind=kind) as s:
        s.models[0][40] = 7
        s.point()
        s.write(20)
        s.point()
        files = [os.stat(path).st_ino for path in s.layers()]
        operation = s.daemon.finished(s.begin_to('disks', 'disk0', 'commit', base='base',
                                                 top=s.layers()[2], discard_points=True))
        assert operation['state'] == 'failed', operation
        assert 'Error flushing drive' in operation['error']['message'], operation['error']
        assert [os.stat(path).st_ino for path in s.layers()] == files
        s.points = {point['id']: s.points[point['id']] for point in s.listed()}
        s.aside |= s.name_for_life()
        s.judge()


@pairs('iothread', (False,), (True,), (True,), (False,), quick=[0, 1])
def test_tables_are_not_written(qemu, iothread, chains, tmp_path):
    """Where QEMU's flush does not tell: the layers stay. Once the storage is well they go."""
    (tmp_path / 'a').mkdir()
    path = create_qcow2(tmp_path / 'a/disk', '64M', options='cluster_size=4k', qemu=qemu)
    qemu_io('write -P 7 40M 1M', path, qemu)        # its table has 2 MiB, and this is half of it
    layer = tmp_path / 'a/disk.0'       # so that it stays open as it was opened
    os.link(path, layer)
    rule = {'event': 'none', 'iotype': 'write', 'errno': errno.EIO, 'once': True,
            'sector': table_sector_of(path, 41 * MIB)}
    disk = Disk(layer, below={'driver': 'blkdebug', 'inject-error': [rule]})
    with chains(qemu, [disk], kind='drive', iothread=iothread) as s:
        s.paths[0] = (str(path), 'qcow2')
        s.models[0][40] = 7
        lost = s.point()
        s.write(41)
        kept = s.point()
        files = [os.stat(path).st_ino for path in s.layers()]
        asked = dict(base='disk.0', top=kept.name, discard_points=True)
        operation = s.daemon.finished(s.begin_to('disks', 'disk0', 'commit', **asked))
        assert operation['state'] == 'failed', operation
        assert operation['error']['code'] == 'guest', operation['error']
        assert 'has not written its tables' in operation['error']['message'], operation['error']
        assert f'{MIB} bytes' in operation['error']['message'], operation['error']
        assert [os.stat(path).st_ino for path in s.layers()] == files
        s.forget([lost])
        s.aside |= s.name_for_life()
        s.judge()
        s.aside.clear()
        s.commit(**asked)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_the_way_back_fails(qemu, kind, tmp_path):
    """The overlay of a full image stays on top, with what was written since; the image is made."""
    (tmp_path / 'a').mkdir()
    path = create_qcow2(tmp_path / 'a/disk', '64M', options='preallocation=metadata', qemu=qemu)
    layer = tmp_path / 'a/disk.0'       # so that it stays open as it was opened
    os.link(path, layer)
    rule = {'event': 'none', 'iotype': 'write', 'errno': errno.EIO,
            'sector': sector_of(path, 20 << 20, qemu)}
    disk = Disk(layer, below={'driver': 'blkdebug', 'inject-error': [rule]})
    with ImageScene(tmp_path, qemu, [disk], kind=kind) as s:
        s.paths[0] = (str(path), 'qcow2')
        before = s.vm.acked()
        with s.held_upload() as operation:
            s.fill(at=16, pattern=9, size=8)
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        assert not s.vm.errors()
        s.judge_kept(operation, 'rror', begun=True)
        assert s.vm.qmp.execute('query-jobs') == []
        wait_until(lambda: not {name for name in graph(s.vm.qmp).nodes if name.startswith('qsnap-')}
                   - graph(s.vm.qmp).reached, 'nothing is left in QEMU', 10)
        s.vm.wait_for_writes(20)
