# SPDX-License-Identifier: Apache-2.0
"""libglance and the store above it, with a real image service."""

import hashlib
import os
import pathlib
import signal
import subprocess
import time
import uuid

import pytest

from glance_tool import Failed, Tool
from support.glance import Glance
from support.programs import img
from support.tls import make_certificate, tls


def download(glance, id):
    status, content = glance.call('GET', f'/v2/images/{id}/file')
    assert status == 200
    return content


def record(glance, id):
    status, image = glance.call('GET', f'/v2/images/{id}')
    assert status == 200, image
    return image


def random_file(path, size):
    path.write_bytes(os.urandom(size))
    return path


def qemu_io(path, *commands):
    words = [word for command in commands for word in ('-c', command)]
    subprocess.run(['qemu-io', '-f', 'qcow2', *words, path], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize('version', ['0.10', '1.1'])
@pytest.mark.parametrize('base_format', ['qcow2', 'raw'])
def test_a_layer_comes_back_as_it_was(glance, tool, tmp_path, version, base_format):
    base, layer, restored = (tmp_path / name for name in ('disk.0', 'disk.1', 'restored'))
    img('create', '-q', '-f', base_format, base, '32M')
    img('create', '-q', '-f', 'qcow2', '-o', f'compat={version}', '-b', base.name,
        '-F', base_format, layer)
    qemu_io(layer, 'write -P 7 1M 3M', 'write -P 9 20M 64k')
    original = layer.read_bytes()

    id = tool.create('qcow2', 'qsnap_parent=' + str(uuid.uuid4()), '--hidden')
    image = tool.upload(id, layer, 'qcow2', '--blank')
    assert image['status'] == 'active' and image['size'] == len(original)

    content = download(glance, id)
    assert content == original[:8] + bytes(12) + original[20:]
    assert image['sha512'] == hashlib.sha512(content).hexdigest()
    assert image['md5'] == hashlib.md5(content).hexdigest()

    restored.write_bytes(content)
    img('rebase', '-u', '-b', base.name, '-F', base_format, '-f', 'qcow2', restored)
    assert restored.read_bytes() == original
    img('compare', layer, restored)


def test_the_record_is_what_was_sent(glance, tool):
    id = tool.create('qcow2', 'image_type=snapshot', 'qsnap_chain=a=b', '--name=vm-1 / ä',
                     '--hidden')
    expected = {
        'name': 'vm-1 / ä', 'disk_format': 'qcow2', 'container_format': 'bare', 'os_hidden': True,
        'visibility': 'private', 'image_type': 'snapshot', 'qsnap_chain': 'a=b', 'status': 'queued',
        'size': None,
    }
    found = record(glance, id)
    assert {key: found[key] for key in expected} == expected

    seen = tool.run('get', id)[0]
    assert (seen['name'], seen['hidden'], seen['size']) == ('vm-1 / ä', True, None)
    assert seen['status'] == 'queued'
    assert seen['properties']['qsnap_chain'] == 'a=b' and 'owner' not in seen['properties']


def test_creating_and_deleting_may_be_repeated(glance, tool):
    id = tool.create('raw', 'a=1')
    tool.create('raw', 'a=1', id=id)
    with pytest.raises(Failed) as failed:
        tool.create('raw', 'a=2', id=id)
    assert failed.value.word == 'conflict'

    tool.run('delete', id)
    tool.run('delete', id)
    with pytest.raises(Failed) as failed:       # the service keeps the id of what was deleted
        tool.create('raw', 'a=1', id=id)
    assert failed.value.word == 'conflict'
    with pytest.raises(Failed) as failed:
        tool.run('get', id)
    assert failed.value.word == 'not-found'


def test_uploading_may_be_repeated(glance, tool, tmp_path):
    id = tool.create('raw')
    data = random_file(tmp_path / 'data', 3_000_001)
    first = tool.upload(id, data, 'raw')
    assert tool.upload(id, data, 'raw') == first

    with pytest.raises(Failed) as failed:
        tool.upload(id, random_file(tmp_path / 'other', 3_000_001), 'raw')
    assert failed.value.word == 'store' and 'not what was sent' in failed.value.message
    assert download(glance, id) == data.read_bytes()


def test_nothing_to_upload(glance, tool, tmp_path):
    id = tool.create('raw')
    with pytest.raises(Failed) as failed:
        tool.upload(id, random_file(tmp_path / 'empty', 0), 'raw')
    assert failed.value.word == 'invalid'
    assert record(glance, id)['status'] == 'queued'


def test_an_image_that_somebody_deleted(glance, tool, tmp_path):
    id = tool.create('raw')
    glance.call('DELETE', f'/v2/images/{id}')
    with pytest.raises(Failed) as failed:
        tool.upload(id, random_file(tmp_path / 'data', 1000), 'raw')
    assert failed.value.word == 'not-found'


def test_a_protected_image(glance, tool):
    id = tool.create('raw')
    change = b'[{"op": "replace", "path": "/protected", "value": %s}]'
    kind = 'application/openstack-images-v2.1-json-patch'
    glance.call('PATCH', f'/v2/images/{id}', change % b'true', content_type=kind)
    with pytest.raises(Failed) as failed:
        tool.run('delete', id)
    assert failed.value.word == 'store' and 'protected' in failed.value.message
    glance.call('PATCH', f'/v2/images/{id}', change % b'false', content_type=kind)
    tool.run('delete', id)


def test_cancelled_on_its_way(glance, tool, tmp_path):
    id = tool.create('raw')
    data = tmp_path / 'data'
    data.touch()
    os.truncate(data, 1 << 30)
    begun = time.monotonic()
    assert tool.interrupt_upload(id, data).word == 'cancelled'
    assert time.monotonic() - begun < 5
    tool.run('delete', id)
    assert glance.call('GET', f'/v2/images/{id}')[0] == 404


def test_pages(tmp_path):
    with Glance('', 'api_limit_max = 7') as glance:
        tool = Tool(glance.url)
        ids = [tool.create('raw', *(['--hidden'] if n % 2 else [])) for n in range(20)]
        listed = tool.run('list')
        assert {image['id'] for image in listed} == set(ids)
        assert len(listed) == 20
        times = [image['created_at'] for image in listed]
        assert times == sorted(times, reverse=True)


def test_a_cap(tmp_path):
    with Glance('', 'image_size_cap = 1000000') as glance:
        tool = Tool(glance.url)
        for size in 1_500_000, 50_000_000:
            id = tool.create('raw')
            with pytest.raises(Failed) as failed:
                tool.upload(id, random_file(tmp_path / 'data', size), 'raw')
            assert failed.value.word == 'no-space', str(failed.value)
            assert '413: The incoming image is too large' in failed.value.message
            assert record(glance, id)['status'] == 'queued'


def test_tokens(tmp_path):
    token = tmp_path / 'token'
    data = random_file(tmp_path / 'data', 1_000_000)
    with Glance('fakeauth') as glance:
        tool = Tool(glance.url, f'--token-file={token}')
        with pytest.raises(Failed) as failed:
            tool.run('list')
        assert failed.value.word == 'unauthorized' and str(token) in failed.value.message

        token.write_text('alice:demo:member\n')
        id = tool.create('raw')
        assert record(glance, id)['owner'] == 'demo'

        glance.expire()
        with pytest.raises(Failed) as failed:
            tool.upload(id, data, 'raw')
        assert failed.value.word == 'unauthorized'
        with pytest.raises(Failed) as failed:
            Tool(glance.url).run('list')
        assert failed.value.word == 'unauthorized' and 'none is configured' in failed.value.message

        glance.renew()
        assert tool.upload(id, data, 'raw')['status'] == 'active'
        token.write_text('eve:elsewhere:member')
        with pytest.raises(Failed) as failed:
            tool.run('get', id)
        assert failed.value.word == 'not-found'


def test_a_service_that_died_in_the_middle(tmp_path):
    """It leaves the image "saving" for ever: given up after a while, deleted, its id used up."""
    data = tmp_path / 'data'
    data.touch()
    os.truncate(data, 1 << 30)
    with Glance('', folder=tmp_path / 'glance') as glance:
        tool = Tool(glance.url)
        id = tool.create('raw')
        upload = tool.start('upload', id, data, 'raw')
        upload.stderr.readline()
        glance.process.kill()
        glance.process.wait()
        upload.send_signal(signal.SIGINT)       # it would go on trying for a while
        _, errors = upload.communicate(timeout=10)
        assert Failed(errors).word == 'cancelled'

        glance.start()
        assert record(glance, id)['status'] == 'saving'
        with pytest.raises(Failed) as failed:
            Tool(glance.url).upload(id, data, 'raw')
        assert failed.value.word == 'conflict' and 'saving' in failed.value.message
        assert glance.call('GET', f'/v2/images/{id}')[0] == 404


@pytest.fixture
def secure(glance, tmp_path):
    """The service behind TLS: (its address, the certificate)."""
    certificate, key = make_certificate(tmp_path)
    with tls(glance.url, certificate, key) as url:
        yield url, certificate


def test_tls(glance, secure, tmp_path):
    url, certificate = secure
    with pytest.raises(Failed) as failed:
        Tool(url).run('list')
    assert failed.value.word == 'invalid' and 'certificate' in failed.value.message

    tool = Tool(url, f'--ca-file={certificate}')
    id = tool.create('raw')
    data = random_file(tmp_path / 'data', 20_000_000)
    tool.upload(id, data, 'raw')
    assert download(glance, id) == data.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize('store', ['glance', 'folder'])
def test_a_large_upload_needs_little_memory(glance, tool, tmp_path, store):
    data = tmp_path / 'data'
    data.touch()
    os.truncate(data, 3 << 30)
    if store == 'folder':
        tool = Tool(tmp_path / 'images', '--folder')
    id = tool.create('raw')
    process = tool.start('upload', id, data, 'raw')
    sizes = []
    for line in process.stderr:
        if line.startswith('progress'):
            status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
            sizes.append(int(status.split('VmRSS:')[1].split()[0]))
    assert process.wait() == 0
    assert tool.run('get', id)[0]['size'] == 3 << 30
    assert len(sizes) > 10
    assert max(sizes) - sizes[0] < 8 * 1024, sizes      # KiB
    if store == 'folder':
        assert (tmp_path / 'images' / f'{id}.raw').stat().st_blocks < 1000
    tool.run('delete', id)
