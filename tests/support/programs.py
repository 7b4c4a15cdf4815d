# SPDX-License-Identifier: Apache-2.0
"""Which QEMUs there are to test with.

QEMU, QSD, QEMU_IMG   the programs of the first one; by default the installed ones
QSNAP_QEMU10          the root of the package tree with the second one, see fetch-qemu10
"""

import dataclasses
import functools
import os
import pathlib
import re
import shutil
import subprocess


@dataclasses.dataclass(frozen=True)
class Qemu:
    """The programs of one QEMU, and what they need to run from where they are."""

    system: str
    storage_daemon: str
    img: str
    data: tuple = ()  # folders of firmware
    libraries: str = ''  # folders of libraries that the host may lack

    @property
    def env(self):
        """The environment its programs are started in."""
        own = {'LD_LIBRARY_PATH': self.libraries} if self.libraries else {}
        return {**os.environ, 'LC_ALL': 'C', **own}

    @functools.cached_property
    def version(self):
        text = subprocess.run(
            [self.img, '--version'], env=self.env, check=True, capture_output=True, text=True
        ).stdout
        return re.search(r'version (\d+\.\d+)', text)[1]

    def __str__(self):
        return 'qemu-' + self.version


def _beside(system, storage_daemon=None, img=None):
    """The QEMU that `system` is of; outside /usr its firmware and libraries are beside it."""
    folder = pathlib.Path(shutil.which(system)).resolve().parent
    usr, triplet = folder.parent, 'lib/x86_64-linux-gnu'
    own = usr != pathlib.Path('/usr')
    beside = lambda name: shutil.which(name, path=str(folder)) or name
    data = [usr / 'share/qemu', usr / 'share/seabios']
    libraries = [usr / triplet, usr.parent / triplet]
    return Qemu(
        system,
        storage_daemon or beside('qemu-storage-daemon'),
        img or beside('qemu-img'),
        data=tuple(str(path) for path in data if own and path.is_dir()),
        libraries=':'.join(str(path) for path in libraries if own and any(path.glob('*.so*'))),
    )


def _installed():
    system = os.environ.get('QEMU') or 'qemu-system-x86_64'
    if not shutil.which(system):
        if 'QEMU' in os.environ:
            raise FileNotFoundError(f'QEMU={system}: there is no such program')
        return None
    return _beside(system, os.environ.get('QSD'), os.environ.get('QEMU_IMG'))


def _unpacked(root):
    system = pathlib.Path(root, 'usr/bin/qemu-system-x86_64')
    if not system.exists():
        raise FileNotFoundError(
            f'QSNAP_QEMU10={root}: there is no usr/bin/qemu-system-x86_64 in it'
        )
    return _beside(str(system))


@functools.cache
def qemus():
    """All QEMUs to test with; str() of one is fit for a test's id."""
    unpacked = os.environ.get('QSNAP_QEMU10')
    return tuple(filter(None, (_installed(), _unpacked(unpacked) if unpacked else None)))


@functools.cache
def default():
    """The first of them."""
    if not qemus():
        raise FileNotFoundError(
            'no qemu-system-x86_64: install qemu-system-x86, or name one in QEMU'
        )
    return qemus()[0]


def img(*arguments, qemu=None, **options):
    """Runs qemu-img; its output. A failure carries what it said."""
    qemu = qemu or default()
    done = subprocess.run([qemu.img, *map(str, arguments)], env=qemu.env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        command = ' '.join(map(str, done.args))
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
    return done.stdout
