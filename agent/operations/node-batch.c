/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the arguments with which nodes are opened, reopened and closed; measured on QEMU 7.2 and
 * 10.0. */

#include "node-batch.h"

static JsonNode *
cache_options (const DiskPlan *disk)
{
  return qmp_args ("direct", "b", disk->cache_direct,
                   "no-flush", "b", disk->cache_no_flush,
                   NULL);
}

static gboolean
takes_backing (const char *driver)
{
  return g_strcmp0 (driver, "raw") != 0;
}

void
node_batch_add_file (QmpBatch *batch, const DiskPlan *disk, const char *node, const char *path,
                     const char *locking)
{
  qmp_batch_add (batch, "blockdev-add",
                 qmp_args ("driver", "s", "file",
                           "node-name", "s", node,
                           "filename", "s", path,
                           "auto-read-only", "b", TRUE,
                           "locking", "s", locking,
                           "discard", "s", "unmap",
                           "cache", "n", cache_options (disk),
                           NULL));
}

void
node_batch_add_overlay (QmpBatch *batch, const DiskPlan *disk, const char *backing_node)
{
  node_batch_add_file (batch, disk, disk->overlay_file_node, disk->overlay, "auto");
  qmp_batch_add (batch, "blockdev-add",
                 qmp_args ("driver", "s", "qcow2",
                           "node-name", "s", disk->overlay_node,
                           "file", "s", disk->overlay_file_node,
                           "detect-zeroes", "s", disk->detect_zeroes,
                           "discard", "s", "unmap",
                           "cache", "n", cache_options (disk),
                           "backing", backing_node != NULL ? "s" : "0", backing_node,
                           NULL));
}

/* A file node that is plainly read-only would make every later commit into the layer fail
 * ("Block node is read-only"), hence auto-read-only below a read-only format node. */
void
node_batch_add_layer (QmpBatch *batch, const DiskPlan *disk, const char *locking)
{
  node_batch_add_file (batch, disk, disk->layer_file_node, disk->layer, locking);
  qmp_batch_add (batch, "blockdev-add",
                 qmp_args ("driver", "s", disk->active_format,
                           "node-name", "s", disk->layer_node,
                           "file", "s", disk->layer_file_node,
                           "read-only", "b", TRUE,
                           "cache", "n", cache_options (disk),
                           takes_backing (disk->active_format) ? "backing" : NULL,
                           disk->below_node != NULL ? "s" : "0", disk->below_node,
                           NULL));
}

void
node_batch_reopen (QmpBatch *batch, const DiskPlan *disk, const char *driver, const char *node,
                   const char *file_node, const char *backing_node)
{
  g_autoptr (JsonArray) options = json_array_new ();
  JsonNode *list = json_node_new (JSON_NODE_ARRAY);

  json_array_add_element (options,
                          qmp_args ("driver", "s", driver,
                                    "node-name", "s", node,
                                    "file", "s", file_node,
                                    "detect-zeroes", "s", disk->detect_zeroes,
                                    "discard", "s", "unmap",
                                    "cache", "n", cache_options (disk),
                                    takes_backing (driver) ? "backing" : NULL,
                                    backing_node != NULL ? "s" : "0", backing_node,
                                    NULL));
  json_node_take_array (list, g_steal_pointer (&options));
  qmp_batch_add (batch, "blockdev-reopen", qmp_args ("options", "n", list, NULL));
}

void
node_batch_delete (QmpBatch *batch, const char *node)
{
  qmp_batch_add_tolerant (batch, "blockdev-del", qmp_args ("node-name", "s", node, NULL));
}

void
node_batch_lock_layer (QmpBatch *batch, const DiskPlan *disk)
{
  node_batch_add_file (batch, disk, disk->layer_file_node, disk->layer, "auto");
  node_batch_reopen (batch, disk, disk->active_format, disk->active_node, disk->layer_file_node,
                     disk->below_node);
  node_batch_delete (batch, disk->unlocked_file_node);
}
