# SPDX-License-Identifier: Apache-2.0
"""What each resource does with good and bad requests."""

import os
import signal
import socket
import threading
import time

import pytest

from support.daemon import Daemon
from support.machine import wait_until

UUID = '3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55'


@pytest.fixture
def guest(daemon, peer):
    yield daemon.attach(peer.qmp_path, id='web')
    daemon.delete('/v1/guests/web')


def open_connections(daemon):
    """Of clients, to its socket."""
    return sum(str(daemon.socket) in line and line.split()[5] == '03' for line in open('/proc/net/unix'))


def chains(shown):
    return [[layer['path'] for layer in disk['layers']] for disk in shown['disks']]


# Guests

@pytest.mark.parametrize('body, problem', [
    (None, '"monitor" is missing'),
    ({}, '"monitor" is missing'),
    ({'monitor': None}, '"monitor" is missing'),
    ({'monitor': 1}, '"monitor" must be a string'),
    ({'monitor': ['x']}, '"monitor" must be a string'),
    ({'monitor': '/x', 'agent': True}, '"agent" must be a string'),
    ({'monitor': '/x', 'allow_format_change': 'yes'}, 'must be true or false'),
    ({'monitor': '/x', 'image_refs': 'x'}, '"image_refs" must be an object'),
    ({'monitor': '/x', 'image_refs': {'a': 1}}, '"a" must be a string'),
    ({'monitor': '/x', 'moniter': '/x'}, 'no member "moniter"'),
])
def test_bad_guests(daemon, body, problem):
    answer = daemon.post('/v1/guests', body)
    assert answer.status == 400
    assert answer.error['code'] == 'invalid'
    assert problem in answer.error['message']


@pytest.mark.parametrize('body', [
    {'monitor': ''}, {'monitor': 'relative/path'}, {'monitor': '/x', 'uuid': 'no-uuid'},
    {'monitor': '/' + 'x' * 5000},
])
def test_guests_that_make_no_sense(daemon, body):
    answer = daemon.post('/v1/guests', body)
    assert answer.status == 400
    assert daemon.get('/v1/guests').json == {'guests': []}


def test_nobody_at_the_monitor(daemon, tmp_path):
    answer = daemon.post('/v1/guests', {'monitor': str(tmp_path / 'nothing')})
    assert answer.status in (404, 503)
    assert 'nothing' in answer.error['message']
    assert daemon.get('/v1/guests').json == {'guests': []}


