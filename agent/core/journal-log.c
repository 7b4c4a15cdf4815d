/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a write-ahead log has lost what was durable. The end of a log may be torn: the machine
 * stopped while a transaction was on its way. What lies before a transaction that began later was
 * durable by then, for each begins when the one before it has been synced. */

#include "journal-log.h"

#include <string.h>

#define LOG_HEADER      32
#define FRAME_HEADER    24
#define MAGIC_LITTLE    0x377f0682      /* how its checksums are computed */
#define MAGIC_BIG       0x377f0683
#define FORMAT_VERSION  3007000
#define PAGE_SIZE_MIN   512
#define PAGE_SIZE_MAX   65536

typedef struct
{
  guint32 a;
  guint32 b;
} Checksum;

static guint32
big32 (const guint8 *bytes)
{
  guint32 value;

  memcpy (&value, bytes, sizeof value);

  return GUINT32_FROM_BE (value);
}

/* @length: a multiple of 8. */
static Checksum
add_up (Checksum      sum,
        gboolean      big,
        const guint8 *bytes,
        gsize         length)
{
  for (gsize i = 0; i < length; i += 8)
    {
      guint32 x = big32 (bytes + i);
      guint32 y = big32 (bytes + i + 4);

      sum.a += (big ? x : GUINT32_SWAP_LE_BE (x)) + sum.b;
      sum.b += (big ? y : GUINT32_SWAP_LE_BE (y)) + sum.a;
    }

  return sum;
}

static Checksum
stored_in (const guint8 *bytes)
{
  return (Checksum) { big32 (bytes), big32 (bytes + 4) };
}

static gboolean
is_same (Checksum one,
         Checksum other)
{
  return one.a == other.a && one.b == other.b;
}

typedef struct
{
  const guint8 *bytes;
  gsize         n_frames;       /* that the file has room for */
  gsize         frame_size;
  gboolean      big;
} Frames;

static const guint8 *
frame_at (const Frames *frames,
          gsize         index)
{
  return frames->bytes + LOG_HEADER + index * frames->frame_size;
}

/* Where the sum of the frame before is: of the header, for the first. */
static Checksum
sum_before (const Frames *frames,
            gsize         index)
{
  return index == 0 ? stored_in (frames->bytes + 24)
                    : stored_in (frame_at (frames, index - 1) + 16);
}

/* Whether it is whole and was written behind the one before, if that is what its sum says. */
static gboolean
is_linked (const Frames *frames,
           gsize         index)
{
  const guint8 *frame = frame_at (frames, index);
  Checksum sum;

  if (memcmp (frame + 8, frames->bytes + 16, 8) != 0)
    return FALSE;

  sum = add_up (sum_before (frames, index), frames->big, frame, 8);
  sum = add_up (sum, frames->big, frame + FRAME_HEADER, frames->frame_size - FRAME_HEADER);

  return is_same (sum, stored_in (frame + 16));
}

static gboolean
is_commit (const Frames *frames,
           gsize         index)
{
  return big32 (frame_at (frames, index) + 4) != 0;
}

static gboolean
read_header (const guint8 *bytes,
             gsize         length,
             Frames       *frames,
             guint32      *page_size)
{
  guint32 magic = big32 (bytes);
  guint32 size = big32 (bytes + 8);

  frames->big = magic == MAGIC_BIG;

  if ((magic != MAGIC_LITTLE && magic != MAGIC_BIG) || big32 (bytes + 4) != FORMAT_VERSION ||
      size < PAGE_SIZE_MIN || size > PAGE_SIZE_MAX || (size & (size - 1)) != 0 ||
      !is_same (add_up ((Checksum) { 0, 0 }, frames->big, bytes, 24), stored_in (bytes + 24)))
    return FALSE;

  frames->bytes = bytes;
  frames->frame_size = FRAME_HEADER + size;
  frames->n_frames = (length - LOG_HEADER) / frames->frame_size;
  *page_size = size;

  return TRUE;
}

/* Whether a transaction that holds a frame from @from on, or one after it, was followed by another
 * one. Older frames may lie behind the end: those were not written behind their neighbour. */
static gboolean
was_durable (const Frames *frames,
             gsize         from)
{
  for (gsize i = from; i + 1 < frames->n_frames; i++)
    {
      if (is_commit (frames, i) && is_linked (frames, i + 1) &&
          memcmp (frame_at (frames, i) + 8, frames->bytes + 16, 8) == 0)
        return TRUE;
    }

  return FALSE;
}

/**
 * journal_log_read:
 * @log: what the log's file holds
 *
 * Returns: how much of it can be trusted
 */
JournalLog
journal_log_read (GBytes *log)
{
  gsize length;
  const guint8 *bytes = g_bytes_get_data (log, &length);
  JournalLog self = { 0 };
  Frames frames = { 0 };
  gsize i;

  if (length < LOG_HEADER)
    return self;

  /* The header is synced before the first frame. */
  if (!read_header (bytes, length, &frames, &self.page_size))
    {
      self.is_damaged = length > LOG_HEADER;
      return self;
    }

  for (i = 0; i < frames.n_frames && is_linked (&frames, i); i++)
    {
      if (!is_commit (&frames, i))
        continue;
      self.n_frames = (guint) i + 1;
      self.n_pages = big32 (frame_at (&frames, i) + 4);
    }

  self.is_damaged = i < frames.n_frames && was_durable (&frames, i);

  return self;
}

/**
 * journal_log_page:
 * @self: what was read of @log
 * @log: the log
 * @frame: from 0, below @self->n_frames
 * @number: (out): the page's number in the database, from 1
 *
 * Returns: (transfer none): the page, @self->page_size bytes
 */
const guint8 *
journal_log_page (const JournalLog *self,
                  GBytes           *log,
                  guint             frame,
                  guint32          *number)
{
  const guint8 *bytes = g_bytes_get_data (log, NULL);
  const guint8 *at = bytes + LOG_HEADER + (gsize) frame * (FRAME_HEADER + self->page_size);

  *number = big32 (at);

  return at + FRAME_HEADER;
}
