# SPDX-License-Identifier: Apache-2.0
"""A chain that has grown for long: QEMU's answers are as deep as it is."""

import os

from support import Disk, create_qcow2
from support.scene import pairs

DEPTH = 80


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_it_is_seen_and_made_short(qemu, kind, chains, tmp_path):
    folder = tmp_path / 'a'
    folder.mkdir()
    for number in range(DEPTH):
        below = f'disk.{number - 1}' if number else None
        create_qcow2(folder / f'disk.{number}', '64M', backing=below, qemu=qemu)
    os.link(folder / f'disk.{DEPTH - 1}', folder / 'disk')
    with chains(qemu, [Disk(str(folder / 'disk'))], kind=kind) as s:
        assert len(s.disk('disk0')['layers']) == DEPTH
        operation = s.work('shorten', max_chain_length=3)
        assert 'shorter' not in operation['result']
        assert len(s.layers()) == 3
        s.point()
        s.restart()
