/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <image/source.h>

#include "flat-nbd.h"
#include "flat-process.h"

G_BEGIN_DECLS

/* Takes @process, @nbd, @map and @layers, on error too. */
ImageSource *flat_source_new (FlatProcess *process, FlatNbd *nbd, FlatMap *map, GPtrArray *layers,
                              gboolean is_qcow2, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
