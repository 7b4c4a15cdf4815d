# SPDX-License-Identifier: Apache-2.0
"""What qsnap tells the daemon, and how it shows what a real one says too seldom."""

import json
import re

import pytest

from support.pretender import IMAGES, SNAPSHOTS, UUID, WAIT, Pretender, operation

MIB = 1024 * 1024
FAILED = operation('failed', error={'code': 'no-space', 'message': 'the store is full', 'hint': 'Delete images.'})


def test_all_that_a_snapshot_can_ask_for(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation('succeeded'))]}) as daemon:
        done = daemon.qsnap('snapshot', 'web', 'näme', '-d', 'a', '--disk', 'b', '--quiesce', 'require', '--image', 'layer',
                            '--parents', 'ignore', '--metadata', 'k=v=w', '-m', 'empty=', '--image-ref', 'a=x', '--image-ref',
                            'b=y', '--overlay-folder', 'here', '--allow-format-change', '--end-jobs', '--idempotency-key', 'key',
                            cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (method, path, body, headers), = daemon.requests
    assert body == {'name': 'näme', 'disks': ['a', 'b'], 'quiesce': 'require', 'image': 'layer', 'parents': 'ignore',
                    'metadata': {'k': 'v=w', 'empty': ''}, 'image_ref': {'a': 'x', 'b': 'y'},
                    'overlay_folder': str(tmp_path / 'here'), 'allow_format_change': True, 'end_jobs': True}
    assert headers['Idempotency-Key'] == 'key'
    assert headers['Host'] == 'localhost' and headers['Content-Type'] == 'application/json'


def test_nothing_that_was_not_asked_for(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation('succeeded'))]}) as daemon:
        assert daemon.qsnap('snapshot', 'web', '--image-ref', 'x').returncode == 0
        assert daemon.requests[0][2] == {'image_ref': 'x'}


def test_all_that_a_full_image_can_ask_for(tmp_path):
    with Pretender(tmp_path, {('POST', IMAGES): [(202, operation('succeeded', kind='image'))]}) as daemon:
        done = daemon.qsnap('image', 'web', 'näme', '-d', 'a', '--disks', 'b,c', '--format', 'raw', '--quiesce', 'try', '-m',
                            'k=v', '--image-ref', 'x', '--overlay-folder', 'here', '--allow-format-change', '--end-jobs',
                            '--deadline', '90', '--on-deadline', 'throttle', '--idempotency-key', 'key', cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (method, path, body, headers), = daemon.requests
    assert body == {'name': 'näme', 'disks': ['a', 'b', 'c'], 'format': 'raw', 'quiesce': 'try', 'metadata': {'k': 'v'},
                    'image_ref': 'x', 'overlay_folder': str(tmp_path / 'here'), 'allow_format_change': True, 'end_jobs': True,
                    'deadline': 90, 'on_deadline': 'throttle'}
    assert headers['Idempotency-Key'] == 'key'


@pytest.mark.parametrize('words, body', [
    ([], {}),
    (['--disks', 'all'], {'disks': 'all'}),
    (['--disks', 'all,b'], {'disks': ['all', 'b']}),
    (['--disk', 'all'], {'disks': ['all']}),
    (['--disks', 'a'], {'disks': ['a']}),
    (['--disk', 'a,b'], {'disks': ['a,b']}),
    (['--deadline', '7'], {'deadline': 7}),
])
def test_disks_and_defaults_of_a_full_image(tmp_path, words, body):
    with Pretender(tmp_path, {('POST', IMAGES): [(202, operation('succeeded', kind='image'))]}) as daemon:
        assert daemon.qsnap('image', 'web', 'x', *words).returncode == 0
        assert daemon.requests[0][2] == {'name': 'x', **body}


def test_full_images_of_a_snapshot(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation('succeeded'))]}) as daemon:
        assert daemon.qsnap('snapshot', 'web', '--image', 'full', '--format', 'qcow2', '--disks', 'all').returncode == 0
        assert daemon.requests[0][2] == {'image': 'full', 'format': 'qcow2', 'disks': 'all'}


FULL = operation('succeeded', kind='image', step=None, result={
    'images': [{'id': 'image-b', 'name': 'x/b', 'disk': 'b', 'size': 3 * MIB},
               {'id': 'image-a', 'name': 'x/a', 'disk': 'a', 'size': 5}],
    'disks': [{'disk': 'a', 'path': '/d/a', 'folded': True},
              {'disk': 'b', 'path': '/d/b', 'folded': False, 'kept': 'the guest writes faster'}],
    'frozen_us': 1234, 'pivot_us': 56789})


