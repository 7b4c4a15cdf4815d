/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a disk becomes the bytes of an image: metadata made, data read, zeros filled in. */

#include "flat-source.h"

#include <string.h>

#include <core/error.h>

#include "flat-layers.h"
#include "flat-layout.h"
#include "flat-stream.h"

struct _FlatSource
{
  GObject      parent_instance;
  FlatProcess *process;
  FlatNbd     *nbd;
  FlatMap     *map;
  GPtrArray   *layers;          /* of FlatLayer */
  FlatLayout   layout;          /* of a qcow2 */
  gboolean     is_qcow2;
  FlatStream  *stream;
  guint64      length;
  guint64      position;
};

#define TYPE_FLAT_SOURCE (flat_source_get_type ())
G_DECLARE_FINAL_TYPE (FlatSource, flat_source, AGENT, FLAT_SOURCE, GObject)

static void flat_source_interface_init (ImageSourceInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (FlatSource, flat_source, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TYPE_IMAGE_SOURCE,
                                                      flat_source_interface_init))

static gint64
flat_source_get_length (ImageSource *source)
{
  return (gint64) AGENT_FLAT_SOURCE (source)->length;
}

static gint64
flat_source_get_allocated (ImageSource *source)
{
  FlatSource *self = AGENT_FLAT_SOURCE (source);

  return (gint64) (self->is_qcow2 ? self->length : flat_map_get_bytes (self->map));
}

/* What the process said goes with what the connection says. */
static void
add_words (FlatSource  *self,
           GError     **error)
{
  g_autofree char *words = flat_process_take_words (self->process);

  if (words != NULL && error != NULL && *error != NULL)
    {
      g_autoptr (GError) old = g_steal_pointer (error);

      *error = agent_error_new ((AgentError) old->code, agent_error_get_hint (old), "%s: %s",
                                old->message, words);
    }
}

static gboolean
flat_source_rewind (ImageSource  *source,
                    GError      **error)
{
  FlatSource *self = AGENT_FLAT_SOURCE (source);

  if (!flat_stream_rewind (self->stream, error))
    {
      add_words (self, error);
      return FALSE;
    }
  self->position = 0;

  return TRUE;
}

/* At most @size, and no further than to where zeros turn into data or the other way round. @zeros:
 * (out): which of them it is. */
static gsize
find_run (FlatSource *self,
          gsize       size,
          gboolean   *zeros)
{
  guint64 cluster = self->position / FLAT_CLUSTER_SIZE;
  guint64 begin;
  guint64 count;

  if (!flat_map_next (self->map, &cluster, &count))
    {
      *zeros = TRUE;
      return size;
    }

  begin = cluster * FLAT_CLUSTER_SIZE;
  *zeros = begin > self->position;

  return (gsize) MIN (size, (*zeros ? begin : begin + count * FLAT_CLUSTER_SIZE) - self->position);
}

static gssize
read_data (FlatSource  *self,
           void        *buffer,
           gsize        size,
           GError     **error)
{
  gssize got = flat_stream_read (self->stream, buffer, size, error);

  if (got < 0)
    add_words (self, error);

  return got;
}

static gssize
flat_source_read (ImageSource  *source,
                  void         *buffer,
                  gsize         size,
                  GError      **error)
{
  FlatSource *self = AGENT_FLAT_SOURCE (source);
  guint64 metadata = self->is_qcow2 ? flat_layout_get_metadata (&self->layout) : 0;
  gsize wanted = (gsize) MIN (size, self->length - self->position);
  gboolean zeros = FALSE;
  gssize got;

  if (self->position < metadata)
    {
      wanted = (gsize) MIN (wanted, metadata - self->position);
      flat_layout_read (&self->layout, self->position, buffer, wanted);
      self->position += wanted;
      return (gssize) wanted;
    }

  if (!self->is_qcow2)
    wanted = find_run (self, wanted, &zeros);
  if (zeros)
    {
      memset (buffer, 0, wanted);
      got = (gssize) wanted;
    }
  else
    got = read_data (self, buffer, wanted, error);

  if (got > 0)
    self->position += (guint64) got;

  /* The last bytes are kept back when it was no frozen chain that was read. */
  return self->position < self->length || flat_layers_check (self->layers, error) ? got : -1;
}

static void
on_ended (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;

  flat_process_end_finish (AGENT_FLAT_PROCESS (source), result);
  g_task_return_boolean (task, TRUE);
}

static void
flat_source_close (ImageSource *source,
                   GTask       *task)
{
  flat_process_end_async (AGENT_FLAT_SOURCE (source)->process, on_ended, task);
}

static void
flat_source_finalize (GObject *object)
{
  FlatSource *self = AGENT_FLAT_SOURCE (object);

  /* Whoever still reads into the pieces goes first. */
  flat_nbd_free (self->nbd);
  flat_stream_free (self->stream);
  flat_map_free (self->map);
  g_ptr_array_unref (self->layers);
  g_clear_object (&self->process);

  G_OBJECT_CLASS (flat_source_parent_class)->finalize (object);
}

static void
flat_source_class_init (FlatSourceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = flat_source_finalize;
}

static void
flat_source_interface_init (ImageSourceInterface *iface)
{
  iface->get_length = flat_source_get_length;
  iface->get_allocated = flat_source_get_allocated;
  iface->rewind = flat_source_rewind;
  iface->read = flat_source_read;
  iface->close = flat_source_close;
}

static void
flat_source_init (FlatSource *self)
{
}

/**
 * flat_source_new:
 * @process: (transfer full): that reads the chain
 * @nbd: (transfer full): the connection to it
 * @map: (transfer full): where the disk has data
 * @layers: (transfer full) (element-type FlatLayer): what is read
 * @is_qcow2: whether the image is a qcow2, or else raw
 * @error: AGENT_ERROR_INVALID for a disk that no qcow2 can hold
 *
 * Returns: (transfer full) (nullable): the image's bytes
 */
ImageSource *
flat_source_new (FlatProcess  *process,
                 FlatNbd      *nbd,
                 FlatMap      *map,
                 GPtrArray    *layers,
                 gboolean      is_qcow2,
                 GError      **error)
{
  g_autoptr (FlatSource) self = g_object_new (TYPE_FLAT_SOURCE, NULL);

  self->process = process;
  self->nbd = nbd;
  self->map = map;
  self->layers = layers;
  self->is_qcow2 = is_qcow2;
  self->stream = flat_stream_new (nbd, map);
  self->length = flat_map_get_size (map);
  if (is_qcow2)
    {
      if (!flat_layout_init (&self->layout, map, error))
        return NULL;
      self->length = flat_layout_get_length (&self->layout);
    }

  return AGENT_IMAGE_SOURCE (g_steal_pointer (&self));
}
