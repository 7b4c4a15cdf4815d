# SPDX-License-Identifier: Apache-2.0
"""Proves the support itself: the peers write, and every oracle fails when it should."""

import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from . import bootsector, programs
from . import Disk, Machine, Qmp, QmpError, StorageDaemon, create_qcow2, create_raw, qemus
from .chains import dice
from .glance import Glance
from .machine import wait_until
from .oracles import (
    assert_chain,
    assert_graph,
    assert_live,
    assert_log_prefix,
    assert_name,
    assert_prefix,
    check,
    compare,
    graph,
    records,
)
from .trap import Trap

each_qemu = pytest.mark.parametrize('qemu', qemus(), ids=str)
each_kind = pytest.mark.parametrize('kind', ['drive', 'blockdev'])
each_interface = pytest.mark.parametrize('interface', ['virtio', 'scsi'])


def two_disks(folder, qemu=None):
    return [create_qcow2(folder / name, qemu=qemu) for name in ('a', 'b')]


def format_node(now, qmp, device):
    """The node of the device's active format, below all filters."""
    node = next(
        block['inserted']['node-name']
        for block in qmp.execute('query-block')
        if device in block.get('qdev', '').split('/')
    )
    while now.nodes[node]['drv'] in ('throttle', 'blklogwrites'):
        node = now.children[node]['file']
    return node


def take_point(peer, nodes, suffix='.1'):
    """The raw commands beside which everything else is measured; returns the new active files."""
    overlays = [f'{disk.path}{suffix}' for disk in peer.disks[: len(nodes)]]
    peer.qmp.execute(
        'transaction',
        actions=[
            {
                'type': 'blockdev-snapshot-sync',
                'data': {
                    'node-name': node,
                    'snapshot-file': overlay,
                    'snapshot-node-name': f'qsnap-{index}{suffix}',
                },
            }
            for index, (node, overlay) in enumerate(zip(nodes, overlays))
        ],
    )
    return overlays


@each_qemu
@each_kind
@each_interface
@pytest.mark.parametrize('iothread', [False, True], ids=['mainloop', 'iothread'])
def test_guest_writes_and_a_raw_point_is_a_prefix(qemu, kind, interface, iothread, tmp_path):
    disks = two_disks(tmp_path, qemu)
    with Machine(
        qemu, kind=kind, interface=interface, iothread=iothread, disks=disks, cd=True
    ) as vm:
        vm.wait_for_writes(50)
        for block in vm.qmp.execute('query-block'):
            if 'disk' in block.get('qdev', ''):
                assert not block['inserted']['cache']['writeback'], 'writes are not flushed'
        now = assert_graph(vm.qmp, chains={'disk0': disks[0], 'disk1': disks[1]}, ours=())
        before = vm.acked()
        nodes = [format_node(now, vm.qmp, device) for device in ('disk0', 'disk1')]
        overlays = take_point(vm, nodes)
        after = vm.acked()
        vm.wait_for_writes(50)
        assert before <= assert_prefix(disks, qemu) <= after + 1
        assert_graph(vm.qmp, chains={'disk0': [overlays[0], disks[0]], 'disk1': overlays[1]})
        assert_live(vm.qmp, limit=1)
        check(overlays[0], live=True, qemu=qemu)
        assert not vm.errors()
        vm.kill()
        last = assert_name(overlays, vm.acked(), qemu)
        assert vm.acked() <= last <= vm.acked() + 1
        for overlay in overlays:
            check(overlay, qemu=qemu)


@each_qemu
@each_kind
@each_interface
def test_guest_goes_on_after_pause_reset_and_restart(qemu, kind, interface, tmp_path):
    disks = two_disks(tmp_path, qemu)
    with Machine(qemu, kind=kind, interface=interface, disks=disks, paused=True) as vm:
        assert vm.acked() == 0
        vm.qmp.execute('cont')
        vm.wait_for_writes(20)
        vm.qmp.execute('stop')
        vm.qmp.wait_event('STOP', timeout=5)
        stopped = vm.acked()
        with pytest.raises(TimeoutError):
            vm.wait_for_writes(1, timeout=0.2)
        vm.qmp.execute('cont')
        vm.wait_for_writes(20)
        vm.qmp.execute('system_reset')
        vm.wait_for_writes(20)
        vm.quit()
        assert_name(disks, vm.acked(), qemu)
        vm.start()
        vm.qmp.execute('cont')
        vm.wait_for_writes(20)
        vm.kill()
        numbers = [frame.number for frame in vm.reports()]
        assert stopped < len(numbers) and numbers == sorted(set(numbers)), 'the guest did not go on'
        assert numbers[-1] - len(numbers) <= 2, 'more are missing than reset and restart cost'
        assert_name(disks, vm.acked(), qemu)


