# SPDX-License-Identifier: Apache-2.0
"""Guests and disks of every kind that there is."""

import contextlib
import json
import os
import pathlib
import stat
import subprocess

import pytest

from support import Disk, StorageDaemon, create_qcow2, create_raw, programs, qemus
from support.oracles import assert_chain, assert_log_prefix, chain, graph
from support.scene import pairs

newest = pytest.mark.parametrize('qemu', qemus()[-1:], ids=str)
every = pytest.mark.parametrize('qemu', qemus(), ids=str)


def cannot_reopen_in_iothread(qemu):
    return tuple(map(int, qemu.version.split('.'))) < (9, 0)


def two_points(s, **members):
    for number in range(2):
        operation = s.backup(name=f'point {number}', **members)
        s.vm.wait_for_writes(20)
        s.judge()
    return operation


# Filters and threads

@pairs('kind, interface, names', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       ('blockdev', 'virtio', False), ('drive', 'scsi', True))
def test_below_a_throttle_filter(qemu, kind, interface, names, scene, tmp_path):
    disks = [Disk(create_qcow2(tmp_path / name), throttle=True, names=names) for name in 'xy']
    with scene(qemu, disks, kind=kind, interface=interface) as s:
        two_points(s)
        drivers = [node['drv'] for node in s.vm.qmp.execute('query-named-block-nodes', flat=True)]
        assert drivers.count('throttle') == 2


@pairs('kind, throttle', ('blockdev', False), ('drive', True), ('drive', False), ('blockdev', True))
def test_the_frozen_layer_is_a_prefix_of_the_logged_writes(qemu, kind, throttle, scene, tmp_path):
    disks = [Disk(create_qcow2(tmp_path / name), log=tmp_path / f'writes-{name}', throttle=throttle)
             for name in 'xy']
    (tmp_path / 'logs').mkdir()
    for disk in disks:      # not in the disks' folder
        disk.log = tmp_path / 'logs' / os.path.basename(disk.path)
    with scene(qemu, disks, kind=kind) as s:
        before = 0
        for number in range(2):
            operation = s.backup(name=f'point {number}')
            s.vm.wait_for_writes(30)
            for disk, point in zip(disks, operation['result']['disks']):
                last = assert_log_prefix(disk.log, point['layer'], qemu=qemu)
                assert last > before
            before = last


@pairs('kind, interface', ('drive', 'virtio'), ('blockdev', 'scsi'), ('blockdev', 'scsi'),
       ('drive', 'virtio'), ('blockdev', 'virtio'), ('drive', 'scsi'), ('drive', 'scsi'))
def test_in_an_iothread(qemu, kind, interface, scene):
    with scene(qemu, kind=kind, interface=interface, iothread=True) as s:
        operation = two_points(s)
        s.compare_restored(operation)


@pairs('kind, interface', ('drive', 'scsi'), ('blockdev', 'scsi'), ('blockdev', 'scsi'),
       ('drive', 'virtio'), ('blockdev', 'virtio'))
def test_in_an_iothread_below_a_filter(qemu, kind, interface, scene, tmp_path):
    disks = [Disk(create_qcow2(tmp_path / name), throttle=True) for name in 'xy']
    with scene(qemu, disks, kind=kind, interface=interface, iothread=True) as s:
        if interface == 'scsi' and cannot_reopen_in_iothread(qemu):
            error = s.refused(409, 'conflict', 'iothread', 'filter')
            assert 'virtio-blk' in error['hint']
        else:
            two_points(s)


@every
def test_disks_named_by_us_and_by_qemu_in_one_point(qemu, scene, tmp_path):
    disks = [Disk(create_qcow2(tmp_path / 'x'), names=True), Disk(create_qcow2(tmp_path / 'y')),
             Disk(create_qcow2(tmp_path / 'z'), throttle=True)]
    with scene(qemu, disks, kind='drive') as s:
        two_points(s)


# What is no disk to take a point of

