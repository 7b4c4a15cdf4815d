# SPDX-License-Identifier: Apache-2.0
"""Disks are copied while the guest writes: kept as exact copies, or the guest moves to them."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from support import create_qcow2, create_raw, programs, qemus
from support.chains import one_disk
from support.full import small_filesystem
from support.machine import die_with_parent, wait_until
from support.oracles import assert_chain, assert_prefix, chain, check, compare
from support.scene import pairs

from test_guests import loop_device

KINDS = [('drive', 'virtio', False), ('blockdev', 'scsi', True), ('blockdev', 'virtio', False),
         ('drive', 'scsi', True)]


@contextlib.contextmanager
def nbd_server(qemu, image, folder):
    """Somebody's NBD server with an image; its socket."""
    program = pathlib.Path(shutil.which(qemu.img)).with_name('qemu-nbd')
    socket = folder / 'nbd.sock'
    process = subprocess.Popen([program, '-t', '-f', 'raw', '-x', 'copy', '-k', socket, image],
                               env=qemu.env, preexec_fn=die_with_parent)
    try:
        wait_until(socket.exists, 'the server listens')
        yield socket
    finally:
        process.terminate()
        process.wait()


def judge_copy(s, before, image):
    """A copy is one point of the disk, between the request and the end."""
    number = assert_prefix([image], s.qemu)
    assert before <= number <= s.vm.acked() + 1
    s.judge_model(image, s.models[0])
    check(image, qemu=s.qemu)


@pairs('kind, interface, iothread, fmt, mode', (*KINDS[0], 'qcow2', 'background'),
       (*KINDS[1], 'raw', 'write-blocking'), (*KINDS[2], 'qcow2', 'write-blocking'),
       (*KINDS[3], 'raw', 'background'), quick=[0, 1])
