/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* What can be said about a point, whatever is uploaded of it. */
typedef struct
{
  char    **disks;
  char     *disk_list;
  char     *quiesce;
  char     *format;
  char    **metadata;
  char    **image_refs;
  char     *overlay_folder;
  gboolean  allow_format_change;
  gboolean  end_jobs;
  gboolean  no_wait;
  char     *idempotency_key;
} PointOptions;

void          point_options_clear    (PointOptions *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PointOptions, point_options_clear)

/* For options_parse(): those of @self, with @more of the command's own behind them. */
GOptionEntry *point_options_entries  (PointOptions *self, const GOptionEntry *more);

/* The request that was asked for so far. CLI_ERROR_USAGE. */
JsonObject   *point_options_describe (const PointOptions *self, const char *name,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
