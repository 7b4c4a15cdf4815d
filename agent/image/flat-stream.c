/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the data of a disk is read ahead: several pieces at a time, handed out in order. */

#include "flat-stream.h"

#include <string.h>

/* A piece lies in one run of data. */
#define PIECE_SIZE (256 * 1024)
#define PIECES     16

typedef struct
{
  guint8  *bytes;
  gsize    size;                /* whole clusters */
  gsize    used;                /* handed out */
  gint64   cookie;
  gboolean arrived;
} Piece;

struct _FlatStream
{
  FlatNbd       *nbd;
  const FlatMap *map;

  Piece          pieces[PIECES];        /* a ring */
  guint          first;                 /* handed out next */
  guint          under_way;             /* from there on */

  guint64        cluster;               /* what is asked for next ... */
  guint64        count;                 /* ... as many clusters; 0: to be looked up */
};

/**
 * flat_stream_new:
 * @nbd: the disk; outlives the stream
 * @map: where its data is; outlives the stream
 *
 * Returns: (transfer full): the stream, at its beginning; nothing is read yet
 */
FlatStream *
flat_stream_new (FlatNbd       *nbd,
                 const FlatMap *map)
{
  FlatStream *self = g_new0 (FlatStream, 1);

  self->nbd = nbd;
  self->map = map;

  return self;
}

/**
 * flat_stream_free:
 * @self: (transfer full) (nullable): a stream of which no piece is under way, or the connection has
 *   gone
 */
void
flat_stream_free (FlatStream *self)
{
  if (self == NULL)
    return;

  for (guint i = 0; i < PIECES; i++)
    g_free (self->pieces[i].bytes);
  g_free (self);
}

/**
 * flat_stream_rewind:
 * @self: a stream
 * @error: AGENT_ERROR
 *
 * Returns: whether the next byte is the first again
 */
gboolean
flat_stream_rewind (FlatStream  *self,
                    GError     **error)
{
  /* The buffers are not free before the answers are there. */
  while (self->under_way > 0)
    {
      Piece *piece = &self->pieces[self->first];

      if (!piece->arrived && !flat_nbd_wait (self->nbd, piece->cookie, error))
        return FALSE;
      self->first = (self->first + 1) % PIECES;
      self->under_way--;
    }
  self->cluster = 0;
  self->count = 0;

  return TRUE;
}

/* Asks for the next piece. The disk may end within its last cluster: the rest is zeros. */
static gboolean
ask (FlatStream  *self,
     GError     **error)
{
  Piece *piece = &self->pieces[(self->first + self->under_way) % PIECES];
  guint64 clusters = MIN (self->count, PIECE_SIZE / FLAT_CLUSTER_SIZE);
  guint64 offset = self->cluster * FLAT_CLUSTER_SIZE;
  gsize size = (gsize) (clusters * FLAT_CLUSTER_SIZE);
  gsize on_disk = (gsize) MIN (size, flat_map_get_size (self->map) - offset);

  if (piece->bytes == NULL)
    piece->bytes = g_malloc (PIECE_SIZE);
  memset (piece->bytes + on_disk, 0, size - on_disk);
  piece->size = size;
  piece->used = 0;
  piece->arrived = FALSE;
  piece->cookie = flat_nbd_begin_read (self->nbd, piece->bytes, on_disk, offset, error);
  if (piece->cookie < 0)
    return FALSE;

  self->under_way++;
  self->cluster += clusters;
  self->count -= clusters;

  return TRUE;
}

static gboolean
ask_ahead (FlatStream  *self,
           GError     **error)
{
  while (self->under_way < PIECES
         && (self->count > 0 || flat_map_next (self->map, &self->cluster, &self->count)))
    {
      if (!ask (self, error))
        return FALSE;
    }

  return TRUE;
}

/**
 * flat_stream_read:
 * @self: a stream
 * @buffer: where to put bytes
 * @size: at most how many
 * @error: AGENT_ERROR
 *
 * Returns: how many bytes were read, 0 when there is no more data, -1 on error
 */
gssize
flat_stream_read (FlatStream  *self,
                  void        *buffer,
                  gsize        size,
                  GError     **error)
{
  guint8 *to = buffer;
  gsize done = 0;

  while (done < size)
    {
      Piece *piece = &self->pieces[self->first];
      gsize n;

      if (!ask_ahead (self, error))
        return -1;
      if (self->under_way == 0)
        break;

      if (!piece->arrived && !flat_nbd_wait (self->nbd, piece->cookie, error))
        return -1;
      piece->arrived = TRUE;

      n = MIN (size - done, piece->size - piece->used);
      memcpy (to + done, piece->bytes + piece->used, n);
      piece->used += n;
      done += n;
      if (piece->used == piece->size)
        {
          self->first = (self->first + 1) % PIECES;
          self->under_way--;
        }
    }

  return (gssize) done;
}