def test_a_full_copy(qemu, kind, interface, iothread, fmt, mode, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        s.deepen(3)
        before = s.vm.acked()
        operation = s.mirror({'path': f'{tmp_path}/copy'}, format=fmt, copy_mode=mode, end='keep')
        copy = (tmp_path / 'copy', fmt)
        assert len(chain(copy, qemu)) == 1
        judge_copy(s, before, copy)
        assert operation['result']['target'] == f'{tmp_path}/copy'
        s.refuses(409, 'conflict', 'copy', words=('disks', 'disk0', 'mirror'),
                  target={'path': f'{tmp_path}/copy'})


@pairs('kind, sync', ('drive', 'top'), ('blockdev', 'none'), ('blockdev', 'top'), ('drive', 'none'),
       quick=[0, 1])
def test_a_copy_of_the_top_alone(qemu, kind, sync, chains, tmp_path):
    """What it does not hold is read from the same layer below."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(3)
        s.vm.qmp.execute('stop')
        s.still = True
        copy = tmp_path / 'a/copy'
        s.aside.add(copy)
        s.refuses(409, 'conflict', s.layers()[-2], 'scan-folders', words=('disks', 'disk0', 'mirror'),
                  target={'path': f'{tmp_path}/copy'}, sync=sync)
        s.mirror({'path': str(copy)}, sync=sync, end='keep')
        top, *below = assert_chain(copy, qemu=qemu)
        assert [os.stat(layer.path).st_ino for layer in below] == \
            [os.stat(path).st_ino for path in reversed(s.layers()[:-1])]
        if sync == 'top':
            compare(copy, s.paths[0], qemu)
        else:
            compare(copy, s.file_of(kept[-1]), qemu)
        s.vm.qmp.execute('cont')
        s.still = False
        s.judge()


@pairs('kind, interface, iothread, sync', (*KINDS[0], 'full'), (*KINDS[1], 'full'),
       (*KINDS[2], 'top'), (*KINDS[3], 'top'), quick=[0, 1])
def test_the_guest_moves(qemu, kind, interface, iothread, sync, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        s.deepen(3)
        target = f'{tmp_path}/a/moved'
        s.mirror({'path': target}, sync=sync, end='pivot')
        assert os.path.samefile(target, s.paths[0][0])
        assert len(s.layers()) == (1 if sync == 'full' else 3)
        s.grow()
        s.point('on the copy')
        s.judge()
        s.restart()
        s.point('after that')
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_the_guest_moves_to_another_filesystem(qemu, kind, chains, tmp_path):
    """The old name goes in the moment of the move: nobody starts a stale disk."""
    with small_filesystem(tmp_path / 'other', '64m') as other, \
            chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(3)
        target = f'{other}/disk'
        s.refuses(409, 'conflict', 'allow_path_change', words=('disks', 'disk0', 'mirror'),
                  target={'path': target}, end='pivot')
        old = s.paths[0][0]
        operation = s.work('disks', 'disk0', 'mirror', target={'path': target}, end='pivot',
                           allow_path_change=True)
        assert operation['result']['path'] == target
        assert not os.path.lexists(old)
        s.paths[0] = (target, 'qcow2')
        s.vm.disks[0].path = target
        s.renamed.clear()
        s.judge()
        s.restart()
        s.point()
        s.judge()


@pairs('interface', ('virtio',), ('scsi',), quick=[1])
def test_a_disk_without_an_id(qemu, interface, chains, tmp_path):
    """It is called after its node, and so it stays when that has gone."""
    with chains(qemu, one_disk(tmp_path, qemu), kind='blockdev', interface=interface, ids=False) as s:
        first, second = s.deepen(3)
        s.delete(second)
        s.delete(first)
        third = s.point(disks=['disk0'])
        s.mirror({'path': f'{tmp_path}/a/copy'}, end='pivot')
        s.point(disks=['disk0'])
        s.grow()
        s.revert(third)
        s.point(disks=['disk0'])
        s.daemon.stop()
        s.daemon.start()
        s.wait_attached()
        s.stream()
        s.point(disks=['disk0'])
        s.restart()
        s.point(disks=['disk0'])
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_the_daemon_dies_while_it_is_copied(qemu, kind, chains, tmp_path):
    """What is left has the name that it was given before."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.write(at=20, size=20)
        operation = s.begin_to('disks', 'disk0', 'mirror', target={'path': f'{tmp_path}/a/copy'},
                               end='pivot', speed=1 << 20)
        wait_until(lambda: s.vm.qmp.execute('query-jobs'), 'a job runs', interval=0.01)
        s.daemon.kill()
        s.daemon.start()
        s.wait_attached()
        answer = s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'speed': 0})
        assert answer.status == 200, answer.body
        told, = s.daemon.finished(operation)['result']['disks']
        assert told['left'] == f'{tmp_path}/a/disk.0'
        s.aside.add(told['left'])
        s.judge()


