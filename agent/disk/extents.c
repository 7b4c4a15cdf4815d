/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to count with ranges of bytes. */

#include <disk/extents.h>

struct _Extents
{
  GArray *list;                 /* of Extent: sorted, with a gap between each two */
};

/**
 * extents_new:
 *
 * Returns: (transfer full): no ranges
 */
Extents *
extents_new (void)
{
  Extents *self = g_new0 (Extents, 1);

  self->list = g_array_new (FALSE, FALSE, sizeof (Extent));

  return self;
}

/**
 * extents_free:
 * @self: (transfer full) (nullable): ranges
 */
void
extents_free (Extents *self)
{
  if (self == NULL)
    return;

  g_array_unref (self->list);
  g_free (self);
}

static Extent *
extent_at (const Extents *self,
           guint          index)
{
  return &g_array_index (self->list, Extent, index);
}

static gint64
end_of (const Extent *extent)
{
  return extent->start + extent->length;
}

/* The first range that ends at @position or above it. */
static guint
find_from (const Extents *self,
           gint64         position)
{
  guint low = 0;
  guint high = self->list->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (end_of (extent_at (self, middle)) < position)
        low = middle + 1;
      else
        high = middle;
    }

  return low;
}

/* @start is not below the start of the last range. */
static void
append (GArray *list,
        gint64  start,
        gint64  length)
{
  Extent *last = list->len > 0 ? &g_array_index (list, Extent, list->len - 1) : NULL;
  Extent extent = { start, length };

  if (last == NULL || end_of (last) < start)
    g_array_append_val (list, extent);
  else if (end_of (last) < start + length)
    last->length = start + length - last->start;
}

/**
 * extents_add:
 * @self: ranges
 * @start: bytes, not negative
 * @length: bytes; nothing is added where it is 0
 *
 * Adds a range; what overlaps or touches becomes one. Costs little when ranges come in ascending
 * order.
 */
void
extents_add (Extents *self,
             gint64   start,
             gint64   length)
{
  guint first, after;
  gint64 end;

  g_return_if_fail (start >= 0 && length >= 0 && start <= G_MAXINT64 - length);

  if (length == 0)
    return;

  if (self->list->len == 0 || extent_at (self, self->list->len - 1)->start <= start)
    {
      append (self->list, start, length);
      return;
    }

  first = find_from (self, start);
  end = start + length;

  for (after = first; after < self->list->len && extent_at (self, after)->start <= end; after++)
    {
      start = MIN (start, extent_at (self, after)->start);
      end = MAX (end, end_of (extent_at (self, after)));
    }

  if (after == first)
    {
      Extent extent = { start, end - start };

      g_array_insert_val (self->list, first, extent);
      return;
    }

  *extent_at (self, first) = (Extent) { start, end - start };
  g_array_remove_range (self->list, first + 1, after - first - 1);
}

/**
 * extents_copy:
 * @self: ranges
 *
 * Returns: (transfer full): the same ranges
 */
Extents *
extents_copy (const Extents *self)
{
  Extents *copy = g_new0 (Extents, 1);

  copy->list = g_array_copy (self->list);

  return copy;
}

/**
 * extents_unite:
 * @self: ranges
 * @other: ranges that are added to them
 *
 * Takes time in proportion to the number of ranges of both.
 */
void
extents_unite (Extents       *self,
               const Extents *other)
{
  g_autoptr (GArray) old = NULL;
  guint mine = 0;
  guint theirs = 0;

  g_return_if_fail (self != other);

  old = g_steal_pointer (&self->list);
  self->list = g_array_sized_new (FALSE, FALSE, sizeof (Extent), old->len);

  while (mine < old->len || theirs < other->list->len)
    {
      const Extent *next;

      if (theirs == other->list->len
          || (mine < old->len
              && g_array_index (old, Extent, mine).start <= extent_at (other, theirs)->start))
        next = &g_array_index (old, Extent, mine++);
      else
        next = extent_at (other, theirs++);

      append (self->list, next->start, next->length);
    }
}

/**
 * extents_subtract:
 * @self: ranges
 * @other: ranges that are taken out of them
 *
 * Takes time in proportion to the number of ranges of both.
 */
void
extents_subtract (Extents       *self,
                  const Extents *other)
{
  g_autoptr (GArray) old = NULL;
  guint theirs = 0;

  g_return_if_fail (self != other);

  old = g_steal_pointer (&self->list);
  self->list = g_array_sized_new (FALSE, FALSE, sizeof (Extent), old->len);

  for (guint mine = 0; mine < old->len; mine++)
    {
      gint64 start = g_array_index (old, Extent, mine).start;
      gint64 end = end_of (&g_array_index (old, Extent, mine));

      while (theirs < other->list->len && end_of (extent_at (other, theirs)) <= start)
        theirs++;

      /* The last that reaches into this one may reach into the next one too. */
      for (guint cut = theirs; start < end; cut++)
        {
          const Extent *hole = cut < other->list->len ? extent_at (other, cut) : NULL;
          gint64 stop = hole != NULL ? MIN (hole->start, end) : end;

          if (start < stop)
            append (self->list, start, stop - start);
          start = hole != NULL ? MAX (start, end_of (hole)) : end;
        }
    }
}

/**
 * extents_total:
 * @self: ranges
 *
 * Returns: how many bytes they are together
 */
gint64
extents_total (const Extents *self)
{
  gint64 total = 0;

  for (guint i = 0; i < self->list->len; i++)
    total += extent_at (self, i)->length;

  return total;
}

/**
 * extents_count:
 * @self: ranges
 *
 * Returns: how many ranges there are
 */
guint
extents_count (const Extents *self)
{
  return self->list->len;
}

/**
 * extents_get:
 * @self: ranges
 * @index: below extents_count()
 *
 * Returns: (transfer none): the range of that number, counted by its start
 */
const Extent *
extents_get (const Extents *self,
             guint          index)
{
  g_return_val_if_fail (index < self->list->len, NULL);

  return extent_at (self, index);
}
