/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fake-private.h"

static FakeDownload
take_spoiler (FakeGlance *fake)
{
  FakeDownload how = FAKE_DOWNLOAD_WHOLE;

  g_mutex_lock (&fake->lock);
  if (fake->downloads > 0)
    {
      fake->downloads--;
      how = fake->download;
    }
  g_mutex_unlock (&fake->lock);

  return how;
}

static gboolean
send (FakeRequest *self,
      const void  *data,
      gsize        size)
{
  return g_output_stream_write_all (self->output, data, size, NULL, self->fake->stop, NULL);
}

gboolean
fake_request_download (FakeRequest *self,
                       FakeImage   *image)
{
  FakeDownload how = take_spoiler (self->fake);
  g_autoptr (GBytes) bytes = NULL;
  g_autofree guint8 *copy = NULL;
  g_autofree char *head = NULL;
  gsize size, told;

  g_mutex_lock (&self->fake->lock);
  bytes = image->bytes != NULL ? g_bytes_ref (image->bytes) : g_bytes_new (NULL, 0);
  g_mutex_unlock (&self->fake->lock);

  size = told = g_bytes_get_size (bytes);
  copy = g_malloc0 (size + 1);
  memcpy (copy, g_bytes_get_data (bytes, NULL), size);
  if (how == FAKE_DOWNLOAD_OTHER)
    copy[size / 2] ^= 1;
  else if (how == FAKE_DOWNLOAD_LONGER)
    size = told = size + 1;
  else if (how == FAKE_DOWNLOAD_SHORTER)
    size = told = size - 1;
  else if (how == FAKE_DOWNLOAD_CUT)
    size = size / 2;

  if (how == FAKE_DOWNLOAD_BUSY)
    head = g_strdup ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
  else
    head = g_strdup_printf ("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                            "Content-Length: %" G_GSIZE_FORMAT "\r\n\r\n", told);

  return send (self, head, strlen (head))
         && (how == FAKE_DOWNLOAD_BUSY || send (self, copy, size)) && how != FAKE_DOWNLOAD_CUT;
}
