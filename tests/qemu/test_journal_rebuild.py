# SPDX-License-Identifier: Apache-2.0
"""A journal that is torn while the daemon is down: nothing is changed until it is rebuilt, and no point is made up."""

import os

from support import programs
from support.chains import ChainScene, one_disk
from support.machine import wait_until
from support.scene import pairs

PAGE = 4096


def tear_page(state, page):
    path = state / 'journal.sqlite'
    content = bytearray(path.read_bytes())
    content[page * PAGE:(page + 1) * PAGE] = b'\x5a' * PAGE
    path.write_bytes(content)


def tear_schema(state):
    tear_page(state, 0)


def tear_middle(state):
    tear_page(state, (state / 'journal.sqlite').stat().st_size // PAGE // 2)


def tear_end(state):
    path = state / 'journal.sqlite'
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 2 // 3])


def tear_log(state):
    path = state / 'journal.sqlite-wal'
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle:middle + 100] = b'\x5a' * 100
    path.write_bytes(content)


def lose_file(state):
    (state / 'journal.sqlite').write_bytes(b'')


TEARS = {tear.__name__: tear for tear in (tear_schema, tear_middle, tear_end, tear_log, lose_file)}


def name_guest(s):
    """From the next start on the guest is one of the configuration, whatever becomes of the journal."""
    path = s.folder / 'qsnapd.conf'
    path.write_text(f'[guest {s.guest}]\nmonitor = {s.vm.qmp_path}\n')
    s.daemon.args = ['--config', path]


