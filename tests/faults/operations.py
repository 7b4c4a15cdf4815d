# SPDX-License-Identifier: Apache-2.0
"""One operation of each kind, to be asked for while something fails, and judged however it ends."""

import os

from support.machine import wait_until


def name(path):
    return os.path.basename(path)


class Work:
    """One operation on the guest of a ChainScene, which may see many of them, each a Work of its own:

    prepare()           makes the chain that it needs; nothing may fail meanwhile
    ask()               asks for it; the answer: 202 with the operation, or why it was refused
    settle(operation)   judges what an operation that has ended has left; None: it was refused

    Whatever became of it: points that it may not take with it show what they showed, the guest goes
    on, its disks start from their names, no file, image, job or node is left that nobody needs.

    may_go   points that may be gone afterwards, or have lost a disk
    """

    depth = 4           # layers of each chain when it begins
    images = False      # whether the points have images
    disks = None        # how many disks the guest has; None: any

    def __init__(self, s):
        self.s, self.may_go, self.models = s, [], None

    def prepare(self):
        s = self.s
        while min(len(s.layers(index)) for index in range(len(s.paths))) < self.depth:
            s.grow()
            self.point('layer' if self.images else 'none')
        s.grow()
        self.points = sorted((kept for kept in s.points.values() if len(kept.copies) == len(s.paths)
                              and all(s.file_of(kept, index)[0] in s.layers(index)
                                      for index in kept.copies)), key=lambda kept: kept.number)

    def point(self, image):
        """A point; its images may stand on those of layers that are no more."""
        s = self.s
        operation = s.daemon.snapshot(s.guest, image=image)
        assert operation['state'] == 'succeeded', operation
        s.follow(operation)
        self.follow_images(operation)
        return s.keep(operation['result']['point'])

    def ask(self):
        raise NotImplementedError

    def settle(self, operation):
        s = self.s
        succeeded = operation is not None and operation['state'] == 'succeeded'
        if succeeded:
            assert operation['error'] is None, operation
        elif operation is not None:
            assert operation['state'] in ('failed', 'cancelled'), operation
            assert operation['error']['message'], operation
        wait_until(lambda: s.status() == 'running', 'the guest goes on', 20)
        self.wait_images(operation)
        self.lose_points()
        (self.succeeded if succeeded else self.failed)(operation)
        s.judge()
        return succeeded

    def wait_images(self, operation):
        """What the store would not delete at once goes when it is there again."""
        left = operation['result'].get('left_images', ()) if operation else ()
        if left:
            wait_until(lambda: not any(name.startswith(tuple(left)) for name in os.listdir(self.s.store)),
                       f'images {left} go', 90, interval=0.2)

    def lose_points(self):
        s = self.s
        listed = {point['id']: {s.index_of(disk) for disk in point['disks']}
                  for point in s.listed()}
        for kept in self.may_go:
            for index in kept.copies.keys() - listed.get(kept.id, set()):
                del kept.copies[index]
        s.forget([kept for kept in self.may_go if kept.id not in listed])

    def succeeded(self, operation):
        pass

    def failed(self, operation):
        """`operation` is None when it was refused."""

    def follow_images(self, operation):
        self.s.images |= {image['id'] for image in operation['result'].get('images', ())}

    def keep_new(self):
        """A point may be listed that was not there before: then it must stay what it is."""
        if {point['id'] for point in self.s.listed()} - self.s.points.keys():
            self.s.keep_new(models=self.models)


class Snapshot(Work):
    """Two points with an image each, the second of which has a parent."""
    depth = 2

    def ask(self):
        return self.s.ask(name='asked for', image='layer')

    def succeeded(self, operation):
        self.s.follow(operation)
        self.follow_images(operation)
        self.s.keep_new()

    def failed(self, operation):
        """Images of layers below that went up whole stay; the next one need not send them again."""
        if operation:
            assert not any(image['is_point'] for image in operation['result'].get('images', ()))
            self.follow_images(operation)
        self.keep_new()


class FullImage(Work):
    depth = 2

    def ask(self):
        disks = [f'disk{index}' for index in range(len(self.s.paths))]
        return self.s.ask_for('images', disks=disks)

    def succeeded(self, operation):
        self.follow_images(operation)
        assert len(operation['result']['images']) == len(self.s.paths), operation
        self.keep_new()

    def failed(self, operation):
        self.keep_new()