@pairs('kind, end', ('drive', 'pivot'), ('blockdev', 'keep'), quick=[0])
def test_the_name_is_taken_while_the_daemon_is_away(qemu, kind, end, chains, tmp_path):
    """The guest stays, and no job goes on with a disk that is followed no more."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.write(at=20, size=20)
        operation = s.begin_to('disks', 'disk0', 'mirror', target={'path': f'{tmp_path}/a/copy'},
                               end=end, speed=1 << 20)
        wait_until(lambda: s.vm.qmp.execute('query-jobs'), 'a job runs', interval=0.01)
        s.daemon.kill()
        disk = pathlib.Path(s.paths[0][0])
        disk.rename(tmp_path / 'own')
        disk.write_text("somebody else's")
        s.daemon.start()
        s.wait_attached()
        operation = s.daemon.finished(operation)
        (tmp_path / 'own').rename(disk)
        assert operation['state'] == 'failed', operation
        assert not s.vm.qmp.execute('query-jobs')
        s.aside |= {str(path) for path in disk.parent.iterdir()}
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_what_the_guest_moved_away_from(qemu, kind, chains, tmp_path):
    """It keeps its name and all that it shows when points go that it stands on."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(3)
        s.write(16, 8)          # dearer to move than what is on top of it
        kept.append(s.point())
        s.mirror({'path': f'{tmp_path}/a/moved'}, end='pivot')
        left, = s.aside
        shown = tmp_path / 'shown'
        programs.img('convert', '-U', '-f', 'qcow2', '-O', 'raw', left, shown, qemu=qemu)
        s.aside.add(str(shown))
        for point in reversed(kept):
            s.delete(point)
            compare(left, (shown, 'raw'), qemu=qemu)
        assert len(chain(left, qemu)) == 1


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_onto_a_device(qemu, kind, chains, tmp_path):
    small, big = (create_raw(tmp_path / each, size) for each, size in (('s', '48M'), ('b', '72M')))
    with loop_device(small) as too_small, loop_device(big) as device, \
            chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(3)
        words = ('disks', 'disk0', 'mirror')
        s.refuses(409, 'conflict', str(too_small), words=words, target={'device': str(too_small)},
                  format='raw')
        s.refuses(400, 'invalid', words=words, target={'device': str(tmp_path / 's')}, format='raw')
        before = s.vm.acked()
        s.mirror({'device': str(device)}, format='raw')
        number = assert_prefix([(str(device), 'raw')], qemu)
        assert before <= number <= s.vm.acked() + 1
        s.judge_model((str(device), 'raw'), s.models[0])


