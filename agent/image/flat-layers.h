/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <image/source.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* A layer of a frozen chain, opened and looked at. */
typedef struct
{
  char    *path;
  int      fd;                  /* for the process that reads it; -1 once it was handed over */
  int      watched;             /* the same file, to be looked at again */
  gboolean is_device;
  gboolean is_shared;           /* opened although somebody may write to it; see below */
  gboolean is_qcow2;
  guint32  cluster_bits;        /* of a qcow2 */
  guint64  size;                /* bytes, when it was opened */
  gint64   mtime_ns;
} FlatLayer;

void       flat_layer_free        (FlatLayer *self);
/* @shared: against QEMU's locks. A QEMU before 9.0 keeps a layer open for writing after a commit
 * into it was called off, and writes to it no more: then flat_layers_check() is what tells. */
GPtrArray *flat_layers_open       (GPtrArray *layers, gboolean shared,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whether nobody has written to the files that are shared. */
gboolean   flat_layers_check      (GPtrArray *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   flat_layers_can_share  (GPtrArray *self);

char      *flat_layer_node_name   (guint position);
JsonNode  *flat_layer_node        (GPtrArray *self, guint position,
                                   int child_fd) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
