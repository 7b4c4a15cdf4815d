# SPDX-License-Identifier: Apache-2.0
"""What an owner does to his guest's files and links meanwhile: nothing of his is lost."""

import contextlib
import fcntl
import os
import struct

from support import programs
from support.machine import wait_until
from support.oracles import assert_name, check
from support.relay import Relay
from support.scene import pairs

OFD_SETLK = 37      # fcntl has no name for it
QEMU_PERMISSIONS = (100, 200)   # the bytes of a file where QEMU's locks are


@contextlib.contextmanager
def opened_by_somebody(path):
    """As by another QEMU that reads it."""
    with open(path, 'rb') as file:
        lock = struct.pack('hhqqi4x', fcntl.F_RDLCK, os.SEEK_SET, *QEMU_PERMISSIONS, 0)
        fcntl.fcntl(file, OFD_SETLK, lock)
        yield


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_an_overlay_that_somebody_reads(qemu, kind, imaging):
    """It goes when he has finished, and the image stays what it is."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload(disks='all') as operation, contextlib.ExitStack() as stack:
            stack.enter_context(opened_by_somebody(s.paths[1][0] + '.1'))
            s.release()
            path = f"/v1/operations/{operation['id']}"
            told = wait_until(lambda: s.daemon.get(path).json['error'], 'it says why it waits', 30)
            assert s.paths[1][0] + '.1' in told['message'], told
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked())
        s.assert_as_before()


@pairs('kind, command',
       ('blockdev', 'stop'), ('drive', 'job-complete'), ('blockdev', 'job-finalize'),
       ('drive', 'block-commit'), ('drive', 'stop'), ('blockdev', 'job-complete'),
       ('drive', 'job-finalize'), ('blockdev', 'block-commit'), quick=[0])
def test_the_link_is_lost_with_a_command(qemu, kind, command, imaging, tmp_path):
    """It was executed, and nobody knows."""
    with imaging(qemu, kind=kind) as s:
        if kind == 'drive':
            s.full()        # the first point's own stop is over
        assert s.daemon.delete(f'/v1/guests/{s.guest}').status == 204
        with Relay(tmp_path / 'relay', s.vm.qmp_path) as relay:
            s.daemon.attach(relay.path, id='g')
            before = s.vm.acked()
            with s.held_upload(deadline=1, on_deadline='stop') as operation:
                s.fill(pattern=9)
                relay.cut = command
            if command == 'stop':
                job = s.slow_fold(operation)
                assert relay.was_cut.wait(20)
                s.hasten(job)
            operation = s.daemon.finished(operation)
            assert relay.was_cut.is_set()
            assert s.status() == 'running', 'the guest was left standing'
            s.judge_full(operation, before, s.vm.acked())
            s.assert_as_before()
            s.vm.wait_for_writes(20)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_somebody_commits_the_overlay_of_a_dead_guest(qemu, kind, imaging):
    """While the daemon is away as well: what it reads afterwards is not the point any more."""
    with imaging(qemu, kind=kind) as s:
        with s.held_upload() as operation:
            s.vm.wait_for_writes(20)
            s.daemon.kill()
        s.vm.kill()
        programs.img('commit', '-q', '-f', 'qcow2', s.paths[0][0] + '.1', qemu=qemu)
        s.daemon.start()
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed', operation
        assert operation['error']['code'] == 'conflict', operation['error']
        s.forget_images(operation)
        assert not s.images
        ended(s)


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_a_guest_started_from_the_layer(qemu, kind, imaging):
    """Its owner went back to the point. Neither his guest's writes nor those of before are lost."""
    with imaging(qemu, kind=kind) as s:
        with s.held_upload() as operation:
            s.vm.wait_for_writes(20)
            s.daemon.kill()
        s.vm.kill()
        s.judge_name()
        s.vm.written[0].path = s.paths[0][0] + '.0'
        s.vm.start()
        s.vm.wait_for_writes(20)
        s.daemon.start()
        s.wait_attached()
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed', operation
        assert operation['error']['code'] == 'conflict', operation['error']
        disk, = operation['result']['disks']
        assert not disk['folded'] and disk['kept'], disk
        assert os.path.samefile(disk['overlay'], disk['path']), 'the name was moved'
        s.forget_images(operation)
        s.vm.kill()
        for path in disk['layer'], disk['overlay']:
            check(path, qemu=qemu)
        ended(s, name=False)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_the_name_of_a_dead_guest_is_gone(qemu, kind, imaging):
    """The overlay has the only copy of what was written since the point."""
    with imaging(qemu, kind=kind) as s:
        with s.held_upload() as operation:
            s.vm.wait_for_writes(20)
            s.vm.kill()
            path = s.paths[0][0]
            os.unlink(path)
        operation = s.daemon.finished(operation)
        disk, = operation['result']['disks']
        assert not disk['folded'] and disk['kept'], disk
        os.link(path + '.1', path)
        ended(s)


def ended(s, name=True):
    """Guest and daemon are no more; what is left is whole."""
    if name:
        assert_name(s.paths, s.vm.acked(), s.qemu)
    s.assert_nothing_reads()
    s.judge, s.end = s.daemon.stop, list
