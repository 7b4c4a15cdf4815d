/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the images that are to be deleted once the store can be asked: an operation need not hold
 * its disks until then. Tried now and then, less and less often; one that the store will not let go
 * keeps no other from going. */

#include "unwanted-images.h"

#include <core/error.h>

#include "image-records.h"
#include "image-removal.h"

#define FIRST_MS   (5 * 1000)
#define LONGEST_MS (5 * 60 * 1000)

struct _UnwantedImages
{
  Operations   *operations;     /* (unowned) */
  GCancellable *ended;
  GStrv         ids;            /* (nullable): of the round under way */
  guint         next;           /* of these */
  gboolean      left;           /* one of these at least could not be deleted */
  guint         timer;
  guint         wait_ms;        /* before the next round */
};

/* A deletion under way: it may end after the list has gone. */
typedef struct
{
  UnwantedImages *list;         /* (unowned): gone once it is @ended */
  GCancellable   *ended;
  char           *image;
} Deletion;

static void delete_next (UnwantedImages *self);
static void end_round (UnwantedImages *self);

static void
deletion_free (Deletion *self)
{
  g_object_unref (self->ended);
  g_free (self->image);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Deletion, deletion_free)

static void
on_id (JournalRow *row, gpointer user_data)
{
  g_strv_builder_add (user_data, journal_row_text (row, 0));
}

/* (transfer full): those of the store that we have now, oldest first */
static GStrv
list_ids (UnwantedImages *self, GError **error)
{
  const char *store = image_store_get_name (operations_get_store (self->operations));
  g_autoptr (GStrvBuilder) ids = g_strv_builder_new ();

  if (!journal_read (operations_get_journal (self->operations), on_id, ids, error,
                     "SELECT id FROM unwanted_images WHERE store = ? ORDER BY since_us, id", "s",
                     store))
    return NULL;
  return g_strv_builder_end (ids);
}

static gboolean
on_timer (gpointer user_data)
{
  UnwantedImages *self = user_data;
  g_autoptr (GError) error = NULL;

  self->timer = 0;
  self->ids = list_ids (self, &error);
  self->next = 0;
  self->left = self->ids == NULL;
  if (self->ids != NULL)
    {
      delete_next (self);
      return G_SOURCE_REMOVE;
    }
  g_warning ("images that are to be deleted stay for now: %s", error->message);
  end_round (self);
  return G_SOURCE_REMOVE;
}

/* A quarter is left to chance: others may wait for the same store. */
static void
set_timer (UnwantedImages *self)
{
  guint chance = self->wait_ms / 4;

  self->timer = g_timeout_add (self->wait_ms - chance
                                 + (guint) g_random_int_range (0, (gint32) chance + 1),
                               on_timer, self);
}

static void
end_round (UnwantedImages *self)
{
  g_clear_pointer (&self->ids, g_strfreev);
  if (!self->left)
    return;
  self->wait_ms = MIN (self->wait_ms * 2, LONGEST_MS);
  set_timer (self);
}

/* Whether the next one would fare no better. */
static gboolean
is_away (const GError *error)
{
  return g_error_matches (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE)
         || g_error_matches (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT)
         || g_error_matches (error, AGENT_ERROR, AGENT_ERROR_UNAUTHORIZED);
}

static void
on_deleted (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Deletion) deletion = user_data;
  UnwantedImages *self = deletion->list;
  g_autoptr (GError) error = NULL;
  gboolean deleted = image_store_remove_finish (AGENT_IMAGE_STORE (source), result, &error);

  if (g_cancellable_is_cancelled (deletion->ended))
    return;
  if (deleted
      && journal_write (operations_get_journal (self->operations), &error,
                        "DELETE FROM unwanted_images WHERE id = ?", "s", deletion->image))
    {
      g_message ("image %s, which a failed operation had left in the store, is deleted",
                 deletion->image);
      self->wait_ms = FIRST_MS;
    }
  else
    {
      g_debug ("image %s is not deleted yet: %s", deletion->image, error->message);
      self->left = TRUE;
    }
  if (is_away (error))
    end_round (self);
  else
    delete_next (self);
}