def test_a_stranger_at_the_monitor(daemon, tmp_path):
    """Something that listens and says what no QEMU says."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / 'stranger'))
        listener.listen()

        def speak():
            plug, _ = listener.accept()
            plug.sendall(b'SSH-2.0-OpenSSH\r\n')
            plug.recv(1)
            plug.close()
        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        answer = daemon.post('/v1/guests', {'monitor': str(tmp_path / 'stranger')})
    assert answer.status in (502, 503)
    assert 'SSH' in answer.error['message']
    assert daemon.get('/v1/guests').json == {'guests': []}


def test_attach_and_detach(daemon, peer):
    answer = daemon.post('/v1/guests', {'monitor': str(peer.qmp_path), 'id': 'web-1.x'})
    assert answer.status == 201
    path = answer.headers['Location']
    assert path == '/v1/guests/web-1.x'
    assert daemon.get(path).json == daemon.get('/v1/guests/we%62%2D1.x').json == answer.json
    assert daemon.delete(path).status == 204
    assert daemon.get(path).status == 404


def test_one_guest_twice(daemon, guest, peer):
    answer = daemon.post('/v1/guests', {'monitor': str(peer.qmp_path)})
    assert answer.status == 409
    assert answer.error['code'] == 'conflict'
    assert [each['id'] for each in daemon.get('/v1/guests').json['guests']] == ['web']


def test_no_such_guest(daemon):
    for method, path in (('GET', ''), ('DELETE', ''), ('GET', '/disks'), ('GET', '/snapshots'), ('POST', '/snapshots'),
                         ('POST', '/images'), ('GET', '/tree'), ('PUT', '/tree'), ('POST', '/shorten'), ('POST', '/restore'),
                         ('POST', '/disks/d/commit'), ('POST', '/disks/d/stream'), ('POST', '/disks/d/mirror'),
                         ('DELETE', '/snapshots/p'), ('POST', '/snapshots/p/revert')):
        answer = daemon.request(method, '/v1/guests/nobody' + path)
        assert answer.status == 404, path
        assert 'nobody' in answer.error['message']


def test_guests_of_the_configuration_stay(tmp_path, peer):
    (tmp_path / 'conf').write_text(f'[guest fixed]\nmonitor={peer.qmp_path}\n')
    with Daemon(tmp_path / 'd', args=['--config', tmp_path / 'conf']) as daemon:
        wait_until(lambda: daemon.get('/v1/guests/fixed').json['state'] == 'attached', 'the guest is attached')
        assert daemon.delete('/v1/guests/fixed').status == 409
        assert daemon.get('/v1/guests/fixed').json['state'] == 'attached'


def test_guests_are_remembered(tmp_path, peer):
    daemon = Daemon(tmp_path / 'd')
    daemon.start()
    daemon.attach(peer.qmp_path, id='kept')
    daemon.kill()
    with daemon:
        wait_until(lambda: daemon.get('/v1/guests/kept').json['state'] == 'attached', 'the guest is attached')


# Snapshots

@pytest.mark.parametrize('body', [
    {'name': 1}, {'name': ''}, {'disks': 'node0'}, {'disks': []}, {'disks': [1]}, {'quiesce': 'maybe'}, {'image': True},
    {'image': 'whole'}, {'format': 'raw'}, {'format': 'vmdk', 'image': 'full'}, {'deadline': 5}, {'parents': 'x'},
    {'metadata': {'a': 1}}, {'metadata': []}, {'allow_format_change': 1}, {'nonsense': 1}, {'overlay_folder': 'relative'},
    {'image_ref': 'x'},
])
def test_bad_snapshots(daemon, guest, body):
    answer = daemon.post('/v1/guests/web/snapshots', body)
    assert answer.status == 400
    assert answer.error['code'] == 'invalid'
    assert next(iter(body)) in answer.error['message']
    assert daemon.get('/v1/guests/web/snapshots').json == {'snapshots': []}


@pytest.mark.parametrize('kind', ['snapshots', 'images'])
def test_a_disk_that_is_not_there(daemon, guest, kind):
    answer = daemon.post(f'/v1/guests/web/{kind}', {'disks': ['nowhere']})
    assert answer.status == 404
    assert 'nowhere' in answer.error['message']


@pytest.mark.parametrize('kind', ['snapshots', 'images'])
@pytest.mark.parametrize('key', ['', 'x' * 256])
def test_bad_keys(daemon, guest, kind, key):
    assert daemon.post(f'/v1/guests/web/{kind}', {}, headers={'Idempotency-Key': key}).status == 400


def test_repeated_requests(daemon, guest):
    def take(body, key):
        return daemon.post('/v1/guests/web/snapshots', body, headers={'Idempotency-Key': key})
    first = take({'image': 'none'}, 'a')
    assert first.status == 202
    again = take({'image': 'none'}, 'a')
    assert (again.status, again.json['id'], again.headers['Location']) == (202, first.json['id'], first.headers['Location'])
    assert daemon.finished(first.json)['state'] == 'succeeded'
    assert take({'image': 'none'}, 'a').json['id'] == first.json['id']
    assert take({'image': 'layer'}, 'a').status == 409
    assert len(daemon.get('/v1/guests/web/snapshots').json['snapshots']) == 1
    other = take({'image': 'none'}, 'b')
    assert other.status == 202 and other.json['id'] != first.json['id']
    assert daemon.finished(other.json)['state'] == 'succeeded'


def test_a_snapshot_without_a_body(daemon, guest):
    answer = daemon.post('/v1/guests/web/snapshots')
    assert answer.status == 202
    assert daemon.finished(answer.json)['state'] == 'succeeded'


# Full images

@pytest.mark.parametrize('body', [
    {'name': 1}, {'name': ''}, {'name': 'x' * 256}, {'disks': 'node0'}, {'disks': []}, {'disks': {}}, {'format': 'vmdk'},
    {'format': 1}, {'quiesce': 'maybe'}, {'metadata': {'a': 1}}, {'metadata': []}, {'allow_format_change': 1}, {'end_jobs': 'yes'},
    {'overlay_folder': 'relative'}, {'image_ref': 'x'}, {'image_ref': {'a': 1}}, {'deadline': 0}, {'deadline': -1},
    {'deadline': 86401}, {'deadline': 1.5}, {'deadline': '5'}, {'deadline': True}, {'on_deadline': 'wait'}, {'on_deadline': 5},
    {'image': 'full'}, {'parents': 'upload'}, {'nonsense': 1},
])
def test_bad_images(daemon, guest, body):
    paths = '/v1/guests/web/snapshots', '/v1/operations', '/v1/images'
    before = [daemon.get(path).json for path in paths]
    answer = daemon.post('/v1/guests/web/images', body)
    assert answer.status == 400
    assert answer.error['code'] == 'invalid'
    assert next(iter(body)) in answer.error['message']
    assert [daemon.get(path).json for path in paths] == before


def test_an_image_and_what_is_left(daemon, guest):
    """Disk and chain are as before, up to the name of the layer, and the image is an ordinary one."""
    (before,), = chains(daemon.get('/v1/guests/web/disks').json)
    answer = daemon.post('/v1/guests/web/images', {'name': 'whole', 'metadata': {'ticket': '4711'}})
    assert answer.status == 202
    assert answer.headers['Location'] == f'/v1/operations/{answer.json["id"]}'
    assert (answer.json['kind'], answer.json['guest']) == ('image', 'web')
    done = daemon.finished(answer.json)
    assert done['state'] == 'succeeded', done['error']
    assert [disk['folded'] for disk in done['result']['disks']] == [True]
    assert not any('kept' in disk for disk in done['result']['disks'])
    (after,), = chains(daemon.get('/v1/guests/web/disks').json)
    assert os.path.samefile(before, after)
    image, = done['result']['images']
    shown = daemon.get(f'/v1/images/{image["id"]}').json
    assert (shown['name'], shown['status'], shown['disk_format'], shown['hidden'], shown['size']) == (
        'whole', 'active', 'qcow2', False, image['size'])
    assert shown['properties']['ticket'] == '4711' and shown['properties']['image_type'] == 'snapshot'
    assert shown['md5'] and shown['sha512']
    assert daemon.delete(f'/v1/images/{image["id"]}').status == 204


def test_repeated_images(daemon, guest):
    def take(kind, body):
        return daemon.post(f'/v1/guests/web/{kind}', body, headers={'Idempotency-Key': 'image'})
    first = take('images', {'name': 'once'})
    assert first.status == 202
    again = take('images', {'name': 'once'})
    assert (again.status, again.json['id']) == (202, first.json['id'])
    assert daemon.finished(first.json)['state'] == 'succeeded'
    assert take('images', {'name': 'twice'}).status == 409
    # The same words are another request where they are said of a snapshot.
    assert take('snapshots', {'name': 'once'}).status == 409


def test_an_image_without_a_body(daemon, guest):
    answer = daemon.post('/v1/guests/web/images')
    assert answer.status == 202
    assert daemon.finished(answer.json)['state'] == 'succeeded'


def test_full_images_of_a_point(daemon, guest):
    """The guest goes on in its overlay: nothing is folded back."""
    before = chains(daemon.get('/v1/guests/web/disks').json)
    done = daemon.snapshot('web', image='full', format='raw', disks='all')
    disk, = done['result']['disks']
    after = chains(daemon.get('/v1/guests/web/disks').json)
    assert [len(chain) for chain in after] == [len(chain) + 1 for chain in before]
    assert after[0][0] == disk['overlay']
    shown = daemon.get(f'/v1/images/{disk["image_id"]}').json
    assert (shown['status'], shown['disk_format'], shown['hidden']) == ('active', 'raw', False)
    assert 'qsnapd_parent' not in shown['properties']


# Operations

@pytest.mark.parametrize('query', ['?state=', '?state=done', '?state=Running'])
def test_unknown_states(daemon, query):
    assert daemon.get('/v1/operations' + query).status == 400


def test_operations_are_filtered(daemon, guest):
    done = daemon.snapshot('web', image='none')
    for query, there in (('?guest=web', True), ('?guest=other', False), ('?state=succeeded', True), ('?state=failed', False),
                         ('?state=succeeded&guest=web', True), ('', True)):
        listed = [each['id'] for each in daemon.get('/v1/operations' + query).json['operations']]
        assert (done['id'] in listed) == there, query


@pytest.mark.parametrize('wait', ['', '-1', '301', '1.5', 'x', '99999999999999999999', '1s'])
def test_bad_waits(daemon, wait):
    answer = daemon.get(f'/v1/operations/{UUID}?wait={wait}')
    assert answer.status == 400
    assert 'wait' in answer.error['message']


def test_waiting_for_what_is_over(daemon, guest):
    done = daemon.snapshot('web', image='none')
    begin = time.monotonic()
    assert daemon.get(f'/v1/operations/{done["id"]}?wait=300').json == done
    assert time.monotonic() - begin < 10


def test_cancelling_what_is_over(daemon, guest):
    done = daemon.snapshot('web', image='none')
    answer = daemon.delete(f'/v1/operations/{done["id"]}')
    assert answer.status == 409
    assert daemon.get(f'/v1/operations/{done["id"]}').json['state'] == 'succeeded'


def test_others_are_served_meanwhile(daemon, peer):
    """While one request waits for a guest that does not answer."""
    daemon.attach(peer.qmp_path, id='slow')
    answers = []
    thread = threading.Thread(target=lambda: answers.append(daemon.get('/v1/guests/slow/disks')))
    os.kill(peer.pid, signal.SIGSTOP)
    try:
        thread.start()
        wait_until(lambda: open_connections(daemon) > 0, 'the request has come')
        for _ in range(10):
            assert daemon.get('/v1/health').status == 200
        assert not answers
    finally:
        os.kill(peer.pid, signal.SIGCONT)
    thread.join()
    assert answers[0].status == 200
    assert daemon.delete('/v1/guests/slow').status == 204


# Images

def test_no_images(daemon):
    answer = daemon.get(f'/v1/images/{UUID}')
    assert answer.status == 404
    assert UUID in answer.error['message']


def test_an_image_that_is_not_there_is_not_deleted(daemon):
    for query in ('', '?force=true'):
        answer = daemon.delete(f'/v1/images/{UUID}{query}')
        assert answer.status == 404
        assert UUID in answer.error['message']


def test_ids_of_images_are_no_paths(daemon):
    for name in '..%2F..%2Fstate%2Fjournal.sqlite', '%2Fetc%2Fpasswd', '..', '.', '%00':
        assert daemon.get(f'/v1/images/{name}').status in (400, 404)
        assert daemon.delete(f'/v1/images/{name}').status in (400, 404)
    assert (daemon.folder / 'state/journal.sqlite').exists()


@pytest.mark.parametrize('force', ['', '1', 'yes', 'TRUE'])
def test_bad_force(daemon, force):
    assert daemon.delete(f'/v1/images/{UUID}?force={force}').status == 400


def test_parents_are_kept(daemon, guest):
    """An image that a layer stands on is deleted by force only."""
    first, second = (daemon.snapshot('web')['result']['disks'][0]['image_id'] for _ in range(2))
    answer = daemon.delete(f'/v1/images/{first}')
    assert answer.status == 409
    assert daemon.get(f'/v1/images/{first}').status == 200
    assert daemon.delete(f'/v1/images/{first}?force=true').status == 204
    assert daemon.get(f'/v1/images/{first}').status == 404
    assert daemon.delete(f'/v1/images/{second}').status == 204


def test_stopping_with_somebody_waiting(tmp_path, peer):
    """Who waits for an answer does not keep the daemon from stopping, nor bring it down."""
    daemon = Daemon(tmp_path / 'd')
    daemon.start()
    daemon.attach(peer.qmp_path, id='web')
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / 'silent'))
        listener.listen()

        def ask(method, path, body=None):
            try:
                daemon.request(method, path, body)
            except OSError:
                pass
        os.kill(peer.pid, signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=ask, args=each) for each in (
                ('POST', '/v1/guests', {'monitor': str(tmp_path / 'silent')}), ('GET', '/v1/guests/web/disks'))]
            for thread in threads:
                thread.start()
            plug, _ = listener.accept()
            wait_until(lambda: open_connections(daemon) == 2, 'both have asked')
            daemon.stop(timeout=20)
        finally:
            os.kill(peer.pid, signal.SIGCONT)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        plug.close()


def test_stopping_with_somebody_waiting_for_an_operation(tmp_path, peer):
    """It goes on at the next start."""
    daemon = Daemon(tmp_path / 'd')
    daemon.start()
    daemon.attach(peer.qmp_path, id='web')
    begun = []

    def take():
        begun.append(daemon.post('/v1/guests/web/snapshots', {}).json['id'])
        try:
            while daemon.get(f'/v1/operations/{begun[0]}?wait=300').json['state'] == 'running':
                pass
        except OSError:
            pass
    thread = threading.Thread(target=take)
    thread.start()
    wait_until(lambda: begun, 'it has begun')
    daemon.stop()
    thread.join(20)
    assert not thread.is_alive()
    with daemon:
        assert daemon.finished(begun[0])['state'] in ('succeeded', 'failed')


def test_who_hangs_up_is_not_waited_for(daemon, tmp_path):
    """Attaching ends with the connection of who asked for it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / 'silent'))
        listener.listen()
        with socket.socket(socket.AF_UNIX) as plug:
            plug.connect(str(daemon.socket))
            body = b'{"monitor": "%s"}' % str(tmp_path / 'silent').encode()
            plug.sendall(b'POST /v1/guests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
                         b'Content-Length: %d\r\n\r\n%s' % (len(body), body))
            peer, _ = listener.accept()
        peer.settimeout(10)
        while peer.recv(4096):
            pass
        peer.close()
    assert daemon.get('/v1/guests').json == {'guests': []}
