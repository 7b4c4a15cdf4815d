# SPDX-License-Identifier: Apache-2.0
"""qsnap on chains: what it asks for, and how it shows what comes of it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from support.pretender import UUID, WAIT, Pretender, operation

MIB = 1024 * 1024
WEB = '/v1/guests/web'
MOVE = {'disk': 'disk0', 'kind': 'commit', 'files': ['/d/disk.1', '/d/disk.2'], 'into': '/d/disk.1', 'stay': ['/d/disk.2'],
        'pivot': True, 'offline': False, 'estimate': 3 * MIB}
PLAN = {'moves': [MOVE], 'disks': [{'disk': 'disk0'}], 'bytes': 3 * MIB, 'points_lost': []}


@pytest.mark.parametrize('words, method, path, body', [
    (['commit', 'web', 'disk0'], 'POST', '/disks/disk0/commit', {}),
    (['commit', 'web', '/machine/a b', '--top', 'näme', '--base', 'disk.0', '--speed', '10M', '--deadline', '60', '--on-deadline',
      'throttle', '--on-error', 'enospc', '--discard-points'], 'POST', '/disks/%2Fmachine%2Fa%20b/commit',
     {'top': 'näme', 'base': 'disk.0', 'speed': 10 * MIB, 'deadline': 60, 'on_deadline': 'throttle', 'on_error': 'enospc',
      'discard_points': True}),
    (['stream', 'web', 'disk0', '--into', 'disk.2', '--base', '/d/disk.0', '--speed', 'max'], 'POST', '/disks/disk0/stream',
     {'into': 'disk.2', 'base': '/d/disk.0', 'speed': 0}),
    (['mirror', 'web', 'disk0', '/copy', '--format', 'raw', '--sync', 'top', '--end', 'keep', '--copy-mode', 'write-blocking',
      '--quiesce', 'try'], 'POST', '/disks/disk0/mirror',
     {'target': {'path': '/copy'}, 'format': 'raw', 'sync': 'top', 'end': 'keep', 'copy_mode': 'write-blocking', 'quiesce': 'try'}),
    (['mirror', 'web', 'disk0', 'nbd://host:10810/a%20b', '--end', 'pivot', '--allow-path-change', '--allow-format-change'],
     'POST', '/disks/disk0/mirror', {'target': {'nbd': {'host': 'host', 'port': '10810', 'export': 'a b'}}, 'end': 'pivot',
                                     'allow_path_change': True, 'allow_format_change': True}),
    (['mirror', 'web', 'disk0', 'nbd://[::1]/'], 'POST', '/disks/disk0/mirror', {'target': {'nbd': {'host': '::1', 'port': '10809'}}}),
    (['mirror', 'web', 'disk0', 'nbd+unix:///x?socket=/run/nbd'], 'POST', '/disks/disk0/mirror',
     {'target': {'nbd': {'path': '/run/nbd', 'export': 'x'}}}),
    (['shorten', 'web'], 'POST', '/shorten', {}),
    (['shorten', 'web', '--max-chain-length', '2', '--disks', 'a,b'], 'POST', '/shorten',
     {'max_chain_length': 2, 'disks': ['a', 'b']}),
    (['shorten', 'web', '--disks', 'all'], 'POST', '/shorten', {}),
    (['delete', 'web', 'vor/nach %'], 'DELETE', '/snapshots/vor%2Fnach%20%25', {}),
    (['delete', 'web', 'p', '--disk', 'a'], 'DELETE', '/snapshots/p', {'disks': ['a']}),
    (['revert', 'web', 'p'], 'POST', '/snapshots/p/revert', {}),
    (['revert', 'web', 'p', '--disk', 'a', '--no-reset', '--discard', '--name', 'n'], 'POST', '/snapshots/p/revert',
     {'disks': ['a'], 'reset': False, 'discard': True, 'name': 'n'}),
    (['restore', 'web', UUID, '--disk', 'a', '--no-reset', '--name', 'n'], 'POST', '/restore',
     {'image': UUID, 'disk': 'a', 'reset': False, 'name': 'n'}),
])
def test_what_is_asked_for(tmp_path, words, method, path, body):
    with Pretender(tmp_path, {(method, WEB + path): [(202, operation('succeeded', kind=words[0], request={}))]}) as daemon:
        done = daemon.qsnap(*words, '--idempotency-key', 'key')
        assert done.returncode == 0, done.stderr
        (_, _, sent, headers), = daemon.requests
    assert (sent or {}) == body
    assert headers['Idempotency-Key'] == 'key'


def test_a_file_of_this_folder(tmp_path):
    with Pretender(tmp_path, {('POST', WEB + '/disks/d/mirror'): [(202, operation('succeeded', kind='mirror', request={}))]}) as daemon:
        daemon.qsnap('mirror', 'web', 'd', 'copy', cwd=tmp_path)
        assert daemon.requests[0][2]['target'] == {'path': str(tmp_path / 'copy')}


@pytest.mark.parametrize('words', [['plan', 'delete', 'web', 'p'], ['delete', 'web', 'p', '--dry-run'], ['delete', '-n', 'web', 'p']])
def test_plans(tmp_path, words):
    with Pretender(tmp_path, {('DELETE', WEB + '/snapshots/p'): [(200, PLAN)]}) as daemon:
        done = daemon.qsnap(*words)
        assert done.returncode == 0, done.stderr
        assert daemon.requests[0][2] == {'dry_run': True}
        assert json.loads(daemon.qsnap(*words, '--json').stdout) == PLAN
    head, row, total, end = done.stdout.splitlines()
    assert re.split('  +', head) == ['DISK', 'MOVE', 'LAYERS', 'INTO', 'ESTIMATED', 'HOW']
    assert re.split('  +', row) == ['disk0', 'commit', 'disk.1, disk.2', '/d/disk.1', '3.0 MiB',
                                      'live, moves the disk, leaves disk.2']
    assert total == 'bytes: 3145728 (3.0 MiB)'
    assert end == 'This is a plan: nothing was done.'


def test_nothing_to_do(tmp_path):
    with Pretender(tmp_path, {('POST', WEB + '/shorten'): [(200, {'moves': [], 'bytes': 0})]}) as daemon:
        assert daemon.qsnap('plan', 'shorten', 'web').stdout.startswith('Nothing would have to be moved.\n')


@pytest.mark.parametrize('words, request_, told', [
    (['commit', 'web', 'disk0'], {'disk': 'disk0'}, 'Committed layers of disk disk0 of guest web.'),
    (['stream', 'web', 'disk0'], {'disk': 'disk0'}, 'Streamed layers of disk disk0 of guest web.'),
    (['mirror', 'web', 'disk0', '/x'], {'disk': 'disk0'}, 'Mirrored disk disk0 of guest web.'),
    (['delete', 'web', 'p\x1b'], {'point': 'p\x1b'}, 'Deleted point p\\x1b of guest web.'),
    (['revert', 'web', 'p', '--discard'], {'point': 'p'}, 'Reverted to point p: guest web.'),
    (['restore', 'web', 'i'], {'image': 'i'}, 'Restored image i: guest web.'),
    (['shorten', 'web'], {}, 'Shortened the chains of guest web.'),
])
def test_what_was_done_is_said(tmp_path, words, request_, told):
    """Nothing is asked before; everything is told after."""
    result = {'moves': [{**MOVE, 'moved': 2 * MIB}], 'kept': ['a reason'], 'empty': [],
              'disks': [{'disk': 'disk0'}]}
    over = operation('succeeded', kind=words[0], request=request_, result=result)
    asked = {(method, path): [(202, operation(kind=words[0]))] for method in ('POST', 'DELETE') for path in (
        WEB + '/disks/disk0/' + words[0], WEB + '/snapshots/p%1B', WEB + '/snapshots/p/revert', WEB + '/' + words[0])}
    with Pretender(tmp_path, {**asked, ('GET', WAIT): [(200, over)]}) as daemon:
        done = daemon.qsnap(*words)
    assert done.returncode == 0, done.stderr
    first, head, row, *rest = done.stdout.splitlines()
    assert first == told
    assert re.split('  +', head)[-3:] == ['ESTIMATED', 'MOVED', 'HOW']
    assert re.split('  +', row)[-3:] == ['3.0 MiB', '2.0 MiB', 'live, moves the disk, leaves disk.2']
    assert rest == ['kept:', '  - a reason']


def test_no_wait(tmp_path):
    with Pretender(tmp_path, {('POST', WEB + '/shorten'): [(202, operation(kind='shorten'))]}) as daemon:
        assert UUID in daemon.qsnap('shorten', 'web', '--no-wait').stdout


@pytest.mark.parametrize('result', [None, 1, {'moves': 1}, {'moves': [1, None, {}, {'files': [1, {}, None], 'into': 5, 'stay': 1}],
                                              'disks': [1]}])
def test_results_of_another_form(tmp_path, result):
    over = operation('succeeded', kind='commit', request=None, result=result)
    with Pretender(tmp_path, {('POST', WEB + '/disks/d/commit'): [(202, over)]}) as daemon:
        done = daemon.qsnap('commit', 'web', 'd')
    assert done.returncode == 0
    assert 'Sanitizer' not in done.stderr and 'CRITICAL' not in done.stderr and 'runtime error' not in done.stderr


@pytest.mark.parametrize('words, body, told', [
    (['pause', UUID], {'paused': True}, f'Operation {UUID} waits; qsnap resume {UUID} lets it go on.'),
    (['resume', UUID], {'paused': False}, f'Operation {UUID} goes on.'),
    (['speed', UUID, '50M'], {'speed': 50 * MIB}, f'Operation {UUID} moves 50.0 MiB a second at most.'),
    (['speed', UUID, 'max'], {'speed': 0}, f'Operation {UUID} goes as fast as it can.'),
])
def test_changing_an_operation(tmp_path, words, body, told):
    with Pretender(tmp_path, {('PATCH', f'/v1/operations/{UUID}'): [(200, operation(**body))]}) as daemon:
        done = daemon.qsnap(*words)
        assert (done.returncode, done.stdout) == (0, told + '\n')
        assert daemon.requests[0][2] == body
        assert json.loads(daemon.qsnap(*words, '--json').stdout)['id'] == UUID


# The tree

def layer(number, backing, **members):
    return {'path': f'/srv/web/disk.{number}', 'format': 'qcow2', 'virtual_size': 10 * 1024 * MIB, 'allocated': number * MIB,
            'backing': None if backing is None else f'/srv/web/disk.{backing}', 'in_chain': False, 'active': False, 'points': [],
            'users': [], 'children': [], **members}


TREE = {
    'guest': 'web',
    'disks': [{'disk': 'disk0', 'published': '/srv/web/disk', 'active': '/srv/web/disk.3', 'layers': [
        layer(3, 0, in_chain=True, active=True),
        layer(2, 1, points=['b']),
        layer(1, 0, points=['a'], children=['/srv/web/disk.2']),
        layer(0, None, in_chain=True, points=['o'], users=['guest vm2, disk vda']),
    ]}, {'disk': 'disk1', 'published': '/srv/web/data', 'active': '/srv/web/data', 'layers': []}],
    'points': [{'id': id, 'name': name, 'taken': f'2026-11-20T1{hour}:00:00.1Z', 'quiesced': False, 'pinned': id == 'o',
                'disks': [{'disk': 'disk0', 'image_id': UUID if id == 'o' else None}]}
               for id, name, hour in (('o', 'origin', 1), ('a', 'vorher ä', 2), ('b', 'before revert to origin', 3))],
    'images': [],
}
DRAWN = f'''disk0  starts from /srv/web/disk
  ● disk.3     3.0 MiB  active
  │ ○ disk.2   2.0 MiB
  │ │   ◆ before revert to origin  2026-11-20 13:00:00
  │ ○ disk.1   1.0 MiB
  │ │   ◆ vorher ä  2026-11-20 12:00:00
  ├─╯
  ○ disk.0         0 B  used by guest vm2, disk vda
      ◆ origin  2026-11-20 11:00:00  kept  image {UUID}

disk1  starts from /srv/web/data
'''


def test_the_tree(tmp_path):
    with Pretender(tmp_path, {('GET', WEB + '/tree'): [(200, TREE)]}) as daemon:
        assert daemon.qsnap('tree', 'web').stdout == DRAWN
        assert json.loads(daemon.qsnap('tree', 'web', '--json').stdout) == TREE
        plain = subprocess.run(daemon.command('tree', 'web'), capture_output=True, env={**os.environ, 'LC_ALL': 'C'}).stdout
    assert b'  * disk.3     3.0 MiB  active\n  | o disk.2   2.0 MiB\n' in plain
    # What a name is made of is shown as far as the terminal can.
    assert plain.replace(b'\\xc3\\xa4', b'?').isascii()


def test_the_tree_on_a_terminal(tmp_path):
    """No line is longer than the terminal is wide."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 40, 0, 0))
    with Pretender(tmp_path, {('GET', WEB + '/tree'): [(200, TREE)]}) as daemon:
        subprocess.run(daemon.command('tree', 'web'), stdout=follower, env={**os.environ, 'LC_ALL': 'C.UTF-8'}, timeout=60)
    os.close(follower)
    shown = b''
    try:
        while block := os.read(leader, 4096):
            shown += block
    except OSError:             # all has been read, and nobody is there any more
        pass
    os.close(leader)
    lines = shown.decode().replace('\r\n', '\n').splitlines()
    assert len(lines) == len(DRAWN.splitlines())
    assert max(map(len, lines)) == 40
    assert '  ○ disk.0         0 B  used by guest v…' in lines


