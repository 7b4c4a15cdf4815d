# SPDX-License-Identifier: Apache-2.0
"""Full images of running guests: exact, standing alone, and the disks as before afterwards."""

import os
import shutil

import pytest

from support import Disk, Machine, StorageDaemon, create_qcow2, create_raw, qemus
from support.full import qemu_io
from support.oracles import assert_log_prefix, assert_prefix, chain, compare
from support.scene import pairs

from test_guests import loop_device

KINDS = [('drive', 'virtio', False), ('blockdev', 'scsi', True), ('blockdev', 'virtio', False),
         ('drive', 'scsi', True), ('drive', 'scsi', False), ('blockdev', 'virtio', True),
         ('drive', 'virtio', True), ('blockdev', 'scsi', False)]


def every_way(s, folder):
    """All disks, twice; a backup between, and after; then one disk."""
    s.full(name='all', disks='all')
    s.vm.wait_for_writes(20)
    s.judge()
    s.full(name='again', disks='all')
    s.backup(name='point')
    s.note()
    s.judge()
    operation = s.full(name='above a point', disks='all')
    assert len(operation['result']['images']) == len(s.paths)
    s.full(name='one', disks=[s.paths[1][0]])
    s.judge()
    s.compare_restored(s.backup(name='last'))


@pairs('kind, interface, iothread', *KINDS[:4], quick=[1])
def test_images_of_all_disks(qemu, kind, interface, iothread, imaging, tmp_path):
    with imaging(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        every_way(s, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
@pytest.mark.parametrize('kind, interface, iothread', KINDS)
@pytest.mark.parametrize('names', [False, True], ids=['unnamed', 'named'])
def test_images_of_every_kind_of_guest(qemu, kind, interface, iothread, names, imaging, tmp_path):
    for name in 'ab':
        (tmp_path / name).mkdir()
    disks = [Disk(create_qcow2(tmp_path / name / 'disk', qemu=qemu), names=names) for name in 'ab']
    with imaging(qemu, disks, kind=kind, interface=interface, iothread=iothread) as s:
        every_way(s, tmp_path)


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_the_first_disk_when_nobody_says_which(qemu, kind, imaging, tmp_path):
    with imaging(qemu, kind=kind) as s:
        other = [node for node in s.vm.qmp.execute('query-named-block-nodes', flat=True)
                 if '/b/' in node['file']]
        operation = s.full(name='root')
        disk, = operation['result']['disks']
        assert disk['path'] == f'{tmp_path}/a/disk'
        image, = operation['result']['images']
        assert (image['name'], image['is_point']) == ('root', True)
        assert os.listdir(tmp_path / 'b') == ['disk'], 'the other disk was touched'
        assert other == [node for node in s.vm.qmp.execute('query-named-block-nodes', flat=True)
                         if '/b/' in node['file']]
        s.full(name='other', disks=[f'{tmp_path}/b/disk'])
        operation = s.full(disks=['disk0', 'disk1'])
        assert [image['name'].rpartition('/')[2] for image in operation['result']['images']] == \
            [disk['disk'] for disk in operation['result']['disks']]
        assert not s.daemon.get(f'/v1/guests/{s.guest}/snapshots').json['snapshots']
        s.refused_image(404, 'not-found', 'nothing', disks=['nothing'])
        s.refused_image(400, 'invalid', 'format', format='vmdk')
        s.refused_image(400, 'invalid', 'deadline', deadline=0)
        s.refused_image(400, 'invalid', 'on_deadline', on_deadline='wait')


@pairs('named', (False,), (True,), quick=[1])
def test_of_a_storage_daemon(qemu, named, imaging, tmp_path):
    disks = [Disk(create_qcow2(tmp_path / name), names=named, throttle=named) for name in 'xy']
    with imaging(qemu, disks, peer=StorageDaemon) as s:
        every_way(s, tmp_path)


@pairs('kind, interface', ('drive', 'virtio'), ('blockdev', 'scsi'), quick=[0])
def test_below_filters(qemu, kind, interface, imaging, tmp_path):
    """The image is a prefix of what the log above the disk says, and the log goes on."""
    (tmp_path / 'logs').mkdir()
    disks = [Disk(create_qcow2(tmp_path / name), log=tmp_path / 'logs' / name, throttle=True)
             for name in 'xy']
    with imaging(qemu, disks, kind=kind, interface=interface) as s:
        last = 0
        for _ in range(2):
            operation = s.full(disks='all')
            s.vm.wait_for_writes(20)
            for disk, told in zip(disks, operation['result']['disks']):
                image = s.data(told['image_id'])
                point = assert_log_prefix(disk.log, image, qemu=qemu)
                assert point > last
            last = point


# Chains

def deep(folder, qemu):
    """Layers of every kind over each other, each greater than the one below."""
    create_raw(folder / 'raw', '8M', os.urandom(1 << 20), qemu=qemu)
    old = create_qcow2(folder / 'old', '9M', 'raw', 'raw', 'compat=0.10', qemu=qemu)
    qemu_io('write -P 3 2M 3M', old, qemu)
    zstd = create_qcow2(folder / 'zstd', '20M', 'old', qemu=qemu,
                        options='compression_type=zstd,cluster_size=4k')
    qemu_io('write -z 2M 1M', zstd, qemu)
    qemu_io('write -c -P 5 10M 64k', zstd, qemu)
    big = create_qcow2(folder / 'big', str((30 << 20) + 512), 'zstd', options='cluster_size=2M',
                       qemu=qemu)
    qemu_io('write -P 9 29M 1M', big, qemu)
    return create_qcow2(folder / 'disk', str((40 << 20) + 1536), 'big', qemu=qemu)


@pairs('kind, fmt', ('drive', 'qcow2'), ('blockdev', 'raw'), quick=[0])
def test_chains_of_every_format(qemu, kind, fmt, imaging, tmp_path):
    disk = deep(tmp_path, qemu)
    with imaging(qemu, [disk], kind=kind) as s:
        assert s.behind[0]
        s.full(format=fmt)
        s.backup(image='none')
        s.note()
        s.full(format=fmt)
        s.judge()
        s.full(format='qcow2' if fmt == 'raw' else 'raw')


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_raw_disk(qemu, kind, imaging, tmp_path):
    """The disk is raw again afterwards; a start from it as raw meanwhile would have been wrong."""
    disks = [Disk(create_raw(tmp_path / 'x', content=os.urandom(1 << 20)), format='raw'),
             Disk(create_qcow2(tmp_path / 'y'))]
    with imaging(qemu, disks, kind=kind) as s:
        s.refused_image(409, 'conflict', 'raw')
        s.full(disks=['disk1'])
        for _ in range(2):
            s.full(disks='all', allow_format_change=True)
            s.judge()
        s.restart()
        s.note()
        s.full(allow_format_change=True)
        s.backup(allow_format_change=True)


@pairs('kind, fmt', ('drive', 'qcow2'), ('blockdev', 'raw'), quick=[1])
def test_a_block_device(qemu, kind, fmt, imaging, tmp_path):
    """A disk that is one: its overlay lies elsewhere for a while. And one over such a base."""
    for name in 'overlays', 'x':
        (tmp_path / name).mkdir()
    file = create_raw(tmp_path / 'volume', '80M')
    base = create_raw(tmp_path / 'base', content=os.urandom(1 << 20))
    with loop_device(file) as device, loop_device(base) as below:
        if fmt == 'qcow2':
            create_qcow2(device, '64M')
        disks = [Disk(str(device), fmt, driver='host_device'),
                 Disk(create_qcow2(tmp_path / 'x/disk', backing=str(below), backing_format='raw'))]
        may = {'allow_format_change': True} if fmt == 'raw' else {}
        with imaging(qemu, disks, kind=kind) as s:
            s.refused_image(409, 'conflict', str(device), **may)
            for _ in range(2):
                s.full(disks='all', overlay_folder=str(tmp_path / 'overlays'), **may)
                assert not os.listdir(tmp_path / 'overlays'), 'an overlay was left'
                s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_huge_disk(qemu, kind, imaging, tmp_path):
    with imaging(qemu, [create_qcow2(tmp_path / 'disk', '16T')], kind=kind) as s:
        operation = s.full()
        assert operation['result']['images'][0]['size'] < 16 << 20
        assert s.image(operation['result']['images'][0]['id'])['min_disk'] == 16 * 1024


# Beside points

@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_beside_backups(qemu, kind, imaging, tmp_path):
    """Points below stay bit for bit, and images are not taken for layers that the store has."""
    with imaging(qemu, kind=kind) as s:
        s.full(disks='all')
        first = s.backup(name='first')
        assert len(first['result']['images']) == 2
        assert [disk['layer'] for disk in first['result']['disks']] == \
            [f'{tmp_path}/{name}/disk.0' for name in 'ab']
        s.note()
        for _ in range(2):
            s.full(disks='all')
        s.judge()
        second = s.backup(name='second', parents='require')
        assert len(second['result']['images']) == 2, 'a layer was taken for one in the store'
        assert [disk['layer'] for disk in second['result']['disks']] == \
            [f'{tmp_path}/{name}/disk.1' for name in 'ab']
        s.compare_restored(second)
        s.note()
        s.full(disks='all')
        s.restart()
        s.note()
        s.full(disks='all')
        s.compare_restored(s.backup(name='third'))
        points = s.daemon.get(f'/v1/guests/{s.guest}/snapshots').json['snapshots']
        assert sorted(point['name'] for point in points) == ['first', 'second', 'third']


@pairs('kind, fmt', ('drive', 'qcow2'), ('blockdev', 'raw'), quick=[0])
def test_a_backup_with_a_full_image(qemu, kind, fmt, imaging, tmp_path):
    """The image is the point; the chain stays, and grows with the next one."""
    with imaging(qemu, kind=kind) as s:
        for number in range(2):
            before = s.vm.acked()
            operation = s.begin(name='p', image='full', format=fmt)
            operation = s.daemon.finished(operation)
            after = s.vm.acked()
            s.judge_full(operation, before, after, folded=False)
            for disk, path in zip(operation['result']['disks'], s.paths):
                assert 'folded' not in disk
                assert disk['layer'] == f'{path[0]}.{number}'
                s.judge_layer(s.index_of(disk), disk['layer'])
                compare(disk['layer'], (s.data(disk['image_id']), fmt), qemu)
                s.renamed.add(s.index_of(disk))
            s.vm.wait_for_writes(20)
            s.judge()
        points = s.daemon.get(f'/v1/guests/{s.guest}/snapshots').json['snapshots']
        assert {disk['image_id'] for point in points for disk in point['disks']} == s.images
        s.compare_restored(s.backup(name='layers'))
        s.note()
        s.full(disks='all')


@pairs('kind, fmt', ('drive', 'qcow2'), ('blockdev', 'raw'), quick=[1])
def test_a_guest_boots_from_its_images(qemu, kind, fmt, imaging, tmp_path):
    with imaging(qemu, kind=kind) as s:
        operation = s.full(disks='all', format=fmt)
        copies = []
        for disk in operation['result']['disks']:
            copies.append(Disk(tmp_path / f"copy-{disk['disk']}", fmt))
            shutil.copy(s.data(disk['image_id']), copies[-1].path)
        point = assert_prefix([(disk.path, fmt) for disk in copies])
        assert all(len(chain((disk.path, fmt))) == 1 for disk in copies)
        with Machine(qemu, disks=copies, folder=tmp_path / 'second') as other:
            other.wait_for_writes(20)
            assert not other.errors()
            other.kill()
            assert assert_prefix([(disk.path, fmt) for disk in copies]) > point


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_what_the_image_was_made_from_is_handed_on(qemu, kind, imaging, tmp_path):
    base = create_qcow2(tmp_path / 'base', qemu=qemu)
    with imaging(qemu, [base], kind=kind) as s:
        first = s.full(metadata={'os_type': 'linux', 'mine': 'a'})
        reference = first['result']['images'][0]['id']
        second = s.full(image_ref=reference, metadata={'mine': 'b'})
        properties = s.image(second['result']['images'][0]['id'])['properties']
        assert properties['base_image_ref'] == reference
        assert (properties['os_type'], properties['mine']) == ('linux', 'b')
        assert properties['qsnapd_point'] == second['id']