@pairs('kind', ('drive',), ('blockdev',))
def test_read_only_disks_and_empty_drives_are_skipped(qemu, kind, scene, tmp_path):
    (tmp_path / 'ro').mkdir()
    read_only = Disk(create_qcow2(tmp_path / 'ro/disk'), read_only=True)
    written = [create_qcow2(tmp_path / name) for name in 'xy']
    with scene(qemu, [written[0], read_only, written[1]], kind=kind, cd=True) as s:
        assert s.disk('disk1')['skipped'] == 'read-only'
        assert s.disk('cd0')['skipped'] == 'no medium'
        operation = s.backup()
        assert len(operation['result']['disks']) == 2
        s.refused(409, 'conflict', 'read-only', disks=['disk1'])
        s.refused(409, 'conflict', 'no medium', disks=['disk0', 'cd0'])
        assert os.listdir(tmp_path / 'ro') == ['disk']


@pairs('kind', ('blockdev',), ('drive',))
def test_raw_disks_are_refused_unless_their_format_may_change(qemu, kind, scene, tmp_path):
    disks = [Disk(create_raw(tmp_path / 'x'), format='raw'), Disk(create_qcow2(tmp_path / 'y'))]
    with scene(qemu, disks, kind=kind) as s:
        error = s.refused(409, 'conflict', 'raw', str(tmp_path / 'x'))
        assert 'allow_format_change' in error['hint']
        s.backup(disks=['disk1'])
        operation = s.backup(name='both', allow_format_change=True)
        raw = s.image(operation['result']['disks'][0]['image_id'])
        assert (raw['disk_format'], raw['hidden']) == ('raw', False)
        s.compare_restored(operation)
        s.compare_restored(s.backup(name='later'))
        s.restart()
        s.backup(name='anew')


@newest
def test_encrypted_disks_are_refused(qemu, scene, tmp_path):
    (tmp_path / 'luks').mkdir()
    secret = 'secret,id=key,data=do-not-tell'
    options = 'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10'
    programs.img('create', '-q', '--object', secret, '-f', 'qcow2', '-o', options,
                 tmp_path / 'luks/disk', '64M', qemu=qemu)
    node = {'driver': 'qcow2', 'node-name': 'hidden', 'encrypt': {'format': 'luks', 'key-secret': 'key'},
            'file': {'driver': 'file', 'filename': str(tmp_path / 'luks/disk')}}
    args = ['-object', secret, '-blockdev', json.dumps(node),
            '-device', 'virtio-blk-pci,drive=hidden,id=disk2']
    with scene(qemu, kind='blockdev', args=args) as s:
        s.refused(409, 'conflict', 'encrypted', 'disk2')
        s.refused(409, 'conflict', 'encrypted', disks=['disk2'])
        s.backup(disks=['disk0', 'disk1'])
        assert os.listdir(tmp_path / 'luks') == ['disk']


# What lies below

@pairs('kind', ('drive',), ('blockdev',))
def test_over_raw_and_over_a_base_elsewhere(qemu, kind, scene, tmp_path):
    for name in ('bases', 'x', 'y'):
        (tmp_path / name).mkdir()
    create_raw(tmp_path / 'x/base', content=os.urandom(1 << 20))
    create_qcow2(tmp_path / 'bases/base', '64M')
    disks = [create_qcow2(tmp_path / 'x/disk', backing='base', backing_format='raw'),
             create_qcow2(tmp_path / 'y/disk', backing=str(tmp_path / 'bases/base'))]
    with scene(qemu, disks, kind=kind) as s:
        operation = s.backup()
        assert len(operation['result']['images']) == 4
        s.compare_restored(operation)
        operation = s.backup()
        assert len(operation['result']['images']) == 2
        assert_chain(disks[0], ['disk', 'disk.1', 'disk.0', 'base'], ours=2, qemu=qemu)
        assert_chain(disks[1], ['disk', 'disk.1', 'disk.0', 'base'], ours=2, qemu=qemu)
        s.compare_restored(operation)


