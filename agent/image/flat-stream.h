/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "flat-nbd.h"

G_BEGIN_DECLS

/* The clusters of a disk that have data, one after another, read ahead. */

typedef struct _FlatStream FlatStream;

FlatStream *flat_stream_new    (FlatNbd *nbd, const FlatMap *map);
void        flat_stream_free   (FlatStream *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FlatStream, flat_stream_free)

gboolean    flat_stream_rewind (FlatStream *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gssize      flat_stream_read   (FlatStream *self, void *buffer, gsize size,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
