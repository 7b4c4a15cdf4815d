/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a disk is read by NBD: connecting, what is data, and bytes. */

#include "flat-nbd.h"

#include <libnbd.h>

#include <core/error.h>

/* One question about the allocation covers at most this; a length of 32 bits on the wire, and a
 * server may want it in whole clusters of its own. */
#define MAP_STEP (G_GUINT64_CONSTANT (2) * 1024 * 1024 * 1024)

/* Of the flags of an extent (NBD's metadata context base:allocation). */
#define EXTENT_IS_ZERO 2

struct _FlatNbd
{
  struct nbd_handle *handle;
  guint64            size;      /* bytes, whole sectors */
};

/**
 * flat_nbd_free:
 * @self: (transfer full) (nullable): a connection
 *
 * Drops it; reads under way leave their buffers alone from now on.
 */
void
flat_nbd_free (FlatNbd *self)
{
  if (self == NULL)
    return;

  nbd_close (self->handle);
  g_free (self);
}

static void
set_nbd_error (GError     **error,
               const char  *what)
{
  agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "cannot %s: %s", what, nbd_get_error ());
}

/* Whether a command has been sent. libnbd takes it although the connection broke at that, and only
 * the next one would fail, with words that do not say why. */
static gboolean
is_sent (FlatNbd     *self,
         gint64       cookie,
         const char  *what,
         GError     **error)
{
  if (cookie >= 0 && !nbd_aio_is_dead (self->handle))
    return TRUE;

  set_nbd_error (error, what);
  return FALSE;
}

/* Lets the connection go on until something has happened. */
static gboolean
step (FlatNbd     *self,
      const char  *what,
      GError     **error)
{
  switch (nbd_poll (self->handle, FLAT_NBD_DEADLINE))
    {
    case 1:
      return TRUE;
    case 0:
      agent_set_error (error, AGENT_ERROR_TIMEOUT, "Look at the storage that the layers are on.",
                       "cannot %s: nothing came within %d s", what, FLAT_NBD_DEADLINE / 1000);
      return FALSE;
    default:
      set_nbd_error (error, what);
      return FALSE;
    }
}

static gboolean
wait_for (FlatNbd     *self,
          gint64       cookie,
          const char  *what,
          GError     **error)
{
  int done;

  while ((done = nbd_aio_command_completed (self->handle, cookie)) == 0)
    {
      if (!step (self, what, error))
        return FALSE;
    }
  if (done < 0)
    {
      set_nbd_error (error, what);
      return FALSE;
    }

  return TRUE;
}

static gboolean
open_connection (FlatNbd     *self,
                 const char  *socket,
                 const char  *name,
                 GError     **error)
{
  static const char what[] = "connect to the process that reads the disk";
  gint64 size;

  /* Every read is waited for before its bytes are used. */
  if (nbd_set_export_name (self->handle, name) < 0
      || nbd_set_pread_initialize (self->handle, false) < 0
      || nbd_add_meta_context (self->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0
      || nbd_aio_connect_unix (self->handle, socket) < 0)
    {
      set_nbd_error (error, what);
      return FALSE;
    }
  while (nbd_aio_is_connecting (self->handle))
    {
      if (!step (self, what, error))
        return FALSE;
    }

  size = nbd_get_size (self->handle);
  if (!nbd_aio_is_ready (self->handle) || size < 0)
    {
      set_nbd_error (error, what);
      return FALSE;
    }
  if (nbd_can_meta_context (self->handle, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                       "cannot read the disk: the process does not tell what is allocated");
      return FALSE;
    }
  if (size % 512 != 0)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                       "cannot read the disk: %" G_GINT64_FORMAT " bytes are no whole sectors",
                       size);
      return FALSE;
    }
  self->size = (guint64) size;

  return TRUE;
}

/**
 * flat_nbd_connect:
 * @socket: the path of the server's Unix socket
 * @name: of the export
 * @error: AGENT_ERROR_INTERNAL, AGENT_ERROR_TIMEOUT
 *
 * Returns: (transfer full): the connection
 */
