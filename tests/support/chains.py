# SPDX-License-Identifier: Apache-2.0
"""A Scene whose chains are worked on: every point keeps its bits, whatever becomes of its file."""

import dataclasses
import itertools
import os
import pathlib
import random
import shutil
import struct
import subprocess
import urllib.parse

from . import programs
from .images import create_qcow2
from .machine import wait_until
from .oracles import assert_chain, assert_prefix, chain, compare
from .scene import Scene
from .trap import Trap

MIB = 1 << 20
MAGIC = b'QFI\xfb'
LEAKS = 3           # what qemu-img check ends with then, and nothing worse
FIRST = 2           # in MiB: where data begins that the guest does not write


def one_disk(folder, qemu=None, size='64M'):
    """One qcow2 disk, in a folder of its own."""
    (folder / 'a').mkdir(exist_ok=True)
    return [create_qcow2(folder / 'a/disk', size, qemu=qemu)]


def dice(*words):
    """Random numbers that a run can be repeated with: QSNAP_TEST_SEED, or others each time."""
    seed = os.environ.get('QSNAP_TEST_SEED') or str(random.SystemRandom().randrange(10 ** 9))
    print(f'QSNAP_TEST_SEED={seed}')
    return random.Random(' '.join(map(str, (seed, *words))))


def files_below(path):
    """The image at `path` and all that it stands on, by the headers."""
    files = [os.path.realpath(path)]
    while True:
        with open(files[-1], 'rb') as file:
            magic, _, at, length = struct.unpack('>4sIQI', file.read(20).ljust(20, b'\0'))
            if magic != MAGIC or not at:
                return files
            file.seek(at)
            name = file.read(length).decode()
        files.append(os.path.realpath(os.path.join(os.path.dirname(files[-1]), name)))


def trace(files):
    """What tells whether one of these files was written to."""
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, files)]


@dataclasses.dataclass
class Kept:
    """A point as it was when it was taken."""
    id: str
    name: str
    copies: dict        # index of the disk -> raw file with what it showed
    models: dict        # index of the disk -> what is written behind the records
    number: int         # of the last record; None where not all disks are in it


