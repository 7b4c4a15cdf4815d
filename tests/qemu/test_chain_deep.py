# SPDX-License-Identifier: Apache-2.0
"""A chain that has grown for long: QEMU's answers are as deep as it is."""

import os
import time

from support import Disk, create_qcow2
from support.scene import pairs



def deep_disk(folder, qemu, depth):
    """A disk of so many layers."""
    folder.mkdir()
    for number in range(depth):
        below = f'disk.{number - 1}' if number else None
        create_qcow2(folder / f'disk.{number}', '64M', backing=below, qemu=qemu)
    os.link(folder / f'disk.{depth - 1}', folder / 'disk')
    return [Disk(str(folder / 'disk'))]


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_it_is_seen_and_made_short(qemu, kind, chains, tmp_path):
    with chains(qemu, deep_disk(tmp_path / 'a', qemu, 80), kind=kind) as s:
        assert len(s.disk('disk0')['layers']) == 80
        operation = s.work('shorten', max_chain_length=3)
        assert 'shorter' not in operation['result']
        assert len(s.layers()) == 3
        s.point()
        s.restart()


@pairs('kind, depth', ('blockdev', 120), ('drive', 200), quick=[0])
def test_it_stays_quick(qemu, kind, depth, chains, tmp_path):
    """Each node above a move that is called by its whole chain would take QEMU ten times as long to tell."""
    with chains(qemu, deep_disk(tmp_path / 'a', qemu, depth), kind=kind) as s:
        def look():
            began = time.monotonic()
            s.vm.qmp.execute('query-named-block-nodes', flat=True)
            return time.monotonic() - began
        before = min(look() for _ in range(5))
        operation = s.begin_to('disks', 'disk0', 'stream', into=f'{tmp_path}/a/disk.40',
                               base=f'{tmp_path}/a/disk.30')
        assert s.daemon.finished(operation, 60)['state'] == 'succeeded'
        assert min(look() for _ in range(5)) < 5 * before
        operation = s.begin_to('shorten', max_chain_length=20)
        assert s.daemon.finished(operation, 120)['state'] == 'succeeded'
        assert len(s.layers()) == 20
        s.point()
        s.restart()