/* One that is needed after all: we died before the operation that gave it up had written that down,
 * and it goes on with the same one. */
static void
pass_over_needed (UnwantedImages *self)
{
  for (; self->ids[self->next] != NULL
         && image_removal_find_user (self->operations, self->ids[self->next]) != NULL; self->next++)
    self->left = TRUE;
}

static void
delete_next (UnwantedImages *self)
{
  Deletion *deletion;

  pass_over_needed (self);
  if (self->ids[self->next] == NULL)
    {
      end_round (self);
      return;
    }
  deletion = g_new0 (Deletion, 1);
  deletion->list = self;
  deletion->ended = g_object_ref (self->ended);
  deletion->image = g_strdup (self->ids[self->next++]);
  image_removal_begin (self->operations, deletion->image);
  image_store_remove_async (operations_get_store (self->operations), deletion->image, self->ended,
                            on_deleted, deletion);
}

/**
 * unwanted_images_new:
 * @operations: (unowned): the operations, which outlive the list
 *
 * Returns: (transfer full): the list, which begins with what the journal has
 */
UnwantedImages *
unwanted_images_new (Operations *operations)
{
  UnwantedImages *self = g_new0 (UnwantedImages, 1);

  self->operations = operations;
  self->ended = g_cancellable_new ();
  self->wait_ms = FIRST_MS;
  self->timer = g_idle_add (on_timer, self);
  return self;
}

/**
 * unwanted_images_free:
 * @self: (transfer full): the list; what it has not done yet is done after the next start
 */
void
unwanted_images_free (UnwantedImages *self)
{
  g_cancellable_cancel (self->ended);
  g_clear_handle_id (&self->timer, g_source_remove);
  g_strfreev (self->ids);
  g_object_unref (self->ended);
  g_free (self);
}

static gboolean
write_down (Operations *operations, const char *image, const char *operation, const char *why,
            GError **error)
{
  Journal *journal = operations_get_journal (operations);
  const char *store = image_store_get_name (operations_get_store (operations));

  return journal_write (journal, error,
                        "INSERT OR REPLACE INTO unwanted_images"
                        " (id, store, operation, why, since_us)"
                        " VALUES (?, ?, ?, ?, ?)", "ssssi", image, store, operation, why,
                        g_get_real_time ())
         && image_records_remove (journal, image, error);
}

/**
 * unwanted_images_add:
 * @self: the list
 * @image: an image's id
 * @operation: the id of the operation that has made it
 * @why: (nullable): why it could not be deleted yet
 * @error: return location
 *
 * Returns: whether it is written down, so that the image will go
 */
gboolean
unwanted_images_add (UnwantedImages *self, const char *image, const char *operation,
                     const GError *why, GError **error)
{
  if (!write_down (self->operations, image, operation,
                   why != NULL ? why->message : "it cannot be used", error))
    return FALSE;
  if (why != NULL)
    g_warning ("image %s of operation %s stays in the store for now, and is deleted when that can "
               "be done: %s", image, operation, why->message);
  self->wait_ms = FIRST_MS;
  if (self->ids != NULL)
    {
      self->left = TRUE;
      return TRUE;
    }
  g_clear_handle_id (&self->timer, g_source_remove);
  set_timer (self);
  return TRUE;
}

/**
 * unwanted_images_forget:
 * @journal: the journal
 * @image: the id of an image that is whole
 * @error: return location
 *
 * Returns: whether it is written down that the image stays
 */
gboolean
unwanted_images_forget (Journal *journal, const char *image, GError **error)
{
  return journal_write (journal, error, "DELETE FROM unwanted_images WHERE id = ?", "s", image);
}
