/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how bytes become a file with holes. */

#include "sparse.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HOLE_SIZE (64 * 1024)

static gboolean
is_zero (const char *data,
         gsize       size)
{
  return data[0] == 0 && memcmp (data, data + 1, size - 1) == 0;
}

static gboolean
write_at (int         fd,
          const char *data,
          gsize       size,
          gint64      position)
{
  while (size > 0)
    {
      gssize n = pwrite (fd, data, size, position);

      if (n < 0 && errno != EINTR)
        return FALSE;
      if (n > 0)
        {
          data += n;
          size -= (gsize) n;
          position += n;
        }
    }

  return TRUE;
}

/**
 * sparse_write:
 * @fd: a new file
 * @data: bytes of it
 * @size: how many
 * @position: where in the file
 *
 * Leaves out blocks of zeros: the file is new, what is not written is a hole. Its length is set in
 * the end.
 *
 * Returns: whether all is written; if not, errno tells
 */
gboolean
sparse_write (int         fd,
              const char *data,
              gsize       size,
              gint64      position)
{
  gsize begin = 0;              /* of what has to be written and is not yet */

  for (gsize at = 0, n; at < size; at += n)
    {
      n = MIN (HOLE_SIZE - (gsize) (position + (gint64) at) % HOLE_SIZE, size - at);

      if (is_zero (data + at, n))
        {
          if (!write_at (fd, data + begin, at - begin, position + (gint64) begin))
            return FALSE;
          begin = at + n;
        }
    }

  return write_at (fd, data + begin, size - begin, position + (gint64) begin);
}