def test_the_result_of_a_full_image(tmp_path):
    script = {('POST', IMAGES): [(202, operation(kind='image'))], ('GET', WAIT): [(200, FULL)],
              ('GET', f'/v1/operations/{UUID}'): [(200, FULL)]}
    with Pretender(tmp_path, script) as daemon:
        done = daemon.qsnap('image', 'web', 'x')
        assert done.returncode == 0
        assert json.loads(daemon.qsnap('image', 'web', 'x', '--json').stdout) == FULL
        shown = daemon.qsnap('show', UUID).stdout
    told, head, *rows = done.stdout.splitlines()
    assert told == 'Took a full image of guest web (stood still for 1.2 ms, and at the end for 56.8 ms).'
    assert re.split('  +', head) == ['DISK', 'IMAGE', 'SIZE', 'OVERLAY', 'START FROM']
    assert [re.split('  +', row) for row in rows] == [
        ['a', 'image-a', '5 B', 'folded back', '/d/a'],
        ['b', 'image-b', '3.0 MiB', 'kept: the guest writes faster', '/d/b']]
    for line in ('kind: image', 'pivot_us: 56789 (56.8 ms)', 'size: 3145728 (3.0 MiB)', 'folded: true',
                 'kept: the guest writes faster'):
        assert re.search(rf'^ *{re.escape(line)}$', shown, re.M), line


def test_a_full_image_that_failed(tmp_path):
    """It is said where the guest is left: no overlay may be forgotten."""
    failed = {**FULL, 'state': 'failed', 'error': FAILED['error']}
    script = {('POST', IMAGES): [(202, operation(kind='image'))], ('GET', WAIT): [(200, failed)]}
    with Pretender(tmp_path, script) as daemon:
        done = daemon.qsnap('image', 'web', 'x')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.endswith(f'qsnap: operation {UUID} failed: the store is full\n       Delete images.\n'
                                '       Disk b keeps its overlay: the guest writes faster\n')


def test_what_a_snapshot_says_of_older_points(tmp_path):
    taken = operation('succeeded', result={'point': UUID, 'quiesced': 'no', 'may_be_folded': ['before', 1, 'b\x1b']})
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, taken)]}) as daemon:
        told, foldable, how = daemon.qsnap('snapshot', 'web').stdout.splitlines()
    assert told == f'Took point {UUID} of guest web (quiesced: no).'
    assert foldable == 'To keep the chains short, these points may be folded away now: before, b\\x1b.'
    assert '--keep' in how


@pytest.mark.parametrize('result', [{}, {'disks': None, 'images': 1}, {'disks': [1, None, {}], 'images': ['x', {}]},
                                    {'disks': [{'disk': 1, 'folded': 'yes', 'kept': []}], 'frozen_us': 'x', 'pivot_us': -1}])
def test_results_of_another_form(tmp_path, result):
    for state, end in ('succeeded', 0), ('failed', 1):
        with Pretender(tmp_path, {('POST', IMAGES): [(202, operation(state, kind='image', result=result))]}) as daemon:
            done = daemon.qsnap('image', 'web', 'x')
        assert done.returncode == end
        assert 'Sanitizer' not in done.stderr and 'CRITICAL' not in done.stderr and 'runtime error' not in done.stderr
        daemon.socket.unlink()


def test_all_that_an_attach_can_ask_for(tmp_path):
    with Pretender(tmp_path, {('POST', '/v1/guests'): [(201, {'id': 'web'})]}) as daemon:
        daemon.qsnap('attach', 'qmp', '--agent', 'qga', '--id', 'web', '--uuid', UUID, '--allow-format-change', '--overlay-folder',
                     '/o', '--image-ref', 'x', '--image-ref', 'b=y', cwd=tmp_path)
        daemon.qsnap('attach', '127.0.0.1:4444')
        assert [body for _, _, body, _ in daemon.requests] == [
            {'monitor': str(tmp_path / 'qmp'), 'agent': str(tmp_path / 'qga'), 'id': 'web', 'uuid': UUID,
             'allow_format_change': True, 'overlay_folder': '/o', 'image_refs': {'*': 'x', 'b': 'y'}},
            {'monitor': '127.0.0.1:4444'}]


@pytest.mark.parametrize('status, end', [(400, 2), (401, 7), (403, 7), (404, 4), (405, 2), (409, 5), (413, 2), (500, 1), (502, 1),
                                         (503, 6), (504, 6), (507, 1)])
def test_exit_statuses(tmp_path, status, end):
    error = {'error': {'code': 'x', 'status': status, 'message': 'what is wrong', 'hint': 'what to do'}}
    with Pretender(tmp_path, {('GET', '/v1/guests'): [(status, error)]}) as daemon:
        done = daemon.qsnap('guests')
    assert done.returncode == end
    assert done.stderr == 'qsnap: what is wrong\n       what to do\n'


