# SPDX-License-Identifier: Apache-2.0
"""What others need, or may need: a base with a name of its own, names in other folders, internal snapshots."""

import os
import pathlib

import pytest

from support import Machine, create_qcow2, programs
from support.chains import one_disk
from support.machine import wait_until
from support.oracles import chain
from support.scene import pairs


@pytest.fixture
def golden(tmp_path):
    """A disk over a base that is called otherwise, in a folder of their own."""
    (tmp_path / 'a').mkdir()
    base = create_qcow2(tmp_path / 'a/golden.img', '64M')
    return base, create_qcow2(tmp_path / 'a/disk', '64M', backing='golden.img')


def disk_of(s):
    disks = s.daemon.get(s.path('disks')).json['disks']
    disk, = [disk for disk in disks if not disk.get('skipped')]
    return disk


def commit(s):
    """Everything into the base."""
    s.work('disks', 'disk0', 'commit', base='golden.img', discard_points=True)
    s.points.clear()


def take_point(s):
    """The next layer stands on the base, by the base's name."""
    s.grow()
    s.keep(s.backup(name='after', image='none')['result']['point'])
    s.grow()
    s.judge_frozen()


@pairs('kind', ('drive',), ('blockdev',))
def test_a_disk_keeps_its_name_on_another_base(qemu, kind, chains, golden):
    """The guest runs on golden.img and is started from disk: what only the past can tell."""
    base, disk = map(str, golden)
    with chains(qemu, [disk], kind=kind) as s:
        s.aside.add(base)
        s.deepen(3)
        commit(s)
        assert os.stat(disk).st_ino == os.stat(base).st_ino
        s.daemon.kill()
        s.daemon.start()
        s.wait_attached()
        now = disk_of(s)
        assert (now['path'], now['layers'][0]['path']) == (disk, base)
        take_point(s)
        assert disk_of(s)['path'] == disk
        s.restart()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_the_same_of_a_guest_that_is_shut_off(qemu, kind, chains, golden):
    base, disk = map(str, golden)
    with chains(qemu, [disk], kind=kind) as s:
        s.aside.add(base)
        s.deepen(3)
        s.shut_off()
        commit(s)
        assert os.stat(disk).st_ino == os.stat(base).st_ino
        s.restart()
        take_point(s)