@pytest.mark.parametrize('answer', [{}, {'disks': 1}, {'disks': [1, None, {}, {'layers': [{}]}], 'points': 'x'}])
def test_trees_of_another_form(tmp_path, answer):
    with Pretender(tmp_path, {('GET', WEB + '/tree'): [(200, answer)]}) as daemon:
        done = daemon.qsnap('tree', 'web')
    assert done.returncode == 0
    assert 'Sanitizer' not in done.stderr and 'CRITICAL' not in done.stderr


def test_adopting_a_tree(tmp_path):
    (tmp_path / 'tree.json').write_text(json.dumps(TREE))
    with Pretender(tmp_path, {('PUT', WEB + '/tree'): [(204, b'')]}) as daemon:
        done = daemon.qsnap('adopt', 'web', 'tree.json', '--folder', 'here', cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, 'Guest web has the points of tree.json now.\n'), done.stderr
        daemon.qsnap('adopt', 'web', tmp_path / 'tree.json')
        daemon.qsnap('adopt', 'web', tmp_path / 'tree.json', '--unchanged')
        assert [request[2] for request in daemon.requests] == [{**TREE, 'folder': str(tmp_path / 'here')}, TREE,
                                                               {**TREE, 'unchanged': True}]
        (tmp_path / 'tree.json').write_text('[]')
        done = daemon.qsnap('adopt', 'web', tmp_path / 'tree.json')
        assert done.returncode == 2 and 'this is no tree' in done.stderr