@contextlib.contextmanager
def loop_device(file):
    """A block device over a file."""
    made = subprocess.run(['losetup', '--find', '--show', file], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f'no loop device can be made here: {made.stderr.strip()}')
    device = made.stdout.strip()
    try:
        yield pathlib.Path(device)
    finally:
        subprocess.run(['losetup', '--detach', device], check=True)


@pairs('kind', ('blockdev',), ('drive',))
def test_over_a_block_device(qemu, kind, scene, tmp_path):
    (tmp_path / 'x').mkdir()
    base = create_raw(tmp_path / 'base', content=os.urandom(1 << 20))
    with loop_device(base) as device:
        disk = create_qcow2(tmp_path / 'x/disk', backing=str(device), backing_format='raw')
        with scene(qemu, [disk], kind=kind) as s:
            operation = s.backup()
            assert [image['size'] for image in operation['result']['images']][0] == base.stat().st_size
            s.compare_restored(operation)
            s.compare_restored(s.backup())


@pairs('kind, fmt', ('drive', 'qcow2'), ('blockdev', 'qcow2'), ('blockdev', 'raw'), ('drive', 'raw'))
def test_the_active_disk_is_a_block_device(qemu, kind, fmt, scene, tmp_path):
    (tmp_path / 'overlays').mkdir()
    file = create_raw(tmp_path / 'volume', '80M')
    with loop_device(file) as device:
        if fmt == 'qcow2':
            create_qcow2(device, '64M')
        with scene(qemu, [Disk(str(device), fmt, driver='host_device')], kind=kind) as s:
            may = {'allow_format_change': True} if fmt == 'raw' else {}
            error = s.refused(409, 'conflict', str(device), **may)
            assert 'overlay_folder' in error['hint']
            s.refused(409, 'conflict', overlay_folder=str(tmp_path / 'nowhere'), **may)
            operation = s.backup(overlay_folder=str(tmp_path / 'overlays'), **may)
            disk, = operation['result']['disks']
            assert disk['layer'] == str(device)
            assert os.path.dirname(disk['path']) == str(tmp_path / 'overlays')
            s.compare_restored(operation)
            s.judge()
            s.compare_restored(s.backup())
            s.restart()
            s.backup()


# Guests that stand still

@pairs('kind, interface',
       ('drive', 'virtio'), ('blockdev', 'scsi'), ('blockdev', 'virtio'), ('drive', 'scsi'))
def test_a_paused_guest_stays_paused(qemu, kind, interface, scene):
    with scene(qemu, kind=kind, interface=interface) as s:
        s.vm.qmp.execute('stop')
        s.vm.qmp.execute('query-status')
        s.vm.qmp.events.clear()
        s.still = True
        for _ in range(2):
            s.backup()
            assert s.vm.qmp.execute('query-status')['status'] == 'paused'
        assert not {'RESUME', 'STOP'} & {event['event'] for event in s.vm.qmp.events}
        s.judge()
        s.still = False
        s.vm.qmp.execute('cont')
        s.vm.wait_for_writes(20)
        s.backup()


@pairs('kind', ('drive',), ('blockdev',))
def test_a_guest_that_has_not_begun(qemu, kind, scene):
    with scene(qemu, kind=kind, paused=True) as s:
        s.backup()
        assert s.vm.qmp.execute('query-status')['status'] == 'prelaunch'
        s.vm.qmp.execute('cont')
        s.vm.wait_for_writes(20)
        s.backup()


@every
def test_a_guest_that_is_coming_in_is_refused(qemu, scene):
    with scene(qemu, kind='blockdev', args=['-incoming', 'defer'], paused=True) as s:
        s.still = True
        s.refused(409, 'conflict', 'inmigrate')