class Commit(Work):
    """A layer between goes into the one below it."""

    def ask(self):
        files = self.s.layers()
        self.may_go = self.points
        return self.s.ask_for('disks', 'disk0', 'commit', top=name(files[2]), base=name(files[1]),
                              discard_points=True)


class ActiveCommit(Work):
    """What the guest writes to goes down, with the layer below it, while it writes."""
    depth = 3

    def ask(self):
        self.may_go = list(self.s.points.values())
        return self.s.ask_for('disks', 'disk0', 'commit', base=name(self.s.layers()[-3]),
                              discard_points=True)


class Stream(Work):

    def ask(self):
        return self.s.ask_for('disks', 'disk0', 'stream', base=name(self.s.layers()[0]))


class Copy(Work):
    """A mirror that is kept."""
    depth, numbers = 2, iter(range(1 << 30))

    def prepare(self):
        super().prepare()
        folder = self.s.folder / 'copies'
        folder.mkdir(exist_ok=True)
        self.target = folder / f'copy-{next(self.numbers)}'

    def ask(self):
        return self.s.ask_for('disks', 'disk0', 'mirror', end='keep',
                              target={'path': str(self.target)})

    def succeeded(self, operation):
        self.s.judge_model((str(self.target), 'qcow2'), self.s.models[0])
        self.target.unlink()

    def failed(self, operation):
        assert not os.path.lexists(self.target), f'the copy was left: {self.target}'


class Move(Work):
    """A mirror that the guest moves to."""
    depth, numbers = 2, iter(range(1 << 30))

    def ask(self):
        self.target = f'{self.s.paths[0][0]}-moved-{next(self.numbers)}'
        return self.s.ask_for('disks', 'disk0', 'mirror', end='pivot', target={'path': self.target})

    def succeeded(self, operation):
        # What the guest has moved away from stays, with a name for life.
        self.s.aside |= {disk['left'] for disk in operation['result']['disks'] if 'left' in disk}


class Delete(Work):
    """The point in the midst of the chain."""

    def ask(self):
        kept = self.points[len(self.points) // 2]
        self.may_go = [kept]
        return self.s.ask_for('snapshots', kept.id, method='DELETE')

    def succeeded(self, operation):
        kept, = self.may_go
        assert kept.id not in self.s.points, f'{kept.name} is still there'


class Shorten(Work):
    images = True

    def ask(self):
        self.may_go = list(self.s.points.values())
        return self.s.ask_for('shorten', max_chain_length=self.depth - 1)


class Revert(Work):
    """To a point of the past; what was written since is a branch with a point."""
    depth = 3

    def prepare(self):
        super().prepare()
        self.kept = self.points[0]

    def ask(self):
        s = self.s
        s.vm.wait_for_writes(20)
        self.mark, self.models = s.vm.mark(), [dict(model) for model in s.models]
        s.vm.wait_for_writes(5)
        return s.ask_for('snapshots', self.kept.id, 'revert')

    def succeeded(self, operation):
        self.s.at(self.kept, self.mark)
        self.s.keep_new(models=self.models)


class Restore(Revert):
    """An image of a point whose layer is not here any more comes from the store. One disk."""
    images, disks = True, 1

    def prepare(self):
        super().prepare()
        s = self.s
        s.grow()
        kept = self.point('full')
        self.image = s.told(kept)['disks'][0]['image_id']
        s.grow()
        s.delete(kept)
        s.grow()
        self.kept = kept

    def ask(self):
        s = self.s
        s.vm.wait_for_writes(20)
        self.mark, self.models = s.vm.mark(), [dict(model) for model in s.models]
        s.vm.wait_for_writes(5)
        return s.ask_for('restore', image=self.image)


WORKS = {'snapshot': Snapshot, 'full image': FullImage, 'commit': Commit,
         'active commit': ActiveCommit, 'stream': Stream, 'copy': Copy, 'move': Move,
         'delete': Delete, 'shorten': Shorten, 'revert': Revert, 'restore': Restore}