@pytest.mark.parametrize('qemu', qemus()[:1], ids=str)
def test_a_device_of_somebody_else(qemu, chains, tmp_path):
    """What another QEMU has open keeps its bytes, down to where the header of a qcow2 would be."""
    (tmp_path / 'theirs').write_bytes(b'theirs' * 4096 * 4096)
    with loop_device(tmp_path / 'theirs') as device, nbd_server(qemu, device, tmp_path), \
            chains(qemu, one_disk(tmp_path, qemu), kind='blockdev') as s:
        for fmt in 'qcow2', 'raw':
            s.refuses(409, 'conflict', 'in use', words=('disks', 'disk0', 'mirror'),
                      target={'device': str(device)}, format=fmt)
        with open(device, 'rb') as file:
            assert file.read(24) == b'theirs' * 4


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_onto_an_nbd_export(qemu, kind, chains, tmp_path):
    image = create_raw(tmp_path / 'image', '64M')
    with nbd_server(qemu, image, tmp_path) as socket, \
            chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(3)
        before = s.vm.acked()
        s.mirror({'nbd': {'path': str(socket), 'export': 'copy'}}, format='raw')
        judge_copy(s, before, (image, 'raw'))


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_cancelled(qemu, kind, chains, tmp_path):
    """The guest stays where it is, and what was made goes."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(3)
        s.write(at=20, size=40)
        operation = s.begin_to('disks', 'disk0', 'mirror', target={'path': f'{tmp_path}/a/copy'},
                               end='pivot', speed=1 << 20)
        wait_until(lambda: s.vm.qmp.execute('query-jobs'), 'a job runs', interval=0.01)
        answer = s.daemon.delete(f"/v1/operations/{operation['id']}")
        assert answer.status in (200, 202, 204), answer.body
        assert s.daemon.finished(operation)['state'] == 'cancelled'
        assert not os.path.exists(tmp_path / 'a/copy')
        s.judge()
        s.mirror({'path': f'{tmp_path}/a/copy'}, end='pivot')


@pytest.mark.parametrize('qemu', qemus(), ids=str)
def test_one_that_does_not_converge(qemu, chains, tmp_path):
    """It is cancelled, or ended in a short stop, as it was asked for."""
    with chains(qemu, one_disk(tmp_path, qemu), kind='blockdev') as s:
        s.write(at=20, size=40)
        operation = s.begin_to('disks', 'disk0', 'mirror', target={'path': f'{tmp_path}/a/copy'},
                               end='keep', speed=1 << 20, deadline=2, on_deadline='cancel')
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed', operation
        assert operation['error']['code'] == 'timeout', operation['error']
        assert not os.path.exists(tmp_path / 'a/copy')
        s.judge()
        operation = s.mirror({'path': f'{tmp_path}/a/copy'}, end='pivot', deadline=20,
                             on_deadline='stop')
        assert s.status() == 'running'


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_what_is_refused(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(2)
        words = ('disks', 'disk0', 'mirror')
        s.refuses(400, 'invalid', 'target', words=words)
        s.refuses(400, 'invalid', 'target', words=words, target={})
        s.refuses(400, 'invalid', words=words, target={'path': 'relative'})
        s.refuses(400, 'invalid', 'format', words=words, target={'path': '/x'}, format='vmdk')
        s.refuses(400, 'invalid', 'sync', words=words, target={'path': '/x'}, sync='some')
        s.refuses(400, 'invalid', 'nothing', words=words, target={'path': '/x'}, sync='none', end='pivot')
        s.refuses(400, 'invalid', 'end', words=words, target={'path': '/x'}, end='explode')
        s.refuses(409, 'conflict', words=words, target={'path': s.paths[0][0]})
        s.refuses(409, 'conflict', words=words, target={'path': s.layers()[0]})
        there = create_qcow2(tmp_path / 'there', '64M', qemu=qemu)
        s.refuses(409, 'conflict', 'there', words=words, target={'path': str(there)})
        assert programs.img('info', there, qemu=qemu)
        answer = s.ask_for(*words, target={'path': f'{tmp_path}/none/copy'})
        assert answer.status in (400, 404, 409), answer.body


@pairs('kind, finalizes', ('blockdev', False), ('drive', False), ('drive', True), quick=[0, 2])
def test_a_copy_that_somebody_else_completes(qemu, kind, finalizes, chains, tmp_path):
    """A copy that is kept is no place to go to: the guest stays, or if it cannot, nothing is removed."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(2)
        copy = tmp_path / 'copy'
        before = s.vm.acked()
        operation = s.begin_to('disks', 'disk0', 'mirror', target={'path': str(copy)}, speed=1 << 20)
        jobs = []

        def job_is(state):
            jobs[:] = [job for job in s.vm.qmp.execute('query-jobs') if job['status'] == state]
            return jobs
        wait_until(lambda: job_is('running'), 'the job runs', interval=0.01)
        os.kill(s.daemon.pid, signal.SIGSTOP)
        s.vm.qmp.execute('block-job-set-speed', device=jobs[0]['id'], speed=0)
        wait_until(lambda: job_is('ready'), 'it is ready', interval=0.01)
        if not finalizes:       # it has still to copy when the daemon ends it
            s.vm.qmp.execute('block-job-set-speed', device=jobs[0]['id'], speed=1024)
            s.write(40, 4)
        s.vm.qmp.execute('job-complete', id=jobs[0]['id'])
        if finalizes:
            wait_until(lambda: job_is('pending'), 'it waits before its end', interval=0.01)
            s.vm.qmp.execute('job-finalize', id=jobs[0]['id'])
        os.kill(s.daemon.pid, signal.SIGCONT)
        operation = s.daemon.finished(operation)
        if not finalizes:
            if operation['state'] == 'succeeded':
                judge_copy(s, before, (copy, 'qcow2'))
                s.aside.add(str(copy))
            else:               # it waited before its end already, which a cancel makes a failure
                assert 'canceled' in operation['error']['message'], operation
                assert not copy.exists()
            s.judge()
            return
        assert operation['state'] == 'failed' and 'maybe on the copy' in operation['error']['message']
        s.vm.wait_for_writes(10)
        s.vm.quit()
        # The guest's writes are nowhere else.
        assert assert_prefix([(copy, 'qcow2')], qemu) >= s.vm.acked()
        s.paths[0] = (str(copy), 'qcow2')
        s.aside |= {str(path) for path in (tmp_path / 'a').iterdir()}