@each_qemu
@each_kind
@pytest.mark.parametrize('names', [False, True], ids=['unnamed', 'named'])
def test_filters_and_the_log_of_writes(qemu, kind, names, tmp_path):
    base = create_raw(tmp_path / 'base', content=b'x' * 4096, qemu=qemu)
    disk = Disk(
        create_qcow2(tmp_path / 'disk', backing='base', backing_format='raw', qemu=qemu),
        names=names,
        log=tmp_path / 'writes',
        throttle=True,
    )
    read_only = Disk(create_qcow2(tmp_path / 'other', qemu=qemu), read_only=True)
    with Machine(qemu, kind=kind, disks=[read_only, disk]) as vm:
        vm.wait_for_writes(50)
        now = graph(vm.qmp)
        assert ({'node1', 'node1-file', 'node1-log', 'node1-throttle'} <= now.nodes.keys()) == names
        assert now.chains['disk1'] == [str(disk.path), str(base)]
        vm.qmp.execute(
            'blockdev-snapshot-sync',
            node_name=format_node(now, vm.qmp, 'disk1'),
            snapshot_file=str(tmp_path / 'overlay'),
            snapshot_node_name='qsnap-overlay',
        )
        vm.wait_for_writes(50)
        point = assert_prefix([disk], qemu)
        assert assert_log_prefix(disk.log, disk, base=(base, 'raw'), qemu=qemu) == point
        vm.kill()
    assert records(read_only) == {}
    copy = shutil.copy(disk.path, tmp_path / 'copy')
    for sector in bootsector.FIRST, 100000:  # a written one; one that nobody wrote to
        shutil.copy(disk.path, copy)
        subprocess.run(
            [
                pathlib.Path(programs.default().img).with_name('qemu-io'),
                '-f',
                'qcow2',
                '-c',
                f'write -P 7 {sector * 512} 512',
                copy,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with pytest.raises(AssertionError, match='prefix|differs'):
            assert_log_prefix(disk.log, copy, base=(base, 'raw'), qemu=qemu)


@each_qemu
def test_raw_disk_without_page_cache(qemu, tmp_path):
    disk = Disk(create_raw(tmp_path / 'disk', qemu=qemu), format='raw', direct=True)
    with Machine(qemu, disks=[disk]) as vm:
        vm.wait_for_writes(20)
        vm.kill()
        assert_name([disk], vm.acked(), qemu)


@each_qemu
def test_guest_reports_errors(qemu, tmp_path):
    small = Disk(create_raw(tmp_path / 'disk', size='16K', qemu=qemu), format='raw')
    with Machine(qemu, disks=[small]) as vm:
        wait_until(vm.errors, 'the guest reports an error', timeout=10)
        assert vm.acked() == 0


@each_qemu
@pytest.mark.parametrize('names', [False, True], ids=['unnamed', 'named'])
def test_storage_daemon_writes_too(qemu, names, tmp_path):
    disks = [Disk(path, names=names) for path in two_disks(tmp_path, qemu)]
    with StorageDaemon(qemu, disks=disks) as daemon:
        before = daemon.wait_for_writes(50)
        overlays = take_point(daemon, ['node0', 'node1'])
        after = daemon.acked()
        daemon.wait_for_writes(50)
        assert before <= assert_prefix(disks, qemu) <= after + 1
        assert_graph(
            daemon.qmp,
            chains={'disk0': [overlays[0], disks[0].path]},
            ours={'qsnap-0.1', 'qsnap-1.1'},
        )
        daemon.kill()
        assert not daemon.errors()
        assert_name(overlays, daemon.acked(), qemu)


@each_qemu
def test_prefix_fails_for_two_points(qemu, tmp_path):
    disks = two_disks(tmp_path, qemu)
    with Machine(qemu, kind='blockdev', disks=disks) as vm:
        vm.wait_for_writes(20)
        take_point(vm, ['node0'])
        vm.wait_for_writes(20)
        vm.qmp.execute(
            'blockdev-snapshot-sync',
            node_name='node1',
            snapshot_file=str(tmp_path / 'b.1'),
            snapshot_node_name='b.1',
        )
        vm.wait_for_writes(20)
        with pytest.raises(AssertionError, match='not a prefix'):
            assert_prefix(disks, qemu)
        vm.kill()
        with pytest.raises(AssertionError, match='lost'):
            assert_name(disks, vm.acked(), qemu)
        assert_name([f'{disk}.1' for disk in disks], vm.acked(), qemu)


def written(path, last, disks=2, index=0):
    """A raw image with the records 1 to `last`, without any guest."""
    create_raw(path)
    with open(path, 'r+b') as file:
        for slot, number in bootsector.state(last, disks)[index].items():
            file.seek(bootsector.offset(slot))
            file.write(bootsector.sector(number))
    return path, 'raw'


def put(image, slot, data):
    with open(image[0], 'r+b') as file:
        file.seek(bootsector.offset(slot))
        file.write(data)


@pytest.mark.parametrize('last', [0, 1, 2, 3, 100, 2047, 2048, 2049, 5000])
def test_prefix_and_name_over_every_wrap(last, tmp_path):
    images = [written(tmp_path / name, last, index=index) for index, name in enumerate('ab')]
    assert assert_prefix(images) == assert_name(images, last) == last
    with pytest.raises(AssertionError, match='lost'):
        assert_name(images, last + 1)
    if last > 2:
        missing = last - 1
        disk, slot = bootsector.place(missing, 2)
        before = bootsector.state(missing - 1, 2)[disk].get(slot)
        put(images[disk], slot, bootsector.sector(before) if before else bytes(512))
        with pytest.raises(AssertionError, match='not a prefix'):
            assert_prefix(images)


def test_torn_and_misplaced_records_are_noticed(tmp_path):
    image = written(tmp_path / 'a', 100)
    put(image, 3, bootsector.sector(6)[:256] + bytes(256))
    with pytest.raises(AssertionError, match='torn'):
        records(image, 2, 0)
    put(image, 3, bootsector.sector(8))
    with pytest.raises(AssertionError, match='belongs to'):
        records(image, 2, 0)
    with pytest.raises(AssertionError, match='belongs to'):
        records(written(tmp_path / 'b', 100), 2, 1)


def test_frames_are_found_again_after_a_cut():
    def whole(number):
        head = b'\xa5R' + number.to_bytes(4, 'little') + bytes(8)
        return head + bytes([functools.reduce(int.__xor__, head), 0x5A])

    data = whole(1) + whole(2)[:9] + whole(3) + b'\xa5\xa5' + whole(4) + whole(5)[:15]
    assert [found.number for found in bootsector.frames(data)] == [1, 3, 4]


def test_data_oracles_fail(tmp_path):
    base, top = create_qcow2(tmp_path / 'base'), tmp_path / 'top'
    create_qcow2(top, backing='base')
    assert_chain(top, names=['top', 'base'])
    check(top)
    compare(top, base)
    with pytest.raises(AssertionError, match='expected'):
        assert_chain(top, names=['top'])
    create_qcow2(top, backing=str(base))
    with pytest.raises(AssertionError, match='not relative'):
        assert_chain(top)
    assert_chain(top, ours=0)
    create_qcow2(top, backing='base')
    content = top.read_bytes()
    top.write_bytes(content.replace(bytes.fromhex('e2792aca'), bytes.fromhex('7e571e57'), 1))
    with pytest.raises(AssertionError, match='does not say which format'):
        assert_chain(top)
    subprocess.run(
        ['qemu-io', '-f', 'qcow2', '-c', 'write -P 1 0 64k', base],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    create_qcow2(top)
    with pytest.raises(AssertionError, match='differ'):
        compare(top, base)
    content = bytearray(base.read_bytes())
    table = int.from_bytes(content[40:48], 'big')  # the first entry of the L1 table
    content[table : table + 8] = (0x8000000000000000 | len(content) + (1 << 20)).to_bytes(8, 'big')
    base.write_bytes(content)
    with pytest.raises(AssertionError, match='not clean'):
        check(base)


@each_qemu
def test_graph_oracle_fails(qemu, tmp_path):
    disk, other = two_disks(tmp_path, qemu)
    with Machine(qemu, kind='blockdev', disks=[disk]) as vm:
        assert_graph(vm.qmp, chains={'disk0': disk})
        with pytest.raises(AssertionError, match='uses'):
            assert_graph(vm.qmp, chains={'disk0': other})
        with pytest.raises(AssertionError, match='no device'):
            assert_graph(vm.qmp, chains={'disk1': other})
        with pytest.raises(AssertionError, match='to answer'):
            assert_live(vm.qmp, limit=0)
        vm.qmp.execute(
            'blockdev-add',
            driver='qcow2',
            node_name='qsnap-left',
            file={'driver': 'file', 'filename': str(other)},
        )
        with pytest.raises(AssertionError, match='nothing uses'):
            assert_graph(vm.qmp)
        vm.qmp.execute(
            'blockdev-mirror',
            job_id='left',
            device='node0',
            target='qsnap-left',
            sync='full',
            auto_dismiss=False,
        )
        with pytest.raises(AssertionError, match='stray jobs'):
            assert_graph(vm.qmp)


@each_qemu
def test_monitor(qemu, tmp_path):
    with StorageDaemon(qemu, disks=two_disks(tmp_path, qemu), write=False) as daemon:
        with pytest.raises(QmpError, match='no-such') as refused:
            daemon.qmp.execute('blockdev-del', node_name='no-such')
        assert refused.value.kind == 'GenericError'
        with Qmp(daemon.qmp_path) as first:
            told = first.execute('query-version')['qemu']
            assert f'{told["major"]}.{told["minor"]}' == qemu.version
            with pytest.raises(TimeoutError, match='another client'):
                Qmp(daemon.qmp_path, timeout=0.2)
        daemon.quit()
        assert not daemon.alive


@each_qemu
def test_a_trap_snaps_before_the_line_goes_by(qemu, tmp_path):
    trap = Trap(tmp_path / 'trap', tmp_path / 'q/qmp.sock')
    with StorageDaemon(qemu, disks=two_disks(tmp_path, qemu), write=False, folder=tmp_path / 'q') as peer:
        trap.start()
        try:
            with Qmp(trap.path) as first:
                trap.arm(['query-block-exports'], [peer.pid], skip=1)
                first.execute('query-version')
                assert first.execute('query-block-exports') == []
            with Qmp(trap.path) as second:
                with pytest.raises(ConnectionError):
                    second.execute('query-block-exports')
            assert trap.snapped()
            wait_until(lambda: not peer.alive, 'the peer dies', timeout=5)
            peer.kill()
            peer.start()
            trap.start()
            with Qmp(trap.path) as third:
                trap.arm(['never'], [peer.pid])
                third.execute('query-version')
                peer.kill()
                assert not trap.snapped(), 'the peer died otherwise'
        finally:
            trap.stop()


def test_moments_of_chance_can_be_had_again(monkeypatch, capsys):
    first = dice('a').random()
    seed = capsys.readouterr().out.strip().partition('=')[2]
    assert dice('a').random() != first
    monkeypatch.setenv('QSNAP_TEST_SEED', seed)
    assert dice('a').random() == first
    assert dice('b').random() != first


def test_a_failed_start_says_why(tmp_path):
    with pytest.raises(RuntimeError, match='No such file'):
        Machine(disks=[tmp_path / 'nowhere']).start()


def test_guest_dies_with_the_test(tmp_path):
    disk = create_qcow2(tmp_path / 'disk')
    script = (
        'import sys, time; from support import Machine\n'
        'vm = Machine(disks=[sys.argv[1]], folder=sys.argv[2]).start()\n'
        'print(vm.pid, flush=True); time.sleep(60)'
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', script, disk, tmp_path / 'vm'],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[1])},
    )
    process = pathlib.Path('/proc', parent.stdout.readline().strip())
    assert process.exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(
        lambda: not process.exists() or ') Z ' in (process / 'stat').read_text(),
        'the guest dies',
        timeout=5,
    )
    parent.stdout.close()


@pytest.mark.parametrize('flavor', ['', 'fakeauth'])
def test_glance(flavor, tmp_path):
    if not os.path.exists('/usr/bin/glance-api'):
        pytest.skip('glance-api is not installed')
    with Glance(flavor, folder=tmp_path) as glance:
        status, image = glance.call(
            'POST',
            '/v2/images',
            {'name': 'x', 'disk_format': 'raw', 'container_format': 'bare'},
            token='alice:p1:member',
        )
        assert status == 201 and image.get('owner') == ('p1' if flavor else None)
        status, _ = glance.call(
            'PUT',
            f'/v2/images/{image["id"]}/file',
            b'data',
            content_type='application/octet-stream',
        )
        assert status == 204 and (glance.store / image['id']).read_bytes() == b'data'
        assert glance.call('GET', '/v2/images', token='bad')[0] == (401 if flavor else 200)
        glance.expire()
        assert glance.call('GET', '/v2/images')[0] == (401 if flavor else 200)
        glance.renew()
        assert glance.call('GET', '/v2/images')[0] == 200
    assert glance.process.poll() is not None
