# SPDX-License-Identifier: Apache-2.0
"""A Scene whose images go to a real Glance."""

import hashlib

from .machine import wait_until
from .scene import Scene

TOKEN = 'somebody:demo:member'


class GlanceScene(Scene):
    """Asks Glance itself where the folder's Scene looks at files."""

    def __init__(self, glance, folder, *arguments, daemon=None, **options):
        self.glance = glance
        token = folder / 'token'
        token.write_text(TOKEN + '\n')
        token.chmod(0o600)
        super().__init__(folder, *arguments, daemon={
            'store.kind': 'glance', 'glance.url': glance.url, 'glance.token-file': str(token),
            'glance.timeout': '5s', **(daemon or {})}, **options)

    def record(self, image_id):
        status, record = self.glance.call('GET', f'/v2/images/{image_id}', token=TOKEN)
        assert status == 200, record
        return record

    def all(self):
        """What Glance has, hidden or not."""
        found = []
        for hidden in 'false', 'true':
            status, answer = self.glance.call(
                'GET', f'/v2/images?os_hidden={hidden}&limit=1000', token=TOKEN)
            assert status == 200, answer
            found += answer['images']
        return {image['id']: image for image in found}

    def data(self, image_id):
        """The bytes, downloaded."""
        path = self.folder / 'downloads' / image_id
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            status, content = self.glance.call('GET', f'/v2/images/{image_id}/file', token=TOKEN)
            assert status == 200, content
            path.write_bytes(content)
            record = self.record(image_id)
            assert (record['status'], record['size']) == ('active', len(content))
            assert record['os_hash_algo'] == 'sha512'
            assert record['os_hash_value'] == hashlib.sha512(content).hexdigest()
            assert record['checksum'] == hashlib.md5(content).hexdigest()
            assert record['os_hidden'] == self.image(image_id)['hidden']
            assert record['container_format'] == 'bare'
        return path

    def wait_deleted(self, timeout=30):
        """Waits until Glance has no image any more but those that it is to have."""
        wait_until(lambda: set(self.all()) == self.images, 'what has failed is deleted', timeout)
        wait_until(lambda: {path.name for path in self.glance.store.iterdir()} == self.images,
                   'Glance has cleaned up', timeout)

    def judge_store(self):
        images = self.all()
        assert set(images) == self.images, 'stray or missing images'
        assert {image['status'] for image in images.values()} <= {'active'}
        kept = {path.name for path in self.glance.store.iterdir()}
        assert kept == self.images, 'stray or missing files of Glance'
