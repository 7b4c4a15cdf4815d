# SPDX-License-Identifier: Apache-2.0
"""Uploads that are cut off by a death, the daemon's or Glance's: who was told an image's id finds it."""

import os
import time

import pytest

from faults.gate import Fault, FaultyGate, reply
from support import create_qcow2, create_raw
from support.full import ImageScene
from support.glance import Glance
from support.glance_scene import TOKEN, GlanceScene
from support.machine import wait_until

BASE = 6 << 20
SLOW = Fault('PUT', 'slow', at=2 << 20)
FULL = reply(413, b'<html><body>no room</body></html>')
AWAY = reply(503, b'<html><body>in maintenance</body></html>')


class Site(GlanceScene, ImageScene):
    pass


@pytest.fixture(scope='module')
def glance():
    with Glance('fakeauth') as running:
        yield running


@pytest.fixture
def gate(glance):
    with FaultyGate(glance.url) as gate:
        yield gate
    for hidden in 'false', 'true':
        _, answer = glance.call('GET', f'/v2/images?os_hidden={hidden}&limit=1000', token=TOKEN)
        for image in answer['images']:
            glance.call('DELETE', f"/v2/images/{image['id']}", token=TOKEN)


@pytest.fixture
def site(glance, gate, tmp_path):
    """A guest whose disk has a base that is in no store yet: two images for its first point."""
    create_raw(tmp_path / 'base', content=os.urandom(BASE))
    disk = create_qcow2(tmp_path / 'x', '64M', backing='base', backing_format='raw')
    with Site(glance, tmp_path, disks=[disk], kind='blockdev',
              daemon={'glance.url': gate.url, 'glance.timeout': '4s'}) as site:
        yield site


def told(operation):
    return [image['id'] for image in operation['result']['images']]


def stop(site):
    begun = time.monotonic()
    site.daemon.stop()
    assert time.monotonic() - begun < 5, 'it waited for the transfer'


ENDS = {'stopped': stop, 'killed': lambda site: site.daemon.kill()}


def in_upload(site, gate, begin):
    """An operation that is in the middle of its first upload; as it is then."""
    gate.arm(SLOW)
    operation = begin()
    site.wait_step(operation, 'upload')
    return site.daemon.get(f"/v1/operations/{operation['id']}").json


@pytest.mark.parametrize('how', ['stopped', pytest.param('killed', marks=pytest.mark.slow)])
def test_layers_keep_their_ids(how, site, gate):
    before = site.vm.acked()
    ids = told(in_upload(site, gate, site.begin))
    assert len(ids) == 2
    ENDS[how](site)
    after = site.vm.acked()
    gate.arm()
    site.vm.wait_for_writes(20)
    site.daemon.start()
    operation = site.daemon.finished(site.daemon.get('/v1/operations').json['operations'][0])
    site.judge_point(operation, before, after)
    assert told(operation) == ids
    assert not [image for image in operation['result']['images'] if 'replaces' in image]
    assert gate.count('PUT') <= 3, 'what was whole was sent again'
    site.compare_restored(operation)
    site.compare_restored(site.backup())


@pytest.mark.parametrize('how', ['stopped', pytest.param('killed', marks=pytest.mark.slow)])
def test_full_images_keep_their_ids(how, site, gate):
    site.note()
    before = site.vm.acked()
    operation = in_upload(site, gate, site.begin_image)
    ids = told(operation)
    ENDS[how](site)
    after = site.vm.acked()
    gate.arm()
    site.daemon.start()
    operation = site.daemon.finished(operation)
    site.judge_full(operation, before, after)
    assert told(operation) == ids
    site.assert_as_before()


@pytest.mark.parametrize('dies_too', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_dead_image_is_made_anew(dies_too, site, gate, glance):
    """A Glance that dies leaves what it was taking dead for ever: the result tells the new id, and the
    images above name it."""
    before = site.vm.acked()
    ids = told(in_upload(site, gate, site.begin))
    wait_until(lambda: site.record(ids[0])['status'] == 'saving', 'Glance has some of it', interval=0.02)
    glance.kill()
    if dies_too:
        site.daemon.kill()
    for path in glance.store.iterdir():     # what a Glance that dies leaves behind is Glance's
        path.unlink()
    gate.arm()
    glance.start()
    if dies_too:
        site.daemon.start()
    operation = site.daemon.finished(site.daemon.get('/v1/operations').json['operations'][0])
    assert operation['state'] == 'succeeded', operation
    base, layer = operation['result']['images']
    assert base['replaces'] == ids[0] and base['id'] not in ids
    assert layer['parent'] == base['id']
    site.images |= set(told(operation))
    site.wait_deleted()
    site.judge_point(operation, before, site.vm.acked())
    site.compare_restored(operation)
    site.compare_restored(site.backup())


def test_what_was_left_goes_after_a_restart(site, gate):
    gate.arm(Fault('PUT', 'answer', FULL, times=0), Fault('DELETE', 'answer', AWAY, times=0))
    before = site.vm.acked()
    operation = site.daemon.finished(site.begin())
    assert operation['state'] == 'failed' and 'no room' in operation['error']['message'], operation
    left = operation['result']['left_images']
    assert len(left) == 2 and set(left) == set(site.all())
    site.judge_layers(operation, before, site.vm.acked())
    site.daemon.kill()
    site.daemon.start()
    wait_until(lambda: gate.count('DELETE') > 5, 'it tries again', timeout=30)
    assert set(site.all()) == set(left)
    gate.arm()
    site.wait_deleted(60)
    site.compare_restored(site.backup())