@pytest.mark.parametrize('answer', [b'', b'no json', b'[]', b'null', b'{"guests": 1}', b'{"guests": [1, null, "x", {}]}', b'{}'])
def test_answers_of_another_form(tmp_path, answer):
    with Pretender(tmp_path, {('GET', '/v1/guests'): [(200, answer)]}) as daemon:
        done = daemon.qsnap('guests')
    assert done.returncode in (0, 1)
    assert 'Sanitizer' not in done.stderr and 'CRITICAL' not in done.stderr and 'Warning' not in done.stderr


def test_failed_operation(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation())], ('GET', WAIT): [(200, FAILED)]}) as daemon:
        done = daemon.qsnap('snapshot', 'web')
        assert done.returncode == 1
        assert 'the store is full\n       Delete images.\n' in done.stderr
        assert done.stdout == ''
        shown = daemon.qsnap('snapshot', 'web', '--json')
        assert shown.returncode == 1
        assert json.loads(shown.stdout) == FAILED


def test_a_point_that_outlives_its_upload(tmp_path):
    failed = {**FAILED, 'result': {'point': UUID}}
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation())], ('GET', WAIT): [(200, failed)]}) as daemon:
        done = daemon.qsnap('snapshot', 'web')
    assert done.returncode == 1
    assert f'qsnap delete web {UUID} deletes it.' in done.stderr.splitlines()[-1]


def test_cancelled_operation(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation())], ('GET', WAIT): [(200, operation('cancelled'))]}) as daemon:
        done = daemon.qsnap('snapshot', 'web')
    assert done.returncode == 1
    assert 'cancelled' in done.stderr


def test_the_daemon_goes_away(tmp_path):
    with Pretender(tmp_path, {('POST', SNAPSHOTS): [(202, operation())]}) as daemon:
        daemon.server.handle_error = lambda *_: None            # the script has nothing for it: it hangs up
        done = daemon.qsnap('snapshot', 'web')
    assert done.returncode == 3
    assert UUID in done.stderr and 'taken up again' in done.stderr


def test_control_characters(tmp_path):
    nasty = 'a\x1b[31m\x07\n\r\x9b2J‮evil'
    guests = {'guests': [{'id': nasty, 'name': '名前 ok', 'state': 'attached', 'error': {'message': nasty}},
                         {'id': 'b', 'name': 'e\u0301t\u00e9', 'state': 'gone'}]}
    disks = {'disks': [{'name': nasty, 'skipped': nasty, 'path': nasty, 'layers': [{'path': nasty, 'format': nasty}]}]}
    image = {'id': UUID, 'name': nasty, nasty: nasty}
    script = {('GET', '/v1/guests'): [(200, guests)], ('GET', '/v1/guests/x/disks'): [(200, disks)],
              ('GET', f'/v1/operations/{UUID}'): [(404, {'error': {'message': nasty}})],
              ('GET', f'/v1/images/{UUID}'): [(200, image)], ('GET', '/v1/images'): [(500, {'error': {'message': nasty}})]}
    with Pretender(tmp_path, script) as daemon:
        outputs = [daemon.qsnap(*words) for words in (['guests'], ['disks', 'x'], ['show', UUID], ['images'])]
    for done in outputs:
        text = done.stdout + done.stderr
        assert '\\x1b' in text and 'evil' in text
        assert not re.search(r'[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]', text)
    lines = outputs[0].stdout.splitlines()
    assert len(lines) == 3
    # Two columns for each of 名 and 前, none for the combining accent.
    column = lines[0].index('STATE')
    assert lines[1].index('attached') == column - 2
    assert lines[2].index('gone') == column + 1


def test_sizes(tmp_path):
    sizes = [0, 1023, 1024, 1536, 1024 ** 2 - 1, 10 * 1024 ** 3, 5 * 1024 ** 5, None]
    images = {'images': [{'id': str(number), 'size': size} for number, size in enumerate(sizes)]}
    with Pretender(tmp_path, {('GET', '/v1/images'): [(200, images)]}) as daemon:
        lines = daemon.qsnap('images').stdout.splitlines()[1:]
    assert [re.split('  +', line)[4] for line in lines] == [
        '0 B', '1023 B', '1.0 KiB', '1.5 KiB', '1.0 MiB', '10.0 GiB', '5.0 PiB', '-']


def test_long_chains(tmp_path):
    layers = [{'path': f'/d/disk.{number}', 'format': 'qcow2', 'allocated': 1, 'virtual_size': MIB} for number in (2, 1, 0)]
    with Pretender(tmp_path, {('GET', '/v1/guests/x/disks'): [(200, {'disks': [{'name': 'd', 'layers': layers}]})]}) as daemon:
        lines = daemon.qsnap('disks', 'x').stdout.splitlines()
    assert [line.split('qcow2')[0].rstrip() for line in lines] == ['d', '  ● /d/disk.2', '  └─ /d/disk.1', '     └─ /d/disk.0']
