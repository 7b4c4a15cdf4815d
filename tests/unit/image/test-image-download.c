/* SPDX-License-Identifier: Apache-2.0 */

/* What comes back from a store: all bytes of the image, and no others. */

#include <core/error.h>
#include <fake-glance.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder-fixture.h"

#define ID     FOLDER_ID
#define LENGTH FOLDER_LENGTH

typedef struct
{
  FolderFixture  folder;
  FakeGlance    *fake;          /* (nullable): for the store behind a service */
  ImageStore    *store;
  ImageInfo     *info;          /* of an image that is there */
  char          *path;
  int            fd;            /* of the file that it goes to */
} Fixture;

static void
upload (Fixture *self)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (ImageInfo) info = make_info (ID, "qcow2");
  g_autoptr (GError) error = NULL;

  g_assert_true (store_create (self->store, info, &error));
  self->info = store_upload (self->store, ID, source, NULL, &error);
  g_assert_no_error (error);
}

static void
setup (Fixture       *self,
       gconstpointer  data)
{
  folder_setup (&self->folder, NULL);
  self->store = g_object_ref (self->folder.store);
  if (data != NULL)
    {
      GlanceStoreSettings settings = { .timeout_s = 2, .transfers = 1 };

      g_object_unref (self->store);
      self->fake = fake_glance_new ();
      settings.url = fake_glance_get_url (self->fake);
      self->store = glance_store_new (&settings, NULL);
    }
  upload (self);
  self->path = g_build_filename (g_get_tmp_dir (), "download-XXXXXX", NULL);
  self->fd = g_mkstemp (self->path);
  g_assert_cmpint (self->fd, >=, 0);
}

static void
teardown (Fixture       *self,
          gconstpointer  data)
{
  close (self->fd);
  unlink (self->path);
  g_free (self->path);
  image_info_free (self->info);
  g_clear_object (&self->store);
  g_clear_pointer (&self->fake, fake_glance_free);
  folder_teardown (&self->folder, NULL);
}

static void
assert_whole (Fixture *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *contents = NULL;
  g_autofree char *sum = NULL;
  gsize size;

  g_assert_true (store_download (self->store, self->info, self->fd, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (self->path, &contents, &size, NULL));
  g_assert_cmpuint (size, ==, LENGTH);
  sum = g_compute_checksum_for_data (G_CHECKSUM_SHA512, (const guchar *) contents, size);
  g_assert_cmpstr (sum, ==, self->info->sha512);
}

static void
assert_fails (Fixture    *self,
              AgentError  code,
              const char *word)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (store_download (self->store, self->info, self->fd, NULL, &error));
  g_assert_error (error, AGENT_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, word));
}

static void
test_whole (Fixture       *self,
            gconstpointer  data)
{
  assert_whole (self);
  assert_whole (self);
}

static void
test_another_by_now (Fixture       *self,
                     gconstpointer  data)
{
  self->info->size--;
  assert_fails (self, AGENT_ERROR_CONFLICT, "not any more");
  self->info->size++;
  self->info->sha512[0] ^= 1;
  assert_fails (self, AGENT_ERROR_CONFLICT, "not any more");
}

static void
test_not_there (Fixture       *self,
                gconstpointer  data)
{
  g_assert_true (store_remove (self->store, ID, NULL));
  assert_fails (self, AGENT_ERROR_NOT_FOUND, ID);
}

static void
test_without_bytes (Fixture       *self,
                    gconstpointer  data)
{
  g_clear_pointer (&self->info->status, g_free);
  self->info->status = g_strdup ("queued");
  assert_fails (self, AGENT_ERROR_CONFLICT, "queued");
  g_clear_pointer (&self->info->status, g_free);
  self->info->status = g_strdup ("active");
  g_clear_pointer (&self->info->md5, g_free);
  g_clear_pointer (&self->info->sha512, g_free);
  assert_fails (self, AGENT_ERROR_CONFLICT, "hash");
}

static void
test_cancelled (Fixture       *self,
                gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_false (store_download (self->store, self->info, self->fd, cancellable, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
}

/* --- a folder --- */

static void
test_changed_file (Fixture       *self,
                   gconstpointer  data)
{
  g_autofree char *file = folder_file (&self->folder, ID, ".qcow2");
  int fd = open (file, O_RDWR | O_CLOEXEC);

  g_assert_cmpint (pwrite (fd, "x", 1, LENGTH / 2), ==, 1);
  assert_fails (self, AGENT_ERROR_STORE, "not those of its record");
  g_assert_cmpint (ftruncate (fd, LENGTH / 2), ==, 0);
  assert_fails (self, AGENT_ERROR_CONFLICT, "not any more");
  g_assert_cmpint (ftruncate (fd, 2 * LENGTH), ==, 0);
  assert_fails (self, AGENT_ERROR_CONFLICT, "not any more");
  close (fd);
}

/* --- a service --- */

/* What was cut off begins anew, over what had come. */
static void
test_cut (Fixture       *self,
          gconstpointer  data)
{
  fake_glance_spoil (self->fake, FAKE_DOWNLOAD_CUT, 1);
  assert_whole (self);
  fake_glance_spoil (self->fake, FAKE_DOWNLOAD_BUSY, 1);
  assert_whole (self);
}

static void
test_wrong_bytes (Fixture       *self,
                  gconstpointer  data)
{
  struct stat st;

  fake_glance_spoil (self->fake, FAKE_DOWNLOAD_OTHER, 1);
  assert_fails (self, AGENT_ERROR_STORE, "another hash");
  fake_glance_spoil (self->fake, FAKE_DOWNLOAD_SHORTER, 1);
  assert_fails (self, AGENT_ERROR_STORE, "missing");
  fake_glance_spoil (self->fake, FAKE_DOWNLOAD_LONGER, 1);
  assert_fails (self, AGENT_ERROR_STORE, "more bytes");
  g_assert_cmpint (fstat (self->fd, &st), ==, 0);
  g_assert_cmpint (st.st_size, <=, LENGTH);
  assert_whole (self);
}

static void
add (const char *path,
     void (*test) (Fixture *, gconstpointer))
{
  g_autofree char *folder = g_strconcat ("/image/download/folder/", path, NULL);
  g_autofree char *service = g_strconcat ("/image/download/service/", path, NULL);

  g_test_add (folder, Fixture, NULL, setup, test, teardown);
  g_test_add (service, Fixture, "", setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("whole", test_whole);
  add ("another-by-now", test_another_by_now);
  add ("not-there", test_not_there);
  add ("without-bytes", test_without_bytes);
  add ("cancelled", test_cancelled);
  g_test_add ("/image/download/folder/changed-file", Fixture, NULL, setup, test_changed_file,
              teardown);
  g_test_add ("/image/download/service/cut", Fixture, "", setup, test_cut, teardown);
  g_test_add ("/image/download/service/wrong-bytes", Fixture, "", setup, test_wrong_bytes,
              teardown);

  return g_test_run ();
}
