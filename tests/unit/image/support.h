/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <image/stores.h>
#include <pattern.h>

/* A source whose bytes are a pattern. */
#define TYPE_PATTERN_SOURCE (pattern_source_get_type ())
G_DECLARE_FINAL_TYPE (PatternSource, pattern_source, TEST, PATTERN_SOURCE, GObject)

struct _PatternSource
{
  GObject  parent_instance;
  Pattern  pattern;
  gint64   allocated;           /* -1: the length */
  void   (*on_read) (PatternSource *self);      /* (nullable): in the transfer's thread */
  gpointer data;
};

PatternSource *pattern_source_new (gint64 length);

/* An ImageInfo to create. */
ImageInfo     *make_info          (const char *id, const char *format);

/* A callback that keeps the result for await_result(), in a GAsyncResult *. */
void           keep_result        (GObject *source, GAsyncResult *result, gpointer user_data);
GAsyncResult  *await_result       (GAsyncResult **result);

/* The verbs, waited for. */
gboolean       store_create       (ImageStore *store, const ImageInfo *info, GError **error);
ImageInfo     *store_upload       (ImageStore *store, const char *id, gpointer source,
                                   GCancellable *cancellable, GError **error);
ImageInfo     *store_get          (ImageStore *store, const char *id, GError **error);
gboolean       store_download     (ImageStore *store, const ImageInfo *info, int fd,
                                   GCancellable *cancellable, GError **error);
GPtrArray     *store_list         (ImageStore *store, GError **error);
gboolean       store_remove       (ImageStore *store, const char *id, GError **error);

/* A folder of the test's own, and away with it and the files in it. */
char          *make_folder        (void);
void           drop_folder        (const char *path);
