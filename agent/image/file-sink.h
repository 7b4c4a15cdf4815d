/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/body.h>

G_BEGIN_DECLS

/* A new file that bytes go to; zeros become holes. */
typedef struct
{
  int    fd;
  gint64 written;               /* bytes */
} FileSink;

/* As libglance takes it; @self must outlive it. */
GlanceSink file_sink        (FileSink *self);
/* The file has its length, and is on the disk. AGENT_ERROR NO_SPACE, INTERNAL. */
gboolean   file_sink_finish (FileSink *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