def files(folder):
    """What a folder has, but for what each start writes anew."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != '.lock'}


def refused(answer):
    assert answer.status == 503, answer.body
    assert answer.error['code'] == 'damaged', answer.error
    assert 'rebuild-journal' in answer.error['hint']


def is_attached(s):
    answer = s.daemon.get(f'/v1/guests/{s.guest}')
    return answer.status == 200 and answer.json['state'] == 'attached'


def is_shown_and_kept(s, state):
    """While the journal is damaged all can be seen, and nothing is changed."""
    before = files(state)
    guest = f'/v1/guests/{s.guest}'
    health = s.daemon.get('/v1/health').json
    assert health['status'] == 'damaged' and health['journal']['damaged'], health
    wait_until(lambda: is_attached(s), 'the guest is attached')
    for path in ('/disks', '/tree', '/snapshots', ''):
        answer = s.daemon.get(guest + path)
        assert answer.status == 200, answer.body
        assert 'damaged' in answer.headers['Warning']
    assert s.daemon.get('/v1/images').status == 200
    refused(s.ask(name='refused'))
    refused(s.daemon.post(guest + '/shorten', {'max_chain_length': 1}))
    refused(s.daemon.delete(guest))
    refused(s.daemon.post('/v1/guests', {'monitor': '/nowhere'}))
    action = {'createImage': {'name': 'refused', 'metadata': {}}}
    assert s.daemon.post(f'/v2.1/servers/{s.guest}/action', action).status == 503
    shown = s.daemon.qsnap('guests', check=True)
    assert s.guest in shown.stdout and 'warning:' in shown.stderr and 'damaged' in shown.stderr
    asked = s.daemon.qsnap('snapshot', s.guest)
    assert asked.returncode == 6 and 'rebuild-journal' in asked.stderr
    assert files(state) == before


def rebuild(s, *words):
    """By qsnap; what is said of it. The daemon goes on by itself."""
    done = s.daemon.qsnap('--json', 'rebuild-journal', *words, check=True)
    wait_until(lambda: is_whole(s), 'the daemon has begun anew', timeout=20)
    for operation in s.operations():
        s.daemon.finished(operation)
    return done.stdout


def is_whole(s):
    try:
        return is_attached(s) and s.daemon.get('/v1/health').json['status'] == 'ok'
    except (ConnectionError, FileNotFoundError):
        return False


def forget_unlisted(s):
    """A point may be lost; one that is listed must be what it was. How many are left."""
    listed = {point['id'] for point in s.listed()}
    found = listed - s.points.keys()
    s.points = {name: kept for name, kept in s.points.items() if name in listed}
    for name in found:
        s.keep(name, whole=False)
    return len(s.points)


@pairs('tear', *[(name,) for name in TEARS], quick=[1, 3])
def test_torn(qemu, tear, tmp_path):
    with ChainScene(tmp_path, qemu, one_disk(tmp_path, qemu)) as s:
        state = s.daemon.folder / 'state'
        s.point('first', image='layer')
        s.write()
        second = s.point('second', image='layer')
        if tear == 'tear_log':
            s.daemon.kill()
        else:
            s.daemon.stop()
        name_guest(s)
        TEARS[tear](state)
        damaged = files(state)
        s.daemon.start()
        is_shown_and_kept(s, state)

        rebuild(s)
        kept, = {path.name.removesuffix('-wal') for path in state.glob('journal.sqlite.damaged-*')
                 if not path.name.endswith('-shm')}
        for suffix in ('', '-wal'):
            if 'journal.sqlite' + suffix in damaged:
                assert (state / (kept + suffix)).read_bytes() == damaged['journal.sqlite' + suffix]
        s.points.setdefault(second.id, second)
        assert forget_unlisted(s) == 2
        s.judge()

        s.write()
        third = s.point('third', image='layer')
        assert len(s.points) == 3 and s.told(third)['disks'][0]['image_id']


@pairs('image', ('layer',), ('none',))
def test_lost(qemu, image, tmp_path):
    """A new journal knows no points; those that can be proven are found again."""
    with ChainScene(tmp_path, qemu, one_disk(tmp_path, qemu)) as s:
        state = s.daemon.folder / 'state'
        s.point('first', image=image)
        s.point('second', image=image)
        s.daemon.stop()
        (state / 'journal.sqlite').unlink()
        s.daemon.start()
        s.guest = s.daemon.attach(s.vm.qmp_path, id='g')
        assert s.listed() == []
        refusal = s.daemon.post('/v1/journal/rebuild', {})
        assert refusal.status == 409 and 'whole' in refusal.error['message']

        rebuild(s, '--force')
        found = {point['id'] for point in s.listed()}
        if image == 'layer':
            assert found == set(s.points)
        for name in found - s.points.keys():
            s.keep(name, whole=False)
        forget_unlisted(s)
        s.judge()
        s.point('third', image='layer')


def test_lost_and_found(tmp_path):
    """Layers of a guest that stood still when the next one was made tell themselves that they are points."""
    with ChainScene(tmp_path, disks=one_disk(tmp_path)) as s:
        state = s.daemon.folder / 'state'
        for name in ('first', 'second'):
            s.vm.qmp.execute('stop')
            s.point(name)
            s.vm.qmp.execute('cont')
            s.vm.wait_for_writes(10)
        s.daemon.stop()
        (state / 'journal.sqlite').unlink()
        s.daemon.start()
        s.guest = s.daemon.attach(s.vm.qmp_path, id='g')
        rebuild(s, '--force')
        # Under other names and ids, of the same layers.
        told = {point['name']: point for point in s.listed()}
        assert sorted(told) == ['recovered 1', 'recovered 2']
        for kept, point in zip(list(s.points.values()), told.values()):
            del s.points[kept.id]
            kept.id, kept.name = point['id'], point['name']
            s.points[kept.id] = kept
        s.judge()


def test_layer_that_was_written_to(tmp_path):
    """A point whose layer somebody has touched since is none any more."""
    with ChainScene(tmp_path, disks=one_disk(tmp_path)) as s:
        state = s.daemon.folder / 'state'
        first, second = s.point('first'), s.point('second')
        s.daemon.stop()
        name_guest(s)
        tear_end(state)
        touched = s.layers()[1]
        with open(touched, 'r+b') as layer:
            last = layer.seek(-1, 2)
            byte = layer.read(1)
            layer.seek(last)
            layer.write(byte)
        s.daemon.start()
        wait_until(lambda: is_attached(s), 'the guest is attached')
        rebuild(s)
        names = {point['id'] for point in s.listed()}
        assert second.id not in names
        del s.points[second.id]
        if first.id not in names:
            del s.points[first.id]
        for name in names - s.points.keys():
            s.keep(name, whole=False)
        s.judge()


def test_part_of_a_point(tmp_path):
    """Of a point of two disks one is found again: it is not taken for a whole one."""
    with ChainScene(tmp_path) as s:
        state = s.daemon.folder / 'state'
        first = s.point('first', image='layer')
        s.daemon.stop()
        (state / 'journal.sqlite').unlink()
        with open(s.layers(1)[-2], 'r+b') as layer:
            last = layer.seek(-1, 2)
            byte = layer.read(1)
            layer.seek(last)
            layer.write(bytes([byte[0] ^ 1]))
        s.daemon.start()
        s.guest = s.daemon.attach(s.vm.qmp_path, id='g')
        rebuild(s, '--force')
        point, = s.listed()
        assert (point['id'], point['name'], len(point['disks'])) == (first.id, 'first', 1)
        s.keep(first.id, whole=False)
        answer = s.ask_for('snapshots', point['id'], 'revert')
        assert answer.status == 409 and 'has lost 1 of its 2 disks' in answer.error['message'], answer.body


def test_guest_that_is_away(tmp_path):
    """Its points are not thrown away unasked."""
    with ChainScene(tmp_path, disks=one_disk(tmp_path)) as s:
        state = s.daemon.folder / 'state'
        for name in ('first', 'second', 'third'):
            s.point(name)
        s.daemon.kill()
        tear_log(state)
        name_guest(s)
        s.vm.qmp_path.rename(tmp_path / 'away')
        s.daemon.start()
        before = files(state)
        answer = s.daemon.post('/v1/journal/rebuild', {})
        assert answer.status == 503 and s.guest in answer.error['message'], answer.body
        assert 'points' in answer.error['hint']
        assert files(state) == before

        (tmp_path / 'away').rename(s.vm.qmp_path)
        wait_until(lambda: is_attached(s), 'the guest is back')
        rebuild(s)
        assert 1 <= forget_unlisted(s) < 3


def stray_commit(s, complete):
    """A commit of the active layer into the one below, of an operation that nobody knows."""
    root = s.root()
    path = s.layers()[-2]
    base, = {node['node-name'] for node in s.vm.qmp.execute('query-named-block-nodes', {'flat': True})
             if node['drv'] == 'qcow2' and node['file'].endswith((path, f'"{path}"}}}}'))}
    s.vm.qmp.execute('block-commit', {'job-id': 'qsnap-0123456789ab-0', 'device': root, 'base-node': base,
                                      'auto-finalize': False, 'auto-dismiss': False})
    s.vm.qmp.wait_event('BLOCK_JOB_READY', timeout=20)
    if complete:
        s.vm.qmp.execute('job-complete', {'id': 'qsnap-0123456789ab-0'})
        s.vm.qmp.wait_event('BLOCK_JOB_PENDING', timeout=20)
    return path


def stray_mirror(s):
    """A mirror to a new file beside the disk, of an operation that nobody knows."""
    disk, _ = s.paths[0]
    copy = disk + '-copy'
    programs.img('create', '-f', 'qcow2', copy, '64M', qemu=s.qemu)
    s.vm.qmp.execute('blockdev-add', {'driver': 'qcow2', 'node-name': 'qsnap-0123456789ab-0', 'file': {
        'driver': 'file', 'node-name': 'qsnap-0123456789ab-0-f', 'filename': copy}})
    s.vm.qmp.execute('blockdev-mirror', {'job-id': 'qsnap-0123456789ab-0', 'device': s.root(), 'sync': 'full',
                                         'target': 'qsnap-0123456789ab-0', 'auto-finalize': False,
                                         'auto-dismiss': False})
    s.vm.qmp.wait_event('BLOCK_JOB_READY', timeout=20)
    s.vm.qmp.execute('job-complete', {'id': 'qsnap-0123456789ab-0'})
    s.vm.qmp.wait_event('BLOCK_JOB_PENDING', timeout=20)
    return copy


# QEMU has its active file open by a layer's name, or, since its own start, by the disk's.
@pairs('how, restarted', ('running', False), ('pending', False), ('published', False), ('published', True),
       ('pending', True), ('mirrored', False), ('mirrored', True), quick=[0, 1, 3])
def test_stray_pivot(qemu, how, restarted, tmp_path):
    """A job of ours that no operation knows any more is ended; where the disk's name leads decides how."""
    with ChainScene(tmp_path, qemu, one_disk(tmp_path, qemu)) as s:
        state = s.daemon.folder / 'state'
        s.point('first')
        s.point('second')
        disk, _ = s.paths[0]
        if restarted:
            s.restart()
        s.daemon.kill()
        base = stray_mirror(s) if how == 'mirrored' else stray_commit(s, how != 'running')
        if how in ('published', 'mirrored'):
            s.aside |= s.name_for_life()
            if how == 'mirrored':
                s.aside |= set(s.layers())
            os.link(base, disk + '.tmp')
            os.replace(disk + '.tmp', disk)
        tear_log(state)
        name_guest(s)
        s.daemon.start()
        wait_until(lambda: is_attached(s), 'the guest is attached')
        assert s.vm.qmp.execute('query-jobs')
        rebuild(s)
        assert not [job for job in s.vm.qmp.execute('query-jobs') if job['id'].startswith('qsnap-')]
        forget_unlisted(s)
        acked = s.vm.acked()
        s.vm.wait_for_writes(10)
        s.judge()
        assert s.vm.acked() != acked