@pairs('names, throttle', (False, False), (True, True), (False, True), (True, False))
def test_a_storage_daemon(qemu, names, throttle, scene, tmp_path):
    disks = [Disk(create_qcow2(tmp_path / name), names=names, throttle=throttle) for name in 'xy']
    with scene(qemu, disks, peer=StorageDaemon) as s:
        guest = s.daemon.get(f'/v1/guests/{s.guest}').json
        assert (guest['kind'], guest['run_state']) == ('storage-daemon', None)
        s.compare_restored(two_points(s))
        s.backup(disks=[s.disk(str(tmp_path / 'y'))['name']])


# Names

@pairs('kind, interface',
       ('drive', 'virtio'), ('blockdev', 'scsi'), ('blockdev', 'virtio'), ('drive', 'scsi'))
def test_started_again_from_its_own_path(qemu, kind, interface, scene):
    with scene(qemu, kind=kind, interface=interface) as s:
        first = s.backup()
        s.backup()
        s.restart()
        s.judge()
        operation = s.backup()
        for disk in operation['result']['disks']:
            assert disk['layer'] == disk['path'] + '.2' and disk['overlay'] == disk['path'] + '.3'
        assert len(operation['result']['images']) == 2, 'what was uploaded before the restart is known'
        s.compare_restored(operation)
        s.restart()
        s.backup(name='last')
        assert {disk['layer'] for disk in first['result']['disks']} <= s.frozen.keys()