def assert_refused(s, *words):
    error = s.refuses(409, 'conflict', *words, words=('disks', 'disk0', 'commit'),
                      base='golden.img', discard_points=True)
    assert 'golden.img' in error['message']


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_another_guest_stands_on_it(qemu, kind, chains, golden, tmp_path):
    """Running, shut off, let go of; and an image that no guest was seen with, by its folder."""
    base, disk = map(str, golden)
    (tmp_path / 'b').mkdir()
    other = create_qcow2(tmp_path / 'b/other', '64M', backing=base)
    with chains(qemu, [disk], kind=kind, daemon={'daemon.scan-folders': str(tmp_path / 'b')}) as s:
        s.aside.add(base)
        s.deepen(2)
        with Machine(qemu, disks=[other], folder=tmp_path / 'q') as neighbour:
            guest = s.daemon.attach(neighbour.qmp_path, id='neighbour')
            assert_refused(s, 'guest neighbour')
            neighbour.quit()
            wait_until(lambda: s.daemon.get(f'/v1/guests/{guest}').json['state'] != 'attached',
                       'the daemon sees that the neighbour is gone', interval=0.02)
            assert_refused(s, 'guest neighbour', 'shut off')
        assert s.daemon.delete(f'/v1/guests/{guest}').status == 204
        assert_refused(s, 'guest neighbour', 'shut off')
        os.unlink(other)
        stranger = create_qcow2(tmp_path / 'b/stranger', '64M', backing=base)
        assert_refused(s, str(stranger))
        os.unlink(stranger)
        commit(s)
        s.judge_frozen()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_watched_guest_is_forgotten_but_its_disk_is_not(qemu, kind, chains, golden, tmp_path):
    """It goes with its socket; what it stands on is still what it stood on."""
    base, disk = map(str, golden)
    (tmp_path / 'b').mkdir()
    (tmp_path / 'w').mkdir()
    other = create_qcow2(tmp_path / 'b/other', '64M', backing=base)

    def ids(**members):
        guests = s.daemon.get('/v1/guests').json['guests']
        return {guest['id'] for guest in guests
                if all(guest[name] == value for name, value in members.items())}

    with chains(qemu, [disk], kind=kind, daemon={'watch.sockets': f'{tmp_path}/w/*.sock'}) as s:
        s.aside.add(base)
        known = ids()
        with Machine(qemu, disks=[other], folder=tmp_path / 'q') as neighbour:
            os.rename(neighbour.qmp_path, tmp_path / 'w/n.sock')
            wait_until(lambda: ids(state='attached') - known, 'the daemon sees the neighbour',
                       interval=0.02)
            guest, = ids() - known
            wait_until(lambda: s.daemon.get(f'/v1/guests/{guest}/disks').json['disks'],
                       'the daemon sees its disks', interval=0.02)
            assert_refused(s, f'guest {guest}')
            neighbour.quit()
        (tmp_path / 'w/n.sock').unlink(missing_ok=True)
        wait_until(lambda: ids() == known, 'the neighbour is forgotten', interval=0.02)
        assert_refused(s, f'guest {guest}', 'shut off')
        os.unlink(other)
        commit(s)
        s.judge_frozen()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_nobody_was_seen_on_a_shared_base(qemu, kind, chains, tmp_path):
    """Its name says that it was there before the disk: it is neither removed nor, unasked, written to."""
    for folder in '_base', 'one', 'two':
        (tmp_path / folder).mkdir()
    base = create_qcow2(tmp_path / '_base/0a1b2c', '64M')
    disk, other = (create_qcow2(tmp_path / folder / 'disk', '64M', backing=base)
                   for folder in ('one', 'two'))
    with chains(qemu, [disk], kind=kind) as s:
        before = base.read_bytes()
        s.refuses(409, 'conflict', '0a1b2c', 'base', words=('disks', 'disk0', 'commit'))
        operation = s.stream()
        assert operation['result']['moves'][0]['stay'] == [str(base)]
        assert len(s.layers()) == 1 and base.read_bytes() == before
        assert len(chain(other, qemu)) == 2


@pairs('kind', ('blockdev',), ('drive',), quick=[])
def test_a_name_in_another_folder(qemu, kind, chains, tmp_path):
    """A header that is true beside its file is not true beside the disk."""
    for folder in 'base', 'one':
        (tmp_path / folder).mkdir()
    root = create_qcow2(tmp_path / 'base/root.img', '64M')
    golden = create_qcow2(tmp_path / 'base/golden.img', '64M', backing='root.img')
    disk = create_qcow2(tmp_path / 'one/disk', '64M', backing=golden)
    with chains(qemu, [disk], kind=kind) as s:
        s.aside |= {root, golden}
        s.grow()
        s.refuses(409, 'conflict', 'rebase', words=('disks', 'disk0', 'commit'), base='golden.img')
        s.stream(base='root.img')
        assert s.layers() == [str(root), str(disk)]
        s.restart()


@pairs('kind', ('blockdev',), ('drive',), quick=[])
def test_internal_snapshots_stay(qemu, kind, chains, tmp_path):
    """They go with their file, and nobody asks for them by name."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(2)
        s.shut_off()
        programs.img('snapshot', '-c', 'before', s.paths[0][0], qemu=qemu)
        s.restart()
        holds = s.name_for_life() - {pathlib.Path(s.paths[0][0])}
        _, uppermost = s.deepen(4)
        s.refuses(409, 'conflict', 'internal snapshots', words=('disks', 'disk0', 'commit'),
                  base='disk.0', top='disk.1', discard_points=True)
        operation = s.stream(discard_points=True, gone=[uppermost])
        assert len(s.layers()) == 1
        left, = holds
        assert str(left) in operation['result']['moves'][0]['stay']
        assert 'before' in programs.img('snapshot', '-l', '-U', left, qemu=qemu)