FlatNbd *
flat_nbd_connect (const char  *socket,
                  const char  *name,
                  GError     **error)
{
  g_autoptr (FlatNbd) self = g_new0 (FlatNbd, 1);

  self->handle = nbd_create ();
  if (self->handle == NULL)
    {
      set_nbd_error (error, "make an NBD client");
      return NULL;
    }

  if (!open_connection (self, socket, name, error))
    return NULL;

  return g_steal_pointer (&self);
}

/* --- what is data --- */

typedef struct
{
  FlatMap *map;
  guint64  at;                  /* up to here is known */
  guint64  end;                 /* of the question */
} Answer;

static int
take_extents (void       *user_data,
              const char *context,
              uint64_t    offset,
              uint32_t   *entries,
              size_t      n_entries,
              int        *error)
{
  Answer *self = user_data;

  if (!g_str_equal (context, LIBNBD_CONTEXT_BASE_ALLOCATION) || offset != self->at)
    return 0;

  /* A length, and flags. A hole that is not said to read as zeros may read as anything. */
  for (size_t i = 0; i + 1 < n_entries && self->at < self->end; i += 2)
    {
      guint64 length = MIN (entries[i], self->end - self->at);

      if ((entries[i + 1] & EXTENT_IS_ZERO) == 0)
        flat_map_add (self->map, self->at, length);
      self->at += length;
    }

  return 0;
}

/**
 * flat_nbd_read_map:
 * @self: a connection
 * @cancellable: (nullable): ends it between two questions
 * @error: AGENT_ERROR_INTERNAL, AGENT_ERROR_TIMEOUT, G_IO_ERROR_CANCELLED
 *
 * Asks for the allocation of the whole disk: a question for each 2 GiB, and for each 32 MiB and
 * more of a disk that is in many pieces.
 *
 * Returns: (transfer full): which clusters can have a byte that is not zero
 */
FlatMap *
flat_nbd_read_map (FlatNbd       *self,
                   GCancellable  *cancellable,
                   GError       **error)
{
  static const char what[] = "find out which parts of the disk have data";
  g_autoptr (FlatMap) map = flat_map_new (self->size);
  Answer answer = { .map = map };

  while (answer.at < self->size)
    {
      nbd_extent_callback callback = { .callback = take_extents, .user_data = &answer };
      guint64 begin = answer.at;
      gint64 cookie;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return NULL;

      answer.end = MIN (begin + MAP_STEP, self->size);
      cookie = nbd_aio_block_status (self->handle, answer.end - begin, begin, callback,
                                     NBD_NULL_COMPLETION, 0);
      if (!is_sent (self, cookie, what, error) || !wait_for (self, cookie, what, error))
        return NULL;
      if (answer.at == begin)
        {
          agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                           "cannot %s: no answer for byte %" G_GUINT64_FORMAT, what, begin);
          return NULL;
        }
    }

  return g_steal_pointer (&map);
}

/* --- bytes --- */

/**
 * flat_nbd_begin_read:
 * @self: a connection
 * @buffer: where the bytes go
 * @size: how many, all within the disk; at most 32 MiB
 * @offset: of the first
 * @error: AGENT_ERROR_INTERNAL
 *
 * Returns: what flat_nbd_wait() is to wait for; -1 on error
 */
gint64
flat_nbd_begin_read (FlatNbd  *self,
                     void     *buffer,
                     gsize     size,
                     guint64   offset,
                     GError  **error)
{
  gint64 cookie = nbd_aio_pread (self->handle, buffer, size, offset, NBD_NULL_COMPLETION, 0);

  return is_sent (self, cookie, "read the disk", error) ? cookie : -1;
}

/**
 * flat_nbd_wait:
 * @self: a connection
 * @cookie: of a read under way
 * @error: AGENT_ERROR_INTERNAL, AGENT_ERROR_TIMEOUT
 *
 * Returns: whether all bytes of that read are in its buffer
 */
gboolean
flat_nbd_wait (FlatNbd  *self,
               gint64    cookie,
               GError  **error)
{
  return wait_for (self, cookie, "read the disk", error);
}
