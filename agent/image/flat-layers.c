/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which chains can be read, and how QEMU is told to read them: nothing is probed, and no name
 * in a header is followed. */

#include "flat-layers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <core/error.h>
#include <qmp/batch.h>

/* Fields of the qcow2 header, by their offset. */
#define HEADER_VERSION       4
#define HEADER_CLUSTER_BITS  20
#define HEADER_CRYPT_METHOD  32
#define HEADER_INCOMPATIBLE  72         /* version 3 and later */
#define HEADER_BYTES         80

#define INCOMPATIBLE_DATA_FILE (G_GUINT64_CONSTANT (1) << 2)

/* An L2 entry has 8 bytes, or 16 with subclusters: of larger tables QEMU holds parts. */
#define MAX_L2_PART (64 * 1024)

/**
 * flat_layer_free:
 * @self: (transfer full) (nullable): a layer; its descriptor is closed
 */
void
flat_layer_free (FlatLayer *self)
{
  if (self == NULL)
    return;

  if (self->fd >= 0)
    close (self->fd);
  if (self->watched >= 0)
    close (self->watched);
  g_free (self->path);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (FlatLayer, flat_layer_free)

static guint32
get32 (const guint8 *at)
{
  guint32 value;

  memcpy (&value, at, sizeof value);
  return GUINT32_FROM_BE (value);
}

static gboolean
refuse (FlatLayer  *self,
        GError    **error,
        const char *hint,
        const char *why)
{
  agent_set_error (error, AGENT_ERROR_INVALID, hint, "the layer %s %s", self->path, why);
  return FALSE;
}

/* What QEMU would find out too late, or would follow. */
static gboolean
check_qcow2 (FlatLayer  *self,
             GError    **error)
{
  guint8 header[HEADER_BYTES] = { 0 };
  guint64 incompatible;
  guint32 version;
  gssize n;

  do
    n = pread (self->fd, header, sizeof header, 0);
  while (n < 0 && errno == EINTR);

  version = get32 (header + HEADER_VERSION);
  if (n < HEADER_INCOMPATIBLE || memcmp (header, "QFI\xfb", 4) != 0
      || (version != 2 && version != 3) || (version == 3 && n < HEADER_BYTES))
    return refuse (self, error, NULL, "is not a qcow2 image of version 2 or 3");

  if (get32 (header + HEADER_CRYPT_METHOD) != 0)
    return refuse (self, error, "Back its layers up as they are.",
                   "is encrypted: what the disk shows cannot be read without its key");

  memcpy (&incompatible, header + HEADER_INCOMPATIBLE, sizeof incompatible);
  if (version == 3 && (GUINT64_FROM_BE (incompatible) & INCOMPATIBLE_DATA_FILE) != 0)
    return refuse (self, error, "Convert the disk to a qcow2 image that holds its data itself.",
                   "keeps its data in another file");

  self->cluster_bits = get32 (header + HEADER_CLUSTER_BITS);
  if (self->cluster_bits < 9 || self->cluster_bits > 21)
    return refuse (self, error, NULL, "has a cluster size that no qcow2 image can have");

  return TRUE;
}

static gint64
mtime_ns_of (const struct stat *st)
{
  return st->st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + st->st_mtim.tv_nsec;
}

/* O_NONBLOCK: not to hang on a FIFO. */
static FlatLayer *
open_layer (const ImageLayer *layer,
            GError          **error)
{
  g_autoptr (FlatLayer) self = g_new0 (FlatLayer, 1);
  struct stat st;

  self->path = g_strdup (layer->path);
  self->is_qcow2 = g_strcmp0 (layer->format, "qcow2") == 0;
  self->fd = open (layer->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  self->watched = self->fd >= 0 ? fcntl (self->fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (self->watched < 0 || fstat (self->fd, &st) < 0)
    {
      int saved_errno = errno;

      agent_set_error (error,
                       saved_errno == ENOENT ? AGENT_ERROR_CONFLICT
                       : saved_errno == EACCES || saved_errno == EPERM ? AGENT_ERROR_FORBIDDEN
                       : AGENT_ERROR_INTERNAL,
                       NULL, "cannot open the layer %s: %s", layer->path, g_strerror (saved_errno));
      return NULL;
    }

  if ((guint64) st.st_dev != layer->dev || (guint64) st.st_ino != layer->ino)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "Look at the disk's chain again: its files were moved or replaced.",
                       "%s is another file by now than the layer that was frozen", layer->path);
      return NULL;
    }

  self->size = (guint64) st.st_size;
  self->mtime_ns = mtime_ns_of (&st);
  if (layer->mtime_ns != 0
      && (layer->mtime_ns != self->mtime_ns || layer->size != (gint64) self->size))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "A frozen layer must have no writer; ask for the image again.",
                       "the layer %s was written to since it was frozen", layer->path);
      return NULL;
    }
  self->is_device = S_ISBLK (st.st_mode);
  if (!S_ISREG (st.st_mode) && !self->is_device)
    {
      refuse (self, error, NULL, "is neither a file nor a block device");
      return NULL;
    }
  if (!self->is_qcow2 && g_strcmp0 (layer->format, "raw") != 0)
    {
      refuse (self, error, NULL, "is neither qcow2 nor raw; other formats cannot be read");
      return NULL;
    }
  if (self->is_qcow2 && !check_qcow2 (self, error))
    return NULL;

  return g_steal_pointer (&self);
}

