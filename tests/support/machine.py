# SPDX-License-Identifier: Apache-2.0
"""Real peers that write all the time: a QEMU with the writing guest, and a storage daemon."""

import ctypes
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref

from . import bootsector, programs
from .qmp import Qmp

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """To be called in a child: it is killed when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def work_folder(owner, given, prefix):
    """The folder `given`, or a new one that goes when `owner` goes."""
    folder = pathlib.Path(given or tempfile.mkdtemp(prefix=prefix))
    if given:
        folder.mkdir(parents=True, exist_ok=True)
    else:
        weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def wait_until(condition, what, timeout=30, interval=0.002):
    """Returns condition()'s first true value; TimeoutError says `what` did not happen."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f'{what}: not within {timeout} s')
        time.sleep(interval)
    return value


@dataclasses.dataclass
class Disk:
    """A disk of a peer.

    names     format and file node have names of their own, `node<i>` and `node<i>-file` (in a
              -blockdev guest and in a storage daemon the format node always has)
    throttle  a throttle filter above the format node, `node<i>-throttle` where names are given
    log       a file for the blklogwrites filter above the format node, `node<i>-log` likewise
    direct    without the host's page cache
    driver    of the file node: `host_device` for a block device
    below     a filter between format and file, as QEMU takes it: {'driver': 'blkdebug', ...}
    backing   the Disk below, with options of its own; its node is `node<i>-backing`
    """
    path: str
    format: str = 'qcow2'
    read_only: bool = False
    names: bool = False
    throttle: bool = False
    log: str = None
    direct: bool = False
    driver: str = 'file'
    below: dict = None
    backing: 'Disk' = None

    def nodes(self, name, always_named):
        """The format node with all below and the filters above it, as one nested description."""
        cache = {'cache': {'direct': self.direct}}
        common = {**cache, 'read-only': self.read_only}
        named = lambda suffix: {'node-name': name + suffix} if self.names else {}
        file = {'driver': self.driver, 'filename': str(self.path), **common, **named('-file')}
        if self.below:
            file = {**self.below, ('image' if self.below['driver'] == 'blkdebug' else 'file'): file}
        node = {'driver': self.format, **common, **named(''), 'file': file}
        if self.backing:
            node['backing'] = f'{name}-backing'
        if always_named:
            node['node-name'] = name
        if self.log:
            pathlib.Path(self.log).touch()
            log = {'driver': 'file', 'filename': str(self.log)}
            node = {'driver': 'blklogwrites', **cache, **named('-log'), 'file': node, 'log': log,
                    'log-super-update-interval': 1}
        if self.throttle:
            node = {'driver': 'throttle', **cache, **named('-throttle'), 'file': node,
                    'throttle-group': 'limits'}
        return node

    def below_words(self, name):
        """The Disk below, for the command line."""
        if not self.backing:
            return []
        nodes = {**self.backing.nodes(f'{name}-backing', True), 'read-only': True}
        return ['--blockdev', json.dumps(nodes)]

    @property
    def plain(self):
        """Whether a path and a format tell it all."""
        return self.driver == 'file' and not (self.throttle or self.log or self.below
                                              or self.backing)


def _flat(options, prefix=''):
    """A nested description as -drive takes it: driver=...,file.driver=..."""
    for key, value in options.items():
        if isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            text = ('off', 'on')[value] if isinstance(value, bool) else str(value)
            yield f"{prefix}{key}={text.replace(',', ',,')}"


class Peer:
    """A process with two QMP sockets: `qmp_path` is the agent's, `qmp` our link to the other."""

    def __init__(self, qemu, folder):
        self.qemu = qemu or programs.default()
        self.folder = work_folder(self, folder, 'peer-')
        self.qmp_path = self.folder / 'qmp.sock'
        assert len(str(self.qmp_path)) < 100, f'too long for a socket: {self.qmp_path}'
        self.log_path = self.folder / 'log'
        self.process = self.qmp = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        """What the process has said so far."""
        return self.log_path.read_text(errors='replace') if self.log_path.exists() else ''

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Starts the process; returns when the second monitor answers."""
        assert not self.alive, 'it runs already'
        second = self.folder / 'second.sock'
        for path in self.qmp_path, second:
            path.unlink(missing_ok=True)
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command(second), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.qemu.env,
                                            preexec_fn=die_with_parent)
        try:
            self.qmp = wait_until(lambda: self._connect(second), 'the monitor opens')
        except BaseException:
            self.kill()
            raise
        return self

    def _connect(self, path):
        if not self.alive:
            program, status = self.process.args[0], self.process.returncode
            raise RuntimeError(f'{program} ended with {status}:\n{self.log}')
        try:
            return Qmp(path)
        except (FileNotFoundError, ConnectionError):
            return None         # not yet, or it is ending

    def kill(self):
        """kill -9; nothing happens when it is gone already."""
        if self.alive:
            self.process.kill()
        self._gone(10)

    def quit(self, timeout=30):
        """Leaves by the monitor's `quit`, as an orderly shutdown does."""
        try:
            self.qmp.execute('quit')
        except ConnectionError:
            pass
        self._gone(timeout)

    def _gone(self, timeout):
        if self.process:
            self.process.wait(timeout)
        if self.qmp:
            self.qmp.close()
            self.qmp = None

    def wait_for_writes(self, more=1, timeout=30):
        """Waits until `more` further records are acknowledged; returns the last one's number."""
        target = self.acked() + more

        def enough():
            if not self.alive:
                raise RuntimeError(f'it is gone, after {self.acked()} records:\n{self.log}')
            return self.acked() >= target
        try:
            wait_until(enough, f'record {target} is acknowledged', timeout)
        except TimeoutError as error:
            raise TimeoutError(f'{error}; the last was {self.acked()}, errors: {self.errors()}\n'
                               f'{self.log}') from None
        return self.acked()


