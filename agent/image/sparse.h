/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Writes bytes of a new file, blocks of zeros as holes. FALSE with errno. */
gboolean sparse_write (int fd, const char *data, gsize size,
                       gint64 position) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