class ChainScene(Scene):
    """For `with`, as a Scene.

    point()     takes one, without an image, and keeps what the disks showed
    deepen()    points until the chains are so deep, each layer with data that is its own
    commit() stream() mirror() delete() revert()
                ask for it, wait, and judge everything; `gone` are the points that are to go with it
    refuses()   one of these that must be refused, nothing touched

    points   id -> Kept: those that must be there, and must show what they showed
    aside    files beside the disks that belong there
    """

    def __init__(self, folder, qemu=None, disks=None, **options):
        super().__init__(folder, qemu, disks, **options)
        self.points, self.aside, self.trap, self._traces = {}, set(), None, {}
        self.models = [{} for _ in self.paths]
        self.own = self.folder / 'oracle'
        self.own.mkdir()
        self.last = None        # of a guest that is off: the record that it was taken back to
        self._patterns, self._numbers = itertools.cycle(range(1, 251)), itertools.count()

    def __exit__(self, kind, *rest):
        super().__exit__(kind, *rest)
        if kind is None:        # there are hundreds of these, of a hundred MiB each
            shutil.rmtree(self.folder, ignore_errors=True)

    # What the disks are to show

    def write(self, at=FIRST, size=1, index=0):
        """New data at so many MiB, durable, as from the guest."""
        pattern = next(self._patterns)
        device = f'disk{self.vm.disks.index(self.vm.written[index])}'
        self.as_guest(f'write -P {pattern} {at}M {size}M', device)
        self.as_guest('flush', device)
        self.models[index].update(dict.fromkeys(range(at, at + size), pattern))

    def judge_model(self, image, model):
        """What was written behind the records is there."""
        if not model:
            return
        commands = []
        for pattern, run in itertools.groupby(sorted(model.items()), lambda item: item[1]):
            places = [at for at, _ in run]
            for at in places:
                commands += ['-c', f'read -P {pattern} {at}M 1M']
        path, fmt = image
        program = pathlib.Path(shutil.which(self.qemu.img)).with_name('qemu-io')
        done = subprocess.run([program, '-r', '-U', '-f', fmt, *commands, path], env=self.qemu.env,
                              text=True, capture_output=True)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and 'failed' not in said, f'{path}: {said}'
        assert said.count(' ops; ') == len(model), said

    def listed(self):
        answer = self.daemon.get(f'/v1/guests/{self.guest}/snapshots')
        assert answer.status == 200, answer.body
        return answer.json['snapshots']

    def told(self, kept):
        """A point as it is told now."""
        return next(point for point in self.listed() if point['id'] == kept.id)

    def file_of(self, kept, index=0):
        """The file that holds a disk of a point now, and its format."""
        disk = next(disk for disk in self.told(kept)['disks'] if self.index_of(disk) == index)
        return disk['layer'], disk['format']

    # Points

    def point(self, name=None, **members):
        """Takes a point of the disks, which must succeed; what it was."""
        members = {'name': name or f'point {next(self._numbers)}', 'image': 'none', **members}
        return self.keep(self.backup(**members)['result']['point'])

    def keep(self, point, whole=True, models=None):
        """From now on this point must be listed, and show what it shows now.

        whole   it is one moment of all its disks
        models  what was written behind the records then; what it is now when left out
        """
        models = models or self.models
        told = next(each for each in self.listed() if each['id'] == point)
        kept = Kept(point, told['name'], {}, {}, None)
        for disk in told['disks']:
            index = self.index_of(disk)
            copy = self.own / f"{point}-{index}"
            programs.img('convert', '-U', '-f', disk['format'], '-O', 'raw', disk['layer'], copy,
                         qemu=self.qemu)
            kept.copies[index], kept.models[index] = copy, dict(models[index])
            self.judge_model((copy, 'raw'), kept.models[index])
        if whole and len(kept.copies) == len(self.paths):
            copies = [(copy, 'raw') for _, copy in sorted(kept.copies.items())]
            kept.number = assert_prefix(copies, self.qemu)
        self.points[point] = kept
        return kept

    def keep_new(self, whole=True, models=None):
        """The one point that is listed and was not there before."""
        new, = {point['id'] for point in self.listed()} - self.points.keys()
        return self.keep(new, whole, models)

    def grow(self):
        """Data for the active layers: some of its own, some over that of the layers below."""
        depth = len(self.points)
        for index in range(len(self.paths)):
            self.write(FIRST + 2 * (depth % 16), 3, index)
            self.write(48 + depth % 4, 1, index)
        if not self.still:
            self.vm.wait_for_writes(10)

    def deepen(self, depth=5):
        """Points until there are `depth` layers, with data in each; the points, oldest first."""
        kept = []
        while len(self.layers()) < depth:
            self.grow()
            kept.append(self.point())
        self.grow()
        return kept

    def name_for_life(self, index=0):
        """What an active layer may have been called when it was about to be left."""
        path, _ = self.paths[index]
        return {other for other in pathlib.Path(path).parent.iterdir() if other.samefile(path)}

    def layers(self, index=0):
        """The files of a chain, by its headers, the base first."""
        path, _ = self.paths[index]
        return [path, *files_below(path)[1:]][::-1]

    # Asking

    def path(self, *words):
        return '/'.join([f'/v1/guests/{self.guest}',
                         *(urllib.parse.quote(word, safe='') for word in words)])

    def ask_for(self, *words, method='POST', **members):
        return self.daemon.request(method, self.path(*words), members or None)

    def begin_to(self, *words, **members):
        """Begins one of the operations; as it is then."""
        answer = self.ask_for(*words, **members)
        assert answer.status == 202, answer.body
        return answer.json

    def work(self, *words, gone=(), timeout=120, **members):
        """One of the operations, which must succeed; `gone` are the points it may take with it."""
        operation = self.daemon.finished(self.begin_to(*words, **members), timeout)
        assert operation['state'] == 'succeeded', (operation, self.daemon.log[-2000:])
        assert operation['error'] is None
        self.forget(gone)
        return operation

    def forget(self, gone):
        for kept in gone:
            del self.points[kept.id]

    def commit(self, disk='disk0', **members):
        return self._judged('disks', disk, 'commit', **members)

    def stream(self, disk='disk0', **members):
        return self._judged('disks', disk, 'stream', **members)

    def mirror(self, target, disk='disk0', **members):
        operation = self.work('disks', disk, 'mirror', target=target, **members)
        # What a guest has moved away from stays, with a name for life.
        self.aside |= {each['left'] for each in operation['result']['disks'] if 'left' in each}
        self.judge()
        return operation

    def shorten(self, **members):
        return self._judged('shorten', **members)

    def delete(self, kept, **members):
        members.setdefault('gone', [kept])
        return self._judged('snapshots', kept.id, method='DELETE', **members)

    def _judged(self, *words, **members):
        operation = self.work(*words, **members)
        self.judge()
        return operation

    def revert(self, kept, **members):
        """To a point, as its guest goes on from there; the operation, and the branch that was left."""
        mark, running = self.vm.mark(), self.vm.alive and self.status() == 'running'
        operation = self.work('snapshots', kept.id, 'revert', **members)
        branch = None if members.get('discard') else self.keep_new()
        self.at(kept, mark if running and members.get('reset', True) else None)
        self.judge()
        return operation, branch

    def at(self, kept, mark=None):
        """The disks are at a point; with a mark the guest has been reset since then and writes."""
        for index, model in kept.models.items():
            self.models[index] = dict(model)
        if not self.vm.alive:
            self.last = kept.number
        if mark is not None:
            self.wait_record(kept.number + 1, mark)

    def wait_record(self, number, mark, timeout=30):
        """Waits until the guest has written a record since `mark`."""
        self.last = None
        wait_until(lambda: any((frame.kind, frame.number) == ('R', number)
                               for frame in self.vm.since(mark)),
                   f'record {number} is written', timeout, interval=0.02)

    def refuses(self, status, code, *hints, words=(), **members):
        """One of the operations that must be refused, with these words, and nothing has changed."""
        before, listed = self.state(), self.listed()
        answer = self.ask_for(*words, **members)
        assert answer.status == status, answer.body
        assert answer.error['code'] == code, answer.body
        said = answer.error['message'] + ' ' + str(answer.error.get('hint'))
        for word in hints:
            assert word in said, f'{word!r} is not in {said!r}'
        assert self.state() == before and self.listed() == listed, 'it was refused, and it was not'
        return answer.error

    def state(self):
        if self.vm.alive:
            return super().state()
        return {'files': self._files(),
                'operations': [operation['id'] for operation in self.operations()]}

    # The guest's process

    def shut_off(self):
        """The guest is shut off, and the daemon knows it."""
        self.vm.quit()
        wait_until(lambda: self.daemon.get(self.path()).json['state'] != 'attached',
                   'the daemon sees that the guest is gone', interval=0.02)

    def restart(self):
        """The guest's process dies (unless it is gone) and is started again from the disks' names."""
        self.vm.kill()
        self.judge_name()
        self.restarted = True
        self.renamed.clear()
        self.vm.start()
        if self.trap:
            self.trap.start()
        self.wait_writing()
        self.wait_attached()

    def wait_writing(self, records=10):
        """Waits until the guest has written some more, wherever it goes on."""
        self.last = None
        mark = self.vm.mark()
        wait_until(lambda: len(self.vm.since(mark)) >= records, 'the guest writes', interval=0.02)

    def trapped(self):
        """The daemon comes to the guest through a Trap from now on; it is to be stopped by the caller."""
        self.daemon.delete(self.path())
        self.trap = Trap(self.folder / 'trap', self.vm.qmp_path)
        self.trap.start()
        self.guest = self.daemon.attach(self.trap.path, id='g')
        return self.trap

    def wait_attached(self):
        if not self.trap:
            super().wait_attached()
            return

        def found():
            guest = self.daemon.get(self.path()).json
            return (guest['state'], guest['pid']) == ('attached', self.trap.pid)
        wait_until(found, 'the guest is attached', interval=0.02)

    # Judging

    def judge_upload(self, image_id, layer, fmt='qcow2'):
        record = self.image(image_id)
        parents = list(filter(None, record['properties'].get('qsnapd_chain', '').split(',')))
        if record['properties']['qsnapd_kind'] == 'full':
            compare((layer, fmt), (self.data(image_id), record['disk_format']), self.qemu)
        elif len(parents) >= len(chain((layer, fmt), self.qemu)):   # only layers became one
            compare((layer, fmt), self.restore(image_id, self.folder / 'restored'), self.qemu)
        else:
            super().judge_upload(image_id, layer, fmt)

    def judge(self):
        if self.vm.alive:
            super().judge()
            return
        for operation in self.operations():
            assert operation['state'] not in ('queued', 'running'), operation
        self.judge_name()
        self.judge_files({file for path, _ in self.paths for file in [path, *files_below(path)]})
        self.judge_store()
        self.judge_frozen()

    def judge_store(self):
        if self.store.exists():
            super().judge_store()

    def judge_frozen(self):
        """Every point is listed, no other, and each shows what it showed; the chains are whole."""
        listed = {point['id']: point for point in self.listed()}
        assert listed.keys() == self.points.keys(), (
            f'listed are {[point["name"] for point in listed.values()]}, '
            f'expected {[kept.name for kept in self.points.values()]}')
        for kept in self.points.values():
            disks = {self.index_of(disk): disk for disk in listed[kept.id]['disks']}
            assert disks.keys() == kept.copies.keys(), f'{kept.name} is of {sorted(disks)}'
            for index, copy in kept.copies.items():
                layer = disks[index]['layer']
                self._once(('point', kept.id, index), files_below(layer), compare,
                           (layer, disks[index]['format']), (copy, 'raw'), self.qemu)
        for index, image in enumerate(self.paths):
            files = files_below(image[0])
            folder = os.path.dirname(files[0])
            ours = len(list(itertools.takewhile(lambda file: os.path.dirname(file) == folder, files)))
            assert_chain(image, ours=ours - (ours < len(files)), qemu=self.qemu)
            for file in files[self.vm.alive:]:
                self._once(('check', file), [file], self._check, file)
            self.judge_model(image, self.models[index])

    def _check(self, file):
        with open(file, 'rb') as opened:
            if opened.read(4) != MAGIC:
                return
        try:
            programs.img('check', '-q', '-U', '-f', 'qcow2', file, qemu=self.qemu)
        except subprocess.CalledProcessError as error:
            # A power cut in mid-write may cost a cluster, no more.
            assert error.returncode == LEAKS and self.restarted, f'{file}: {error.output}'

    def _once(self, what, files, judge, *arguments):
        """What was judged is judged again when one of the files has been written to."""
        now = trace(files)
        if self._traces.get(what) != now:
            judge(*arguments)
            self._traces[what] = now

    def judge_files(self, used):
        used = set(map(str, used | self.aside))
        for point in self.listed():
            for disk in point['disks']:
                used |= set(files_below(disk['layer']))
        known = {os.stat(path).st_ino for path in used}
        for path, entry in self._files().items():
            assert entry[0] in known, f'stray file {path}'
            assert path in used or self.restarted or not self.vm.alive, f'stray name {path}'

    def judge_either(self, kept, mark):
        """After a death in a revert: the disks are as they were or at the point, all; whether the latter.

        mark   was taken before it, and records between the point and it
        """
        written = [frame.number for frame in self.vm.since(mark) if frame.kind == 'R']
        back = any(later <= sooner for sooner, later in zip(written, written[1:]))
        number = assert_prefix(self.paths, self.qemu)
        reached = back or number <= kept.number + 1
        assert number >= written[-1] or reached and not back, (
            f'the disks are at record {number}, {written[-1]} was the last')
        assert number >= kept.number, f'the disks are at record {number}, before the point'
        if reached:
            self.at(kept)
        self.judge_name_but_records()
        return reached

    def acked(self):
        return self.last if self.last is not None and not self.vm.alive else super().acked()

    def judge_name(self):
        super().judge_name()
        self.judge_name_but_records()

    def judge_name_but_records(self):
        for image, model in zip(self.paths, self.models):
            self.judge_model(image, model)