@pairs('kind', ('drive',), ('blockdev',))
def test_sizes_that_are_no_whole_clusters(qemu, kind, scene, tmp_path):
    with open(create_raw(tmp_path / 'z'), 'r+b') as file:
        file.truncate(67109000)     # not even whole sectors
    disks = [create_qcow2(tmp_path / 'x', 64 * 1024 * 1024 + 512),
             create_qcow2(tmp_path / 'y', 1024 * 1024 + 1536), Disk(tmp_path / 'z', 'raw')]
    with scene(qemu, disks, kind=kind) as s:
        sizes = [layers[0].size for layers in (chain(disk.path if isinstance(disk, Disk) else disk, qemu)
                                               for disk in disks[:2])]
        for _ in range(2):
            operation = s.backup(allow_format_change=True)
            s.compare_restored(operation)
        assert [chain(path, qemu)[0].size for path, _ in s.paths[:2]] == sizes
        assert chain(s.paths[2], qemu)[0].size == -(-67109000 // 512) * 512


@pairs('kind', ('blockdev',), ('drive',))
def test_a_huge_disk_costs_what_its_data_costs(qemu, kind, scene, tmp_path):
    with scene(qemu, [create_qcow2(tmp_path / 'disk', '16T')], kind=kind) as s:
        operation = two_points(s)
        assert sum(image['size'] for image in operation['result']['images']) < 16 << 20
        assert os.stat(operation['result']['disks'][0]['overlay']).st_blocks * 512 < 16 << 20
        assert s.image(operation['result']['images'][0]['id'])['min_disk'] == 16 * 1024


@pairs('kind', ('drive',), ('blockdev',))
def test_a_relative_path_on_the_command_line(qemu, kind, scene, tmp_path, monkeypatch):
    (tmp_path / 'x').mkdir()
    monkeypatch.chdir(tmp_path)
    create_qcow2('x/base')
    disk = create_qcow2('x/disk', backing='base')
    with scene(qemu, [disk], kind=kind) as s:
        s.daemon.stop()
        monkeypatch.chdir('/')
        s.daemon.start()        # what is relative to the guest's folder is not to its own
        monkeypatch.chdir(tmp_path)
        s.wait_attached()
        s.paths = [(str(tmp_path / 'x/disk'), 'qcow2')]
        operation = two_points(s)
        assert operation['result']['disks'][0]['path'] == str(tmp_path / 'x/disk')
        s.compare_restored(operation)


@pairs('kind', ('drive',), ('blockdev',))
def test_a_folder_that_is_a_symbolic_link(qemu, kind, scene, tmp_path):
    """The path that the guest is started from stays the one that it was started from."""
    (tmp_path / 'real').mkdir()
    create_qcow2(tmp_path / 'real/disk')
    (tmp_path / 'link').symlink_to('real')
    with scene(qemu, [tmp_path / 'link/disk'], kind=kind) as s:
        s.backup()
        s.judge()
        s.backup()
        assert os.path.samefile(tmp_path / 'link/disk', s.paths[0][0]), 'that path leads elsewhere now'
        s.paths[0] = (str(tmp_path / 'link/disk'), 'qcow2')
        s.restart()
        s.compare_restored(s.backup())


@pairs('kind', ('blockdev',), ('drive',))
def test_a_disk_that_is_a_symbolic_link_is_refused(qemu, kind, scene, tmp_path):
    """A start from it would look for the layers beside the link."""
    for name in 'real', 'link':
        (tmp_path / name).mkdir()
    create_qcow2(tmp_path / 'real/disk')
    (tmp_path / 'link/disk').symlink_to('../real/disk')
    with scene(qemu, [tmp_path / 'link/disk', create_qcow2(tmp_path / 'real/other')], kind=kind) as s:
        error = s.refused(409, 'conflict', 'symbolic link', str(tmp_path / 'real/disk'))
        assert 'the file itself' in error['hint']
        s.backup(disks=['disk1'])


@pairs('kind, folder', ('drive', 'two words, a comma'), ('blockdev', 'grüße – 数据 "x" \\ y'),
       ('blockdev', "tab\there 'and' %s %n"), ('drive', 'grüße 数据 [1]'))
def test_names_of_any_kind(qemu, kind, folder, scene, tmp_path):
    folder = tmp_path / folder
    folder.mkdir()
    create_qcow2(folder / 'eine Basis')
    disks = [create_qcow2(folder / 'Platte Nr. 1', backing='eine Basis'),
             create_qcow2(folder / 'disk.7')]
    with scene(qemu, disks, kind=kind) as s:
        operation = s.backup(name='Größe, "so" \\ 数据')
        s.judge()
        s.compare_restored(operation)
        operation = s.backup()
        layers = [os.path.basename(disk['layer']) for disk in operation['result']['disks']]
        assert layers == ['Platte Nr. 1.1', 'disk.7.1']
        s.restart()
        s.backup()


# Folders

@contextlib.contextmanager
def mounted(folder, *options):
    done = subprocess.run(['mount', *options, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'nothing can be mounted here: {done.stderr.strip()}')
    try:
        yield
    finally:
        subprocess.run(['umount', '-l', folder], check=True)


@contextlib.contextmanager
def read_only(folder):
    """What is open stays writable; all that is opened by name now is not."""
    with mounted(folder, '--bind', folder):
        subprocess.run(['mount', '-o', 'remount,bind,ro', folder], check=True)
        yield


@pairs('kind', ('drive',), ('blockdev',))
def test_no_room_for_the_overlay(qemu, kind, scene, tmp_path):
    """Refused or failed, and nothing is left; with room again the next point is taken."""
    for name in 'xy':
        (tmp_path / name).mkdir()
    with mounted(tmp_path / 'y', '-t', 'tmpfs', '-o', 'size=8m', 'none'):
        disks = [create_qcow2(tmp_path / name / 'disk', '4M', options='preallocation=full')
                 for name in 'xy']
        with scene(qemu, disks, kind=kind) as s:
            filler = tmp_path / 'y' / 'filler'
            with contextlib.suppress(OSError), open(filler, 'wb', buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            before = s.state()
            operation = s.daemon.snapshot(s.guest)
            assert operation['state'] == 'failed'
            assert operation['error']['code'] == 'no-space', operation['error']
            assert str(tmp_path / 'y') in operation['error']['message']
            assert {**s.state(), 'operations': 0} == {**before, 'operations': 0}
            filler.unlink()
            s.backup()


@pairs('kind', ('blockdev',), ('drive',))
def test_a_name_that_leaves_no_room_for_a_number(qemu, kind, scene, tmp_path):
    disks = [create_qcow2(tmp_path / 'x'), create_qcow2(tmp_path / ('y' * 254))]
    with scene(qemu, disks, kind=kind) as s:
        error = s.refused(409, 'conflict', 'no room', 'yyy')
        assert 'shorter' in error['hint']
        s.backup(disks=['disk0'])


@every
def test_a_folder_that_may_not_be_changed(qemu, scene, tmp_path):
    """The second disk's, when the first one's overlay is there already."""
    for name in 'xy':
        (tmp_path / name).mkdir()
    disks = [create_qcow2(tmp_path / name / 'disk') for name in 'xy']
    with scene(qemu, disks, kind='drive') as s:
        before = s.state()
        with read_only(tmp_path / 'y'):
            operation = s.daemon.snapshot(s.guest)
            assert operation['state'] == 'failed'
            assert str(tmp_path / 'y') in operation['error']['message']
            assert 'read-only' in operation['error']['hint']
            assert {**s.state(), 'operations': 0} == {**before, 'operations': 0}
        s.backup()


@pairs('kind', ('drive',), ('blockdev',))
def test_overlays_are_whose_the_disk_is(qemu, kind, scene, tmp_path):
    disks = [create_qcow2(tmp_path / name) for name in 'xy']
    wanted = [(64055, 64056, 0o640), (12345, 12346, 0o604)]
    for disk, (owner, group, mode) in zip(disks, wanted):
        os.chown(disk, owner, group)
        os.chmod(disk, mode)
    with scene(qemu, disks, kind=kind) as s:
        operation = two_points(s)
        for disk, facts in zip(operation['result']['disks'], wanted):
            for path in disk['layer'], disk['overlay'], disk['path']:
                told = os.stat(path)
                assert (told.st_uid, told.st_gid, stat.S_IMODE(told.st_mode)) == facts, path


class Tuned(Disk):
    """With everything that an overlay must take over."""
    plain = False       # so that -drive gets all the options

    def nodes(self, *arguments, **options):
        node = super().nodes(*arguments, **options)
        node['file']['discard'] = 'unmap'
        return {**node, 'discard': 'unmap', 'detect-zeroes': 'unmap'}


@pairs('kind, names, iothread',
       ('drive', False, False), ('blockdev', True, False), ('blockdev', False, True),
       ('drive', True, True), ('drive', False, True))
def test_options_of_the_disk_are_kept(qemu, kind, names, iothread, scene, tmp_path):
    disk = Tuned(create_qcow2(tmp_path / 'x'), names=names, direct=True)
    interface = 'scsi' if iothread else 'virtio'
    with scene(qemu, [disk], kind=kind, interface=interface, iothread=iothread) as s:
        for _ in range(3):
            operation = s.backup()
            now = graph(s.vm.qmp)
            device = next(block for block in s.vm.qmp.execute('query-block')
                          if 'disk0' in block.get('qdev', ''))
            node = now.nodes[device['inserted']['node-name']]
            assert node['drv'] == 'qcow2'
            assert node['detect_zeroes'] == 'unmap', 'zeroes are not detected any more'
            while node:     # all layers that are ours
                assert node['cache']['direct'] and not node['cache']['no-flush'], node
                file = now.nodes[now.children[node['node-name']]['file']]
                assert file['cache']['direct'] and not file['cache']['no-flush'], file
                node = now.nodes.get(now.children[node['node-name']].get('backing'))
        if not iothread:
            overlay = operation['result']['disks'][0]['overlay']
            qemu_io(s.vm, device['qdev'], 'write -P 7 32M 4M')
            filled = os.stat(overlay).st_blocks
            qemu_io(s.vm, device['qdev'], 'discard 32M 4M')
            freed = (filled - os.stat(overlay).st_blocks) * 512
            assert freed >= 3 << 20, 'discards do not reach the file'


def qemu_io(vm, device, command):
    answer = vm.qmp.execute('human-monitor-command',
                            {'command-line': f'qemu-io -d {device} "{command}"'})
    assert not answer or 'bytes' in answer, answer
