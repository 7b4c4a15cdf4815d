/* SPDX-License-Identifier: Apache-2.0 */

/* Uploads a file as the daemon does, into each of the images named, all at the same time; or tells
 * how fast the hashes are that it needs for that. Run by upload.py. */

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glance/images.h>
#include <glance/pipe.h>

#define HASHED_SIZE (1024 * 1024)
#define HASHED      512         /* times */

typedef struct
{
  int           fd;
  gint64        position;
  gint64        length;
  GlanceImages *images;         /* (nullable) */
  const char   *id;
} Transfer;

static gssize
transfer_read (gpointer   data,
               void      *buffer,
               gsize      size,
               GError   **error)
{
  Transfer *self = data;
  gssize got = pread (self->fd, buffer, size, self->position);

  if (got < 0)
    {
      g_set_error (error, G_FILE_ERROR, (int) g_file_error_from_errno (errno), "cannot read: %s",
                   g_strerror (errno));
      return -1;
    }
  self->position += got;

  return got;
}

static gboolean
transfer_rewind (gpointer   data,
                 GError   **error)
{
  Transfer *self = data;

  self->position = 0;

  return TRUE;
}

static GlanceBody
body_of (Transfer *self)
{
  return (GlanceBody) { .length = self->length, .read = transfer_read, .rewind = transfer_rewind,
                        .data = self };
}

static void
must (gboolean      success,
      const GError *error)
{
  if (!success)
    {
      g_printerr ("bench-upload: %s\n", error != NULL ? error->message : "failed");
      exit (EXIT_FAILURE);
    }
}

static gpointer
run_transfer (gpointer data)
{
  Transfer *self = data;
  const GlanceBody body = body_of (self);
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImage) image = glance_images_upload (self->images, self->id, &body, NULL, NULL,
                                                        NULL, &error);

  must (image != NULL, error);

  return NULL;
}

static Transfer
open_file (const char *path)
{
  Transfer self = { .fd = open (path, O_RDONLY | O_CLOEXEC) };
  struct stat status;

  if (self.fd < 0 || fstat (self.fd, &status) < 0)
    {
      g_printerr ("bench-upload: %s: %s\n", path, g_strerror (errno));
      exit (EXIT_FAILURE);
    }
  self.length = status.st_size;

  return self;
}

static void
upload (const char  *url,
        const char  *path,
        char       **ids)
{
  const GlanceSettings settings = { .url = url };
  guint n = g_strv_length (ids);
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImages) images = glance_images_new (&settings, NULL, &error);
  g_autofree Transfer *transfers = g_new0 (Transfer, n);
  g_autofree GThread **threads = g_new0 (GThread *, n);

  must (images != NULL, error);

  for (guint i = 0; i < n; i++)
    {
      transfers[i] = open_file (path);
      transfers[i].images = images;
      transfers[i].id = ids[i];
      threads[i] = g_thread_new ("transfer", run_transfer, &transfers[i]);
    }
  for (guint i = 0; i < n; i++)
    {
      g_thread_join (threads[i]);
      close (transfers[i].fd);
    }
}

static void
print_rate (const char *name,
            gint64      bytes,
            gint64      begun)
{
  g_print ("%s\t%.0f\n", name, (double) bytes / (double) (g_get_monotonic_time () - begun));
}

static void
hash_with_glib (const char    *name,
                GChecksumType  type,
                const guint8  *data)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (type);
  gint64 begun = g_get_monotonic_time ();

  for (guint i = 0; i < HASHED; i++)
    g_checksum_update (checksum, data, HASHED_SIZE);
  print_rate (name, (gint64) HASHED * HASHED_SIZE, begun);
}

static void
hash_with_crypto (const char   *name,
                  const EVP_MD *type,
                  const guint8 *data)
{
  EVP_MD_CTX *context = EVP_MD_CTX_new ();
  gint64 begun = g_get_monotonic_time ();

  must (context != NULL && EVP_DigestInit_ex (context, type, NULL) == 1, NULL);
  for (guint i = 0; i < HASHED; i++)
    must (EVP_DigestUpdate (context, data, HASHED_SIZE) == 1, NULL);
  print_rate (name, (gint64) HASHED * HASHED_SIZE, begun);
  EVP_MD_CTX_free (context);
}

/* In MB/s, of 10^6 bytes. */
static void
print_hashes (const char *path)
{
  g_autofree guint8 *data = g_malloc0 (HASHED_SIZE);
  Transfer transfer = open_file (path);
  const GlanceBody body = body_of (&transfer);
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autoptr (GlancePipe) pipe = glance_pipe_new (&body, digest, NULL);
  g_autoptr (GError) error = NULL;
  gint64 begun;

  hash_with_glib ("md5, GLib", G_CHECKSUM_MD5, data);
  hash_with_glib ("sha512, GLib", G_CHECKSUM_SHA512, data);
  hash_with_crypto ("md5, libcrypto", EVP_md5 (), data);
  hash_with_crypto ("sha512, libcrypto", EVP_sha512 (), data);

  begun = g_get_monotonic_time ();
  for (guint i = 0; i < HASHED; i++)
    glance_digest_update (digest, data, HASHED_SIZE);
  print_rate ("both, one thread", (gint64) HASHED * HASHED_SIZE, begun);

  begun = g_get_monotonic_time ();
  must (glance_pipe_rewind (pipe, &error) && glance_pipe_finish (pipe, &error), error);
  print_rate ("the pipe, read and hashed, not sent", transfer.length, begun);

  close (transfer.fd);
}

int
main (int    argc,
      char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "--hashes"))
    {
      print_hashes (argv[2]);
    }
  else if (argc > 3)
    {
      upload (argv[1], argv[2], argv + 3);
    }
  else
    {
      g_printerr ("usage: bench-upload URL FILE ID...\n       bench-upload --hashes FILE\n");
      return EXIT_FAILURE;
    }

  return EXIT_SUCCESS;
}
