# SPDX-License-Identifier: Apache-2.0
"""Points are deleted, wherever they stand: what every other one shows stays bit for bit."""

import itertools
import os

import pytest

from support import create_qcow2, programs, qemus
from support.chains import one_disk
from support.oracles import compare
from support.scene import pairs


def in_order(s, order, points=4):
    kept = s.deepen(points + 1)
    for place in order:
        s.delete(kept[place])
        s.grow()
    assert [len(s.layers(index)) for index in range(len(s.paths))] == \
        [points + 1 - len(order)] * len(s.paths)
    s.point('afterwards')
    s.judge()


@pairs('kind, interface, iothread, order',
       ('drive', 'virtio', False, (0, 3, 1, 2)), ('blockdev', 'scsi', True, (1, 2, 3, 0)),
       ('blockdev', 'virtio', False, (3, 2, 1, 0)), ('drive', 'scsi', True, (2, 0, 3)),
       quick=[0, 1])
def test_four_points_of_two_disks(qemu, kind, interface, iothread, order, chains):
    """One guest, disks written in turn: a point is of one moment of both, and goes from both."""
    with chains(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        in_order(s, order)


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
@pytest.mark.parametrize('kind', ['drive', 'blockdev'])
@pytest.mark.parametrize('order', list(itertools.permutations(range(4)))[::5])
def test_in_every_position(qemu, kind, order, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        in_order(s, order)


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_the_first_lives_on_in_the_file_below(qemu, kind, chains, tmp_path):
    """vol <- vol.1 <- vol.2: without the first point the second lives in vol."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        first, second = s.deepen(3)
        base = s.layers()[0]
        answer = s.ask_for('snapshots', first.id, method='DELETE', dry_run=True)
        assert answer.status == 200, answer.body
        move, = answer.json['moves']
        operation = s.delete(first)
        assert operation['result']['bytes'] == answer.json['bytes']
        if move['kind'] == 'commit':
            assert s.file_of(second)[0] == base
        s.refuses(404, 'not-found', first.id, words=('snapshots', first.id), method='DELETE')
        s.delete(second)
        assert len(s.layers()) == 1


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_by_name(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        odd = s.point('../a/disk.7?x=1&"ü\u2028')
        s.grow()
        twice = [s.point('twice'), s.point('twice')]
        s.refuses(409, 'conflict', 'twice', words=('snapshots', 'twice'), method='DELETE')
        s.work('snapshots', odd.name, method='DELETE', gone=[odd])
        s.judge()
        for kept in twice:
            s.delete(kept)
        assert len(s.layers()) == 1


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_one_disk_of_two(qemu, kind, chains):
    with chains(qemu, kind=kind) as s:
        first, second = s.deepen(3)
        disk = next(disk['disk'] for disk in s.told(first)['disks'] if disk['disk'].endswith('1'))
        del first.copies[1]
        s.delete(first, disks=[disk], gone=[])
        assert [len(s.layers(index)) for index in (0, 1)] == [3, 2]
        s.delete(first)
        assert [len(s.layers(index)) for index in (0, 1)] == [2, 2]
        s.delete(second)


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_with_an_image_of_somebody_else_on_it(qemu, kind, chains, tmp_path):
    """The layer stays, or nothing happens: another image is never changed from below."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        first, second, _ = s.deepen(4)
        layer = s.file_of(second)[0]
        other = create_qcow2(tmp_path / 'a/other', backing=os.path.basename(layer), qemu=qemu)
        s.aside |= {str(other), layer}
        programs.img('convert', '-U', '-f', 'qcow2', '-O', 'raw', other, tmp_path / 'was', qemu=qemu)
        for kept in first, second:
            answer = s.ask_for('snapshots', kept.id, method='DELETE')
            if answer.status == 202:
                assert s.daemon.finished(answer.json)['state'] == 'succeeded'
                s.forget([kept])
            else:
                assert answer.status == 409 and 'other' in answer.error['message'], answer.body
            s.aside |= set(s.layers())
            s.judge()
            compare(other, (tmp_path / 'was', 'raw'), qemu)
