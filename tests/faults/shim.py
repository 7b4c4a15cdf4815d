# SPDX-License-Identifier: Apache-2.0
"""A daemon whose system calls are written down, and fail when they are told to: see shim.c."""

import collections
import contextlib
import ctypes
import errno
import mmap
import os
import pathlib
import re
import subprocess

from support.daemon import program

CLASSES = ('journal', 'file', 'qmp', 'http', 'spawn')
CALLS = ('open', 'create', 'read', 'write', 'sync', 'link', 'rename', 'unlink', 'truncate',
         'allocate', 'mkdir', 'space', 'connect', 'send', 'receive', 'execute')
FAULTS = ('error', 'short', 'kill-before', 'kill-after')
# Whoever may write a file may read it, too; and what reads do wrong is seen in few places.
CHANGES = tuple(call for call in CALLS if call not in ('read', 'receive'))

# result: what it gave, negative: an errno; data: what was written, of the journal and of sockets
Call = collections.namedtuple('Call', 'time kind name result faulty offset data path other')


class Control(ctypes.Structure):
    _fields_ = [
        ('classes', ctypes.c_uint32), ('calls', ctypes.c_uint32), ('at', ctypes.c_uint32),
        ('repeat', ctypes.c_uint32), ('fault', ctypes.c_uint32), ('error', ctypes.c_int32),
        ('seen', ctypes.c_uint32), ('struck', ctypes.c_uint32), ('data', ctypes.c_uint64)]


def _library():
    path = pathlib.Path(os.environ['QSNAP_TOOLS'], 'tests/faults/libfaults-shim.so')
    assert path.exists(), f'no {path}: is the build older than the tests?'
    return path


def _sanitizers():
    """Their libraries must come before any other."""
    linked = subprocess.run(['ldd', program('QSNAPD', 'qsnapd')], text=True, check=True,
                            capture_output=True).stdout
    return re.findall(r'libasan\S* => (\S+)', linked)


class Shim:
    """Put into the environment of a Scene's daemon, before that is started.

    arm()       the N-th call of some kinds, and those that follow, fail; or the daemon dies there
    disarm()
    mark()      a moment, for since(): the calls that were made since
    """

    def __init__(self, scene):
        folder = scene.daemon.folder
        self.log, self.data = folder / 'calls', folder / 'calls.data'
        with open(folder / 'control', 'w+b') as file:
            file.truncate(ctypes.sizeof(Control))
            self._memory = mmap.mmap(file.fileno(), ctypes.sizeof(Control))
        self.control = Control.from_buffer(self._memory)
        scene.daemon.env.update({
            'LD_PRELOAD': ':'.join(map(str, [*_sanitizers(), _library()])),
            'QSNAP_SHIM_CONTROL': str(folder / 'control'),
            'QSNAP_SHIM_LOG': str(self.log),
            'QSNAP_SHIM_FOLDER': str(scene.folder),
            'QSNAP_SHIM_STATE': str(folder / 'state')})

    def arm(self, classes, at=1, repeat=1, fault='error', error=errno.EIO, calls=CHANGES):
        """repeat: how many fail from the `at`-th on; 0: all."""
        control = self.control
        control.classes = 0
        control.at, control.repeat, control.error = at, repeat, error
        control.fault = FAULTS.index(fault)
        control.calls = sum(1 << CALLS.index(call) for call in calls)
        control.seen = control.struck = 0
        control.classes = sum(1 << CLASSES.index(each) for each in classes)

    def disarm(self):
        self.control.classes = 0

    @contextlib.contextmanager
    def armed(self, *arguments, **options):
        self.arm(*arguments, **options)
        try:
            yield
        finally:
            self.disarm()

    @property
    def struck(self):
        """How many calls have failed since arm()."""
        return self.control.struck

    def mark(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def since(self, mark=0):
        with open(self.log, 'rb') as log, open(self.data, 'rb') as data:
            log.seek(mark)
            lines = log.read().decode(errors='replace').split('\n')
            return [self._call(line, data) for line in lines[:-1]]

    @staticmethod
    def _call(line, data):
        time, kind, name, result, faulty, offset, length, place, path, other = line.split('\t')
        written = None
        if int(place) >= 0:
            data.seek(int(place))
            written = data.read(int(length))
        return Call(float(time), kind, name, None if result == 'killed' else int(result),
                    faulty == 'fault', int(offset), written, path, other)
