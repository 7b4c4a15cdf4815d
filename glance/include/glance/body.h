/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The bytes of an upload: read once from front to back, and again from the front when it has to
 * start anew; by one thread at a time, which is not always the same. */
typedef struct
{
  gint64     length;            /* bytes; known before the first */
  /* The bytes read, 0 at the end, -1 on error. */
  gssize   (*read)   (gpointer data, void *buffer, gsize size, GError **error);
  gboolean (*rewind) (gpointer data, GError **error);
  gpointer   data;
} GlanceBody;

/* Where the bytes of a download go: written from front to back, and again from the front when it
 * has to start anew; all by the thread of the download. */
typedef struct
{
  gboolean (*write)  (gpointer data, const void *bytes, gsize size, GError **error);
  gboolean (*rewind) (gpointer data, GError **error);
  gpointer   data;
} GlanceSink;

/* Called in the thread of the transfer, once for each piece; from 0 again when it starts anew. */
typedef void (*GlanceProgress) (gint64 done, gint64 total, gpointer user_data);

G_END_DECLS