/**
 * flat_layers_open:
 * @layers: (element-type ImageLayer): a chain, top first
 * @shared: whether it is read although somebody may write to it
 * @error: AGENT_ERROR_CONFLICT when another file stands where a layer was, or none;
 *   AGENT_ERROR_INVALID for what cannot be read; AGENT_ERROR_FORBIDDEN; AGENT_ERROR_INTERNAL
 *
 * Blocks. The layers stay the same files, whatever happens to their names from now on.
 *
 * Returns: (transfer full) (element-type FlatLayer): the layers, in the same order
 */
GPtrArray *
flat_layers_open (GPtrArray *layers,
                  gboolean   shared,
                  GError   **error)
{
  g_autoptr (GPtrArray) opened = g_ptr_array_new_with_free_func ((GDestroyNotify) flat_layer_free);

  if (layers->len == 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "a chain without layers shows nothing");
      return NULL;
    }

  for (guint i = 0; i < layers->len; i++)
    {
      FlatLayer *layer = open_layer (layers->pdata[i], error);

      if (layer == NULL)
        return NULL;
      layer->is_shared = shared;
      g_ptr_array_add (opened, layer);
      if (!layer->is_qcow2 && i + 1 < layers->len)
        {
          refuse (layer, error, NULL, "is raw and has others below it: raw has no parents");
          return NULL;
        }
    }

  return g_steal_pointer (&opened);
}

/**
 * flat_layers_can_share:
 * @self: (element-type FlatLayer): a chain
 *
 * Returns: whether each layer would show that somebody has written to it
 */
gboolean
flat_layers_can_share (GPtrArray *self)
{
  for (guint i = 0; i < self->len; i++)
    if (((FlatLayer *) self->pdata[i])->is_device)
      return FALSE;

  return TRUE;
}

/**
 * flat_layers_check:
 * @self: (element-type FlatLayer): a chain that was read
 * @error: AGENT_ERROR_CONFLICT names the layer that has changed
 *
 * Blocks. Where QEMU's locks are held they are proof enough; a file may be touched by who does not
 * write to it.
 *
 * Returns: whether all files that are read against the locks are as they were when they were opened
 */
gboolean
flat_layers_check (GPtrArray *self,
                   GError   **error)
{
  for (guint i = 0; i < self->len; i++)
    {
      FlatLayer *layer = self->pdata[i];
      struct stat st;

      if (!layer->is_shared
          || (fstat (layer->watched, &st) == 0 && (guint64) st.st_size == layer->size
              && mtime_ns_of (&st) == layer->mtime_ns))
        continue;

      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "A frozen layer must have no writer; find out who has it open.",
                       "the layer %s was written to while it was read", layer->path);
      return FALSE;
    }

  return TRUE;
}

/**
 * flat_layer_node_name:
 * @position: of a layer, 0 for the top
 *
 * Returns: (transfer full): the name of its node
 */
char *
flat_layer_node_name (guint position)
{
  return g_strdup_printf ("layer%u", position);
}

/**
 * flat_layer_node:
 * @self: (element-type FlatLayer): a chain
 * @position: of the layer, 0 for the top; the one below it must have its node already
 * @child_fd: the descriptor that the layer has in the process which reads it
 *
 * By the descriptor it is opened as the file that was looked at. QEMU's own locks keep out whoever
 * writes to a layer, and let other readers be.
 *
 * Returns: (transfer full): the arguments of blockdev-add
 */
JsonNode *
flat_layer_node (GPtrArray *self,
                 guint      position,
                 int        child_fd)
{
  FlatLayer *layer = self->pdata[position];
  g_autofree char *name = flat_layer_node_name (position);
  g_autofree char *below = flat_layer_node_name (position + 1);
  g_autofree char *filename = g_strdup_printf ("/proc/self/fd/%d", child_fd);
  JsonNode *file = qmp_args ("driver", "s", layer->is_device ? "host_device" : "file",
                             "filename", "s", filename, "read-only", "b", TRUE,
                             "force-share", "b", layer->is_shared, NULL);
  JsonNode *backing;

  if (!layer->is_qcow2)
    return qmp_args ("driver", "s", "raw", "node-name", "s", name, "read-only", "b", TRUE,
                     "force-share", "b", layer->is_shared, "file", "n", file, NULL);

  backing = json_node_alloc ();
  if (position + 1 < self->len)
    json_node_init_string (backing, below);
  else
    json_node_init_null (backing);

  /* Holes are told table by table: the larger, the fewer questions. */
  return qmp_args ("driver", "s", "qcow2", "node-name", "s", name, "read-only", "b", TRUE,
                   "force-share", "b", layer->is_shared, "file", "n", file, "backing", "n", backing,
                   "l2-cache-entry-size", "i",
                   (gint64) MIN (G_GUINT64_CONSTANT (1) << layer->cluster_bits, MAX_L2_PART), NULL);
}
