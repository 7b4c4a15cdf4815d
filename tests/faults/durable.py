# SPDX-License-Identifier: Apache-2.0
"""An oracle over the calls of a daemon: in which order what it has done becomes durable.

names       the journal knows a name, durably, before there is such a file
leads       QEMU is led only to files that are durable, and so are their names
published   a disk's name is given only to what is durable
steps       what a step has changed in a folder is durable before the journal says that it is done
unlinked    a file goes only after the header above it, and the names of disks, are durable
"""

import contextlib
import json
import os
import pathlib
import re
import sqlite3
import tempfile

from support.chains import MAGIC, files_below

JOURNAL = 'journal.sqlite'
# A second name of a layer on its way to be the disk's: whoever comes later knows it by its inode.
PASSING = re.compile(r'\.disk.*\.[0-9a-f]{8}\.tmp')


class File:
    """What has been done to a file."""

    def __init__(self, path, new):
        self.path, self.new, self.dirty, self.synced = path, new, False, False


class Journal:
    """The journal as a power cut would leave it now."""

    def __init__(self, folder):
        self.folder = folder
        self.now = {str(path): bytearray(path.read_bytes())
                    for path in folder.glob(f'{JOURNAL}*') if not path.name.endswith('-shm')}
        self.durable = {path: bytes(data) for path, data in self.now.items()}
        self._text = None

    def apply(self, call):
        """One call; whether a transaction begins to be written with it."""
        data = self.now.setdefault(call.path, bytearray())
        if call.name == 'write':
            end = call.offset + len(call.data)
            data.extend(bytes(max(0, end - len(data))))
            data[call.offset:end] = call.data
        elif call.name == 'truncate':
            del data[call.offset:]
        elif call.name == 'sync':
            self.durable[call.path] = bytes(data)
            self._text = None

    def text(self):
        """Whatever its operations say."""
        if self._text is None:
            with tempfile.TemporaryDirectory() as folder:
                for path, data in self.durable.items():
                    pathlib.Path(folder, os.path.basename(path)).write_bytes(data)
                with contextlib.closing(sqlite3.connect(f'{folder}/{JOURNAL}')) as database:
                    rows = database.execute('SELECT plan, request, result FROM operations')
                    self._text = '\n'.join(map(str, rows))
        return self._text


class Order:
    """Begun while nothing happens; judge() is given the calls that were made since.

    disks   the names that a guest is started from
    """

    def __init__(self, state, disks):
        self.disks, self.folders = set(disks), {os.path.dirname(disk) for disk in disks}
        self.journal = Journal(state)
        self.names, self.above, self.wrong = {}, {}, []
        files = {}
        for folder in self.folders:
            for path in pathlib.Path(folder).iterdir():
                if path.is_file():
                    file = files.setdefault(path.stat().st_ino, File(str(path), False))
                    self.names[str(path)] = file
        for path in self.names:
            with open(path, 'rb') as file:
                if file.read(4) == MAGIC and len(below := files_below(path)) > 1:
                    self.above[self.names.get(below[1])] = self.names[path]
        self.pending = {}       # names that are not durable yet: path -> what was done to them

    def judge(self, calls):
        """What is wrong with the order of calls that have succeeded; [] when nothing is."""
        written = True
        for call in calls:
            if call.result is None or call.result < 0:
                continue
            if call.kind == 'journal' and os.path.basename(call.path).startswith(JOURNAL):
                if call.name == 'write' and not written:
                    self._step(call)
                written = call.name != 'sync' and (written or call.name == 'write')
                self.journal.apply(call)
            elif call.kind == 'qmp' and call.name == 'send':
                self._leads(call)
            elif call.kind == 'file':
                getattr(self, f'_{call.name}', lambda _: None)(call)
        return self.wrong

    def _complain(self, call, what):
        self.wrong.append(f'{call.time:.6f} {call.name} {call.other or call.path}: {what}')

    def _ours(self, path):
        return os.path.dirname(path) in self.folders

    # Names

    def _named(self, call, path):
        """There is a new name."""
        self.pending[path] = call.name
        name = os.path.basename(path)
        passing = call.name == 'link' and PASSING.fullmatch(name)
        if self._ours(path) and path not in self.disks and not passing \
                and name not in self.journal.text():
            self._complain(call, 'the journal does not know this name')

    def _create(self, call):
        if call.path not in self.names:
            self.names[call.path] = File(call.path, True)
            self._named(call, call.path)

    def _file(self, path):
        return self.names.setdefault(path, File(path, True))

    def _link(self, call):
        self.names[call.other] = self._file(call.path)
        self._published(call)
        self._named(call, call.other)

    def _rename(self, call):
        self.names[call.other] = self._file(call.path)
        self._published(call)
        del self.names[call.path]
        # What had another name for a moment only is not there any more, durable or not.
        self.pending.pop(call.path, None)
        self._named(call, call.other)

    def _published(self, call):
        if call.other in self.disks and self.names[call.other].dirty:
            self._complain(call, 'a disk is led to what is not durable')

    def _unlink(self, call):
        file = self.names.pop(call.path, None)
        if self._ours(call.path) and file not in self.names.values():
            names = [path for path in self.pending if path in self.disks]
            if names:
                self._complain(call, f'{names} are not durable')
            above = self.above.get(file)
            if above in self.names.values() and not above.synced:
                self._complain(call, f'the header of {above.path} above it is not durable')
        if self.pending.pop(call.path, None) is None:
            self.pending[call.path] = 'unlink'

    # Data

    def _write(self, call):
        self._file(call.path).dirty = True

    _truncate = _allocate = _write

    def _sync(self, call):
        for path in [path for path in self.pending if os.path.dirname(path) == call.path]:
            del self.pending[path]
        if call.path in self.names:
            self.names[call.path].dirty, self.names[call.path].synced = False, True

    # Others who are told

    def _step(self, call):
        for path, what in self.pending.items():
            if self._ours(path):
                self._complain(call, f'{what} of {path} is not durable')
        for path, file in self.names.items():
            if self._ours(path) and file.dirty:
                self._complain(call, f'what is in {path} is not durable')

    def _leads(self, call):
        text = (call.data or b'').decode(errors='replace')
        for found in re.finditer(r'"filename" ?: ?("(?:[^"\\]|\\.)*")', text):
            path = json.loads(found[1])
            file = self.names.get(path)
            if file is not None and file.new and file.dirty:
                self._complain(call, f'QEMU is led to {path}, which is not durable')
            if path in self.pending:
                self._complain(call, f'QEMU is led to {path}, a name that is not durable')