class Machine(Peer):
    """A guest that writes.

    kind       'drive' or 'blockdev': how its disks are given to QEMU
    interface  'virtio' (virtio-blk-pci) or 'scsi' (scsi-hd on virtio-scsi-pci)
    disks      Disk objects or paths of qcow2 images; the i-th is device `disk<i>`, its -drive
               `drive<i>`, its node (where it has a name) `node<i>`; the guest writes to all that
               are not read-only, in this order
    iothread   the disks work in an I/O thread
    cd         an empty CD drive, device `cd0`
    ids        the devices have them; else the node of -blockdev is called as they would be
    paused     the guest waits for `cont`
    delay      microseconds between its records
    """

    def __init__(self, qemu=None, *, kind='drive', interface='virtio', disks=(), iothread=False,
                 cd=False, ids=True, paused=False, delay=bootsector.DELAY, accel='tcg', memory=32, name=None,
                 uuid=None, args=(), folder=None):
        super().__init__(qemu, folder)
        assert kind in ('drive', 'blockdev') and interface in ('virtio', 'scsi')
        self.kind, self.interface, self.iothread, self.cd = kind, interface, iothread, cd
        self.ids = ids
        self.disks = [disk if isinstance(disk, Disk) else Disk(disk) for disk in disks]
        self.written = [disk for disk in self.disks if not disk.read_only]
        self.paused, self.delay, self.accel, self.memory = paused, delay, accel, memory
        self.name, self.uuid, self.args = name, uuid, args
        self._reports = self.folder / 'reports'

    def command(self, second):
        floppy = self.folder / 'guest.img'
        bootsector.build(floppy, len(self.written), self.delay)
        command = [self.qemu.system, *(word for path in self.qemu.data for word in ('-L', path)),
                   '-nodefaults', '-no-user-config', '-display', 'none',
                   '-machine', 'pc', '-accel', self.accel, '-m', str(self.memory),
                   '-chardev', f'file,id=reports,path={self._reports},append=on',
                   '-device', 'isa-debugcon,iobase=0xe9,chardev=reports',
                   '-drive', f'if=floppy,format=raw,readonly=on,file={floppy}',
                   '-global', 'isa-fdc.bootindexA=0']
        for monitor, path in ('agent', self.qmp_path), ('second', second):
            command += ['-chardev', f'socket,id={monitor},path={path},server=on,wait=off',
                        '-mon', f'chardev={monitor},mode=control']
        if self.name:
            command += ['-name', self.name]
        if self.uuid:
            command += ['-uuid', self.uuid]
        if self.paused:
            command += ['-S']
        if self.iothread:
            command += ['-object', 'iothread,id=iothread0']
        in_thread = ',iothread=iothread0' if self.iothread else ''
        if any(disk.throttle for disk in self.disks):
            command += ['-object', 'throttle-group,id=limits,x-iops-total=100000']
        if self.interface == 'scsi':
            command += ['-device', 'virtio-scsi-pci,id=scsi0' + in_thread]
        for index, disk in enumerate(self.disks):
            command += self._disk(index, disk, in_thread)
        if self.cd and self.kind == 'drive':
            command += ['-drive', 'if=none,id=cdrom0,media=cdrom',
                        '-device', 'ide-cd,id=cd0,drive=cdrom0']
        elif self.cd:
            command += ['-device', 'ide-cd,id=cd0']
        return command + [*map(str, self.args)]

    def _disk(self, index, disk, in_thread):
        node = f'node{index}' if self.ids else f'disk{index}'
        if self.kind == 'blockdev':
            nodes = disk.nodes(node, always_named=True)
            backend = nodes.setdefault('node-name', f'{node}-top')
            description = ['-blockdev', json.dumps(nodes)]
        else:
            backend = f'drive{index}'
            if not disk.plain:
                options = _flat(disk.nodes(node, always_named=False))
            else:       # as stacks and people write it
                options = [f'file={disk.path}'.replace(',', ',,'), f'format={disk.format}',
                           'cache=none' if disk.direct else 'cache=writeback']
                if disk.read_only:
                    options += ['readonly=on']
                if disk.names:
                    options += [f'node-name={node}', f'file.node-name={node}-file']
            description = ['-drive', ','.join([f'if=none,id={backend}', *options])]
        order = 1 + index + len(self.disks) * disk.read_only
        device = f'drive={backend},bootindex={order},write-cache=off'
        if self.ids:
            device += f',id=disk{index}'
        if self.interface == 'scsi':
            device = f'scsi-hd,bus=scsi0.0,lun={index},{device}'
        else:
            device = f'virtio-blk-pci,{device}{in_thread}'
        return [*disk.below_words(node), *description, '-device', device]

    def reports(self):
        """Every frame that the guest has sent, over all its starts."""
        return bootsector.frames(self._reports.read_bytes()) if self._reports.exists() else []

    def mark(self):
        """A moment, for since()."""
        return self._reports.stat().st_size if self._reports.exists() else 0

    def since(self, mark):
        """The frames that the guest has sent since then."""
        with open(self._reports, 'rb') as file:
            file.seek(mark)
            return bootsector.frames(file.read())

    def acked(self):
        """The number of the record that was acknowledged last; exact once the process is gone."""
        try:
            with open(self._reports, 'rb') as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1024))
                tail = bootsector.frames(file.read())
        except FileNotFoundError:
            return 0
        tail = tail if any(frame.kind == 'R' for frame in tail) else self.reports()
        return next((frame.number for frame in reversed(tail) if frame.kind == 'R'), 0)

    def errors(self):
        """The numbers of the records it was refused (0: it cannot read all its disks)."""
        return [frame.number for frame in self.reports() if frame.kind == 'E']


