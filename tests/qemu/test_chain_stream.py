# SPDX-License-Identifier: Apache-2.0
"""Data moves up while the guest writes: no point is lost, though its file may leave the chain."""

import itertools
import os

import pytest

from support import create_qcow2, create_raw, programs, qemus
from support.chains import one_disk
from support.full import qemu_io
from support.oracles import chain
from support.scene import pairs

DEEP = 5


def name(path):
    return os.path.basename(path)


def stream(s, into, base):
    """Streams what is above layer `base` (None: all) into layer `into`, counted from the base."""
    files = s.layers()
    members = {}
    if into < len(files) - 1:
        members['into'] = name(files[into])
    if base is not None:
        members['base'] = name(files[base])
    s.stream(**members)
    first = 0 if base is None else base + 1
    assert s.layers() == files[:first] + files[into:]
    needed = {os.path.realpath(layer.path) for kept in s.points.values()
              for layer in chain(s.file_of(kept), s.qemu)}
    for path in files[first:into]:
        assert os.path.exists(path) == (path in needed), f'{path} is needed: {path in needed}'


WALKS = [((4, 2), (1, None), (2, 0)), ((2, None), (2, None)), ((4, None),), ((3, 1), (3, 0), (1, None)),
         ((4, 0), (1, None)), ((3, None), (1, None)), ((2, 0), (3, 1)), ((1, None), (3, 0))]


@pairs('kind, interface, iothread, walk',
       ('drive', 'virtio', False, WALKS[0]), ('blockdev', 'scsi', True, WALKS[1]),
       ('drive', 'scsi', False, WALKS[3]), ('blockdev', 'virtio', True, WALKS[2]),
       ('blockdev', 'virtio', False, WALKS[4]), ('drive', 'scsi', True, WALKS[5]),
       ('blockdev', 'scsi', False, WALKS[6]), ('drive', 'virtio', True, WALKS[7]),
       quick=[0, 1, 3])
def test_step_by_step(qemu, kind, interface, iothread, walk, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        s.deepen(DEEP)
        for into, base in walk:
            stream(s, into, base)
            s.grow()
        s.restart()
        s.point('afterwards')
        s.judge()


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
@pytest.mark.parametrize('kind', ['drive', 'blockdev'])
@pytest.mark.parametrize('base, into', [(base - 1 if base else None, into) for base, into
                                        in itertools.combinations(range(DEEP), 2)])
def test_every_base(qemu, kind, base, into, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(DEEP)
        stream(s, into, base)
        s.grow()
        s.point()
        s.restart()
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_two_disks_of_a_paused_guest(qemu, kind, chains):
    with chains(qemu, kind=kind) as s:
        s.deepen(3)
        s.vm.qmp.execute('stop')
        s.still = True
        for disk in 'disk0', 'disk1':
            s.stream(disk)
        assert s.status() == 'paused'
        assert [len(s.layers(index)) for index in (0, 1)] == [1, 1]
        s.vm.qmp.execute('cont')
        s.still = False
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_of_a_disk_on_an_image_of_others(qemu, kind, chains, tmp_path):
    """A template below is read, and stays what it is."""
    template = create_raw(tmp_path / 'template', '64M', os.urandom(4 << 20), qemu=qemu)
    (tmp_path / 'a').mkdir()
    disk = create_qcow2(tmp_path / 'a/disk', backing=str(template), backing_format='raw', qemu=qemu)
    before = template.read_bytes()
    with chains(qemu, [disk], kind=kind) as s:
        s.grow()
        first = s.point()
        s.grow()
        s.stream(base=name(template))
        assert len(s.layers()) == 2 and s.layers()[0] == str(template)
        s.stream()
        assert len(s.layers()) == 1
        assert len(chain(s.file_of(first), qemu)) == 2
        s.judge()
        assert template.read_bytes() == before
        programs.img('convert', '-U', '-f', 'qcow2', '-O', 'raw', s.paths[0][0], tmp_path / 'now',
                     qemu=qemu)
        assert (tmp_path / 'now').read_bytes()[-4 << 20:] == before[-4 << 20:]


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_what_is_refused(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(3)
        files = [name(path) for path in s.layers()]
        words = ('disks', 'disk0', 'stream')
        s.refuses(400, 'invalid', 'top', words=words, top=files[1])
        s.refuses(400, 'invalid', 'speed', words=words, speed='fast')
        s.refuses(404, 'not-found', 'nothing', words=words, into='nothing')
        s.refuses(409, 'conflict', words=words, into=files[1], base=files[1])
        s.refuses(409, 'conflict', words=words, into=files[0], base=files[1])


@pairs('kind', ('drive',), ('blockdev',))
def test_into_subclusters(qemu, kind, chains, tmp_path):
    """A QEMU before 9.0 would die of it: refused there, and the guest lives."""
    (tmp_path / 'a').mkdir()
    base = create_qcow2(tmp_path / 'a/base', '64M', qemu=qemu)
    qemu_io('write -P 7 40M 100k', base, qemu)
    path = create_qcow2(tmp_path / 'a/disk', backing='base', qemu=qemu,
                        options='extended_l2=on,cluster_size=128k')
    with chains(qemu, [path], kind=kind) as s:
        s.aside.add(base)
        schema = s.vm.qmp.execute('query-qmp-schema')
        if any(member.get('name') == 'backing-mask-protocol' for entry in schema
               for member in entry.get('members', ())):
            s.stream()
            assert len(s.layers()) == 1
        else:
            s.refuses(409, 'conflict', 'extended_l2', words=('disks', 'disk0', 'stream'))
        s.vm.wait_for_writes(10)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_cancelled(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.write(at=8, size=32)
        s.point()
        s.grow()
        files = s.layers()
        operation = s.begin_to('disks', 'disk0', 'stream', speed=1 << 20)
        s.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'status': 'running'})
        answer = s.daemon.delete(f"/v1/operations/{operation['id']}")
        assert answer.status in (200, 202, 204), answer.body
        assert s.daemon.finished(operation)['state'] == 'cancelled'
        assert s.layers() == files
        s.judge()
        s.stream()
