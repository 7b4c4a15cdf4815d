# SPDX-License-Identifier: Apache-2.0
"""Back to a point, in the same process: all disks at once, and on from there."""

import json
import os
import pathlib

import pytest

from support import Disk, StorageDaemon, create_qcow2, programs, qemus
from support.machine import wait_until
from support.oracles import compare
from support.scene import pairs, two_disks

KINDS = [('drive', 'virtio', False), ('blockdev', 'scsi', True), ('blockdev', 'virtio', False),
         ('drive', 'scsi', False), ('drive', 'virtio', True), ('blockdev', 'scsi', False),
         ('blockdev', 'virtio', True), ('drive', 'scsi', True)]


def assert_at(s, kept):
    """Of a guest that stands: all disks show what the point does."""
    for index, copy in kept.copies.items():
        compare(s.paths[index], (copy, 'raw'), s.qemu)


def to_each_and_on(s, points):
    for kept in points:
        process = s.vm.pid
        s.revert(kept)
        assert s.vm.pid == process and s.status() == 'running'
        s.grow()
        s.vm.wait_for_writes(20)
        s.point(f'after {kept.name}')
    s.restart()
    s.judge()


@pairs('kind, interface, iothread', *KINDS, quick=[0, 1])
def test_to_each_point_and_on_from_there(qemu, kind, interface, iothread, chains):
    with chains(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        first, second, third = s.deepen(4)
        to_each_and_on(s, [third, first, second] if iothread else [first, third])


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
@pytest.mark.parametrize('kind, interface, iothread', KINDS)
@pytest.mark.parametrize('named', [False, True], ids=['unnamed', 'named'])
def test_of_every_kind_of_guest(qemu, kind, interface, iothread, named, chains, tmp_path):
    for name in 'ab':
        (tmp_path / name).mkdir()
    disks = [Disk(create_qcow2(tmp_path / name / 'disk', qemu=qemu), names=named) for name in 'ab']
    with chains(qemu, disks, kind=kind, interface=interface, iothread=iothread) as s:
        points = s.deepen(5)
        to_each_and_on(s, points)
        to_each_and_on(s, points[:1])


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_the_branch_that_is_left(qemu, kind, chains):
    """It is a point of its own: one can go back to it, and it can be dropped."""
    with chains(qemu, kind=kind) as s:
        first, second = s.deepen(3)
        operation, branch = s.revert(first, name='vor dem Rückweg')
        assert branch.name == 'vor dem Rückweg' and branch.number > second.number
        s.grow()
        operation, other = s.revert(branch)
        assert branch.name in other.name, other.name
        assert s.told(branch)['parent'] == second.id and s.told(other)['parent'] == first.id
        s.grow()
        s.delete(other)
        files = s.layers()
        s.revert(branch, discard=True)
        assert s.layers()[:-1] == files[:-1], 'the same chain, but for a new active layer'
        s.grow()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_discard(qemu, kind, chains):
    """Nothing of what was written since the point is left, but what others need."""
    with chains(qemu, kind=kind) as s:
        first, second = s.deepen(3)
        s.revert(first, discard=True)
        s.grow()
        assert [len(s.layers(index)) for index in (0, 1)] == [2, 2]
        # As QEMU names it when it cannot by a path.
        layer, = map(str, s.name_for_life() - {pathlib.Path(s.paths[0][0])})
        name = 'json:' + json.dumps({'driver': 'qcow2', 'file': {'driver': 'file', 'filename': layer}})
        other = os.path.join(os.path.dirname(layer), 'other')
        programs.img('create', '-q', '-u', '-f', 'qcow2', '-b', name, '-F', 'qcow2', other, '64M', qemu=qemu)
        s.aside |= {layer, other, layer.replace('/a/', '/b/')}     # whose name may be meant as well
        s.revert(second, discard=True)
        assert [len(s.layers(index)) for index in (0, 1)] == [3, 3]
        assert os.path.exists(layer)


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_a_paused_guest(qemu, kind, chains):
    with chains(qemu, kind=kind) as s:
        first, _ = s.deepen(3)
        s.vm.qmp.execute('stop')
        s.still = True
        s.revert(first)
        assert s.status() in ('paused', 'prelaunch'), 'its owner has paused it'
        assert_at(s, first)
        mark = s.vm.mark()
        s.vm.qmp.execute('cont')
        s.wait_record(first.number + 1, mark)
        s.still = False
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_without_a_reset(qemu, kind, chains):
    """The guest's memory stays; whether that is wise is the caller's to know."""
    with chains(qemu, kind=kind) as s:
        first, _ = s.deepen(3)
        s.vm.qmp.execute('stop')
        s.still = True
        s.vm.qmp.events.clear()
        s.revert(first, reset=False)
        assert s.status() == 'paused'
        assert not [event for event in s.vm.qmp.events if event['event'] == 'RESET']
        assert_at(s, first)
        s.vm.qmp.execute('system_reset')
        mark = s.vm.mark()
        s.vm.qmp.execute('cont')
        s.wait_record(first.number + 1, mark)
        s.still = False
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_some_disks(qemu, kind, chains):
    with chains(qemu, kind=kind) as s:
        first, _ = s.deepen(3)
        s.vm.qmp.execute('stop')
        s.still = True
        disk = s.told(first)['disks'][1]['disk']
        layers = s.layers(0)
        operation = s.work('snapshots', first.id, 'revert', disks=[disk], reset=False)
        assert operation['state'] == 'succeeded'
        assert s.layers(0) == layers
        compare(s.paths[1], (first.copies[1], 'raw'), qemu)
        branch = s.keep_new()
        assert branch.copies.keys() == {1}
        s.models[1] = dict(first.models[1])
        s.judge_graph()
        s.work('snapshots', first.id, 'revert', discard=True)   # both are of one moment again
        s.at(first)
        mark = s.vm.mark()
        s.vm.qmp.execute('cont')
        s.wait_record(first.number + 1, mark)
        s.still = False
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_what_is_refused(qemu, kind, chains):
    with chains(qemu, kind=kind) as s:
        first, second = s.deepen(3)
        words = ('snapshots', first.id, 'revert')
        s.refuses(404, 'not-found', 'nothing', words=('snapshots', 'nothing', 'revert'))
        s.refuses(400, 'invalid', 'colour', words=words, colour='red')
        s.refuses(400, 'invalid', 'reset', words=words, reset='yes')
        s.refuses(404, 'not-found', 'disk7', words=words, disks=['disk7'])
        s.refuses(400, 'invalid', 'name', words=words, name='x' * 256)
        s.vm.qmp.execute('block_resize', node_name=s.root('disk1'), size=80 << 20)
        s.refuses(409, 'conflict', 'bytes', words=words)
        s.vm.qmp.execute('block_resize', node_name=s.root('disk1'), size=64 << 20)
        s.revert(second)


def test_of_a_storage_daemon(chains, tmp_path):
    """It has clients of whom we know nothing."""
    with chains(disks=two_disks(tmp_path), peer=StorageDaemon) as s:
        kept = s.point()
        s.refuses(409, 'conflict', words=('snapshots', kept.id, 'revert'))


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_how_long_it_stands(qemu, kind, chains):
    """The window is told; a figure is for the benchmark."""
    with chains(qemu, kind=kind) as s:
        first, = s.deepen(2)
        operation, _ = s.revert(first)
        assert 0 < operation['result']['frozen_us'] < 20e6
        wait_until(lambda: s.status() == 'running', 'the guest runs')
