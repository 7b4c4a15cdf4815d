/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to tell that a guest's writes are held, and by what. A name is moved meanwhile, which
 * has no deadline: whoever waits for a file system cannot be called back. */

#include "pivot-private.h"

#define FIRST_S 2               /* a pivot takes milliseconds */
#define MOST_S  60

struct _PivotHeld
{
  Operation *operation;
  char      *disk;
  char      *job;
  char      *folder;
  gint64     since_us;          /* monotonic */
  guint      wait_s;            /* before it is told again */
  guint      timer;
};

static void set_timer (PivotHeld *self);

static gint64
seconds_of (const PivotHeld *self)
{
  return (g_get_monotonic_time () - self->since_us) / G_USEC_PER_SEC;
}

/* In the result, as long as it is so. */
static void
show (PivotHeld *self, const char *message)
{
  JsonObject *result = operation_get_result (self->operation);

  if (message != NULL)
    json_object_set_string_member (result, "held", message);
  else
    json_object_remove_member (result, "held");
  g_signal_emit_by_name (self->operation, "changed");
}

static gboolean
on_timer (gpointer user_data)
{
  PivotHeld *self = user_data;
  g_autofree char *message =
    g_strdup_printf ("the guest's writes to disk %s have stood still for %" G_GINT64_FORMAT " s: "
                     "its job %s waits until the disk's name in %s has moved, durably; see to the "
                     "file system there", self->disk, seconds_of (self), self->job, self->folder);

  g_warning ("operation %s of guest %s: %s", operation_get_id (self->operation),
             operation_get_guest (self->operation), message);
  show (self, message);
  self->wait_s = MIN (self->wait_s * 2, MOST_S);
  set_timer (self);
  return G_SOURCE_REMOVE;
}

static void
set_timer (PivotHeld *self)
{
  self->timer = g_timeout_add_seconds_full (G_PRIORITY_HIGH, self->wait_s, on_timer, self, NULL);
}

/**
 * pivot_held_new:
 * @set: pivots
 * @pivot: the one whose job holds the guest's writes from now on
 *
 * Returns: (transfer full): what tells that in the log and in the operation, should it last
 */
PivotHeld *
pivot_held_new (PivotSet *set, const Pivot *pivot)
{
  const char *name = pivot->published != NULL ? pivot->published : pivot->from_path;
  PivotHeld *self = g_new0 (PivotHeld, 1);

  self->operation = g_object_ref (set->operation);
  self->disk = g_strdup (pivot->disk);
  self->job = g_strdup (pivot->job);
  self->folder = g_path_get_dirname (name);
  self->since_us = g_get_monotonic_time ();
  self->wait_s = FIRST_S;
  set_timer (self);
  return self;
}

/**
 * pivot_held_free:
 * @self: (nullable) (transfer full): of a guest whose writes go on, or of which that is not known
 */
void
pivot_held_free (PivotHeld *self)
{
  if (self == NULL)
    return;
  g_source_remove (self->timer);
  if (self->wait_s != FIRST_S)
    {
      g_message ("operation %s of guest %s: disk %s is not waited for any more, after %"
                 G_GINT64_FORMAT " s", operation_get_id (self->operation),
                 operation_get_guest (self->operation), self->disk, seconds_of (self));
      show (self, NULL);
    }
  g_object_unref (self->operation);
  g_free (self->disk);
  g_free (self->job);
  g_free (self->folder);
  g_free (self);
}