class StorageDaemon(Peer):
    """A qemu-storage-daemon; with `write` a thread writes records through NBD exports `disk<i>`.

    The format node of disk i is `node<i>`; with Disk(names=True) its file node is `node<i>-file`.
    """

    def __init__(self, qemu=None, *, disks=(), write=True, args=(), folder=None):
        super().__init__(qemu, folder)
        self.disks = [disk if isinstance(disk, Disk) else Disk(disk) for disk in disks]
        self.written = [disk for disk in self.disks if write and not disk.read_only]
        self.args = args
        self._nbd = self.folder / 'nbd.sock'
        self._acked, self._errors, self._writer, self._stop = 0, [], None, threading.Event()

    def command(self, second):
        command = [self.qemu.storage_daemon]
        for monitor, path in ('agent', self.qmp_path), ('second', second):
            command += ['--chardev', f'socket,id={monitor},path={path},server=on,wait=off',
                        '--monitor', f'chardev={monitor}']
        if any(disk.throttle for disk in self.disks):
            command += ['--object', 'throttle-group,id=limits,x-iops-total=100000']
        if self.written:
            command += ['--nbd-server', f'addr.type=unix,addr.path={self._nbd},max-connections=0']
        for index, disk in enumerate(self.disks):
            nodes = disk.nodes(f'node{index}', always_named=True)
            top = nodes.setdefault('node-name', f'node{index}-top')
            command += [*disk.below_words(f'node{index}'), '--blockdev', json.dumps(nodes)]
            if disk in self.written:
                export = f'nbd,id=disk{index},node-name={top},name=disk{index},writable=on'
                command += ['--export', export]
        return command + [*map(str, self.args)]

    def start(self):
        self._nbd.unlink(missing_ok=True)
        super().start()
        if self.written:
            import nbd      # python3-libnbd
            exports = []
            for index, disk in enumerate(self.disks):
                if disk in self.written:
                    exports.append(nbd.NBD())
                    exports[-1].connect_uri(f'nbd+unix:///disk{index}?socket={self._nbd}')
            self._stop.clear()
            self._writer = threading.Thread(target=self._write, daemon=True,
                                            args=(exports, nbd.CMD_FLAG_FUA, nbd.Error))
            self._writer.start()
        return self

    def _write(self, exports, fua, failure):
        number = self._acked
        while not self._stop.is_set():
            number += 1
            disk, slot = bootsector.place(number, len(exports))
            try:
                exports[disk].pwrite(bootsector.sector(number), bootsector.offset(slot), fua)
            except failure:
                if not self._stop.is_set() and self.alive:
                    self._errors.append(number)
                return
            self._acked = number
            self._stop.wait(bootsector.DELAY / 1e6)

    def kill(self):
        self._stop.set()
        super().kill()

    def quit(self, timeout=30):
        self._stop.set()
        super().quit(timeout)

    def _gone(self, timeout):
        super()._gone(timeout)
        if self._writer:
            self._writer.join(timeout)

    def acked(self):
        """The number of the record that was acknowledged last; exact once the process is gone."""
        return self._acked

    def errors(self):
        """The numbers of the records that were refused."""
        return list(self._errors)
