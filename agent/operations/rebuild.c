/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the order in which a new journal is made:
 *
 *     rows       what can be read of the old one                 core/journal-salvage.c
 *     store      what it has
 *     guests     stray jobs end; graphs, headers                 rebuild-strays.c, rebuild-guests.c
 *     points     those that are proven stay, others come         rebuild-points.c, rebuild-judge.c
 *     images     those that the store confirms                   rebuild-images.c
 *     succeed    the new journal is durable beside the old one   core/journal-rebuild.c
 */

#include <operations/rebuild.h>

#include <core/error.h>

#include "document.h"
#include "rebuild-parts.h"
#include "request-members.h"

/* On the operations, while one is under way, and once it has succeeded. */
#define REBUILDING "qsnapd-rebuilding"

static void
rebuild_free (Rebuild *self)
{
  journal_salvage_free (self->salvage);
  g_clear_pointer (&self->images, g_ptr_array_unref);
  g_clear_pointer (&self->guests, g_ptr_array_unref);
  g_free (self->store);
  g_object_unref (self->operations);
  g_free (self);
}

/* A journal that is whole takes writes again. */
static void
fail (GTask *task, GError *error)
{
  const Rebuild *self = g_task_get_task_data (task);

  g_object_set_data (G_OBJECT (self->operations), REBUILDING, NULL);
  if (self->was_whole)
    journal_refuse (operations_get_journal (self->operations), NULL);
  g_task_return_error (task, error);
}

/* --- the report --- */

static JsonArray *
describe_tables (const Rebuild *self)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < self->salvage->tables->len; i++)
    {
      const SalvagedTable *table = g_ptr_array_index (self->salvage->tables, i);
      JsonObject *object = json_object_new ();

      json_object_set_string_member (object, "table", table->name);
      json_object_set_int_member (object, "rows", table->rows);
      json_object_set_int_member (object, "refused", table->refused);
      json_object_set_boolean_member (object, "whole", table->whole);
      json_array_add_object_element (list, object);
    }
  return list;
}

static JsonArray *
describe_guests (const Rebuild *self)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < self->guests->len; i++)
    {
      const RebuildGuest *guest = g_ptr_array_index (self->guests, i);
      JsonObject *object = json_object_new ();
      JsonArray *remarks = json_array_new ();

      for (guint j = 0; j < guest->remarks->len; j++)
        json_array_add_string_element (remarks, g_ptr_array_index (guest->remarks, j));
      json_object_set_string_member (object, "guest", guest->id);
      document_set_text (object, "looked_at",
                         guest->disks == NULL ? NULL : guest->is_attached ? "graph" : "headers");
      document_set_text (object, "problem", guest->problem);
      json_object_set_array_member (object, "remarks", remarks);
      json_object_set_array_member (object, "points", json_array_ref (guest->points));
      json_object_set_array_member (object, "lost", json_array_ref (guest->lost));
      json_array_add_object_element (list, object);
    }
  return list;
}

static JsonNode *
describe (const Rebuild *self, const char *kept)
{
  JsonObject *object = json_object_new ();

  document_set_text (object, "kept", kept);
  document_set_text (object, "problem", self->salvage->problem);
  json_object_set_boolean_member (object, "newest", self->salvage->log_whole);
  json_object_set_array_member (object, "tables", describe_tables (self));
  json_object_set_array_member (object, "guests", describe_guests (self));
  json_object_set_int_member (object, "images", self->n_images);
  return json_node_init_object (json_node_alloc (), object);
}

/* --- the end --- */

static gboolean
tell_rebuilt (gpointer user_data)
{
  g_signal_emit_by_name (user_data, "journal-rebuilt");
  return G_SOURCE_REMOVE;
}

/* Whether points of its may be lost for good, as it cannot be looked at now. */
static gboolean
is_missed (const Rebuild *self, const RebuildGuest *guest)
{
  return guest->disks == NULL && (guest->n_unseen > 0
                                  || (guest->guest != NULL && rebuild_may_find (self)));
}

static gboolean
check_guests (const Rebuild *self, GError **error)
{
  for (guint i = 0; i < self->guests->len && !self->force; i++)
    {
      const RebuildGuest *guest = g_ptr_array_index (self->guests, i);

      if (!is_missed (self, guest))
        continue;
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE,
                       "see to it that the guest can be looked at, or force it: its points are "
                       "lost then", "guest %s cannot be looked at: %s", guest->id, guest->problem);
      return FALSE;
    }
  return TRUE;
}

static void
on_made (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Rebuild *self = g_task_get_task_data (task);
  Journal *journal = operations_get_journal (self->operations);
  g_autofree char *kept = NULL;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error) || !check_guests (self, &error)
      || !journal_succeed (journal, self->content, &kept, &error))
    {
      fail (task, error);
      return;
    }
  g_message ("the journal was rebuilt; %s is kept", kept);
  g_task_return_pointer (task, describe (self, kept), (GDestroyNotify) json_node_unref);
  /* The answer goes out first. */
  g_idle_add_full (G_PRIORITY_LOW, tell_rebuilt, g_object_ref (self->operations), g_object_unref);
}

/* --- the middle --- */

static gboolean
make_guest (Rebuild *self, RebuildGuest *guest, GError **error)
{
  return rebuild_images_find (self, guest, error) && rebuild_points_find (self, guest, error);
}

static gboolean
make_all (Rebuild *self, GError **error)
{
  if (!rebuild_images_check (self, error))
    return FALSE;
  for (guint i = 0; i < self->guests->len; i++)
    {
      if (!rebuild_points_check (self, g_ptr_array_index (self->guests, i), error))
        return FALSE;
    }
  if (!rebuild_images_unbind (self, error))
    return FALSE;
  for (guint i = 0; i < self->guests->len; i++)
    {
      if (!make_guest (self, g_ptr_array_index (self->guests, i), error))
        return FALSE;
    }
  return TRUE;
}

static void
make_in_thread (GTask *making, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Rebuild *self = task_data;
  GError *error = NULL;

  rebuild_guests_read (self);
  if (journal_begin (self->content, &error))
    {
      if (make_all (self, &error) && journal_commit (self->content, &error))
        {
          g_task_return_boolean (making, TRUE);
          return;
        }
      journal_rollback (self->content);
    }
  g_task_return_error (making, error);
}

static void
on_guests (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GTask) making = g_task_new (NULL, NULL, on_made, g_object_ref (task));

  rebuild_guests_finish (result);
  g_task_set_task_data (making, g_task_get_task_data (task), NULL);
  g_task_run_in_thread (making, make_in_thread);
}

/* An operation that is taken up must be where its row says: not at one that has ended since, nor at
 * one of which steps are missing. */
static gboolean
give_up_operations (Rebuild *self, GError **error)
{
  const SalvagedTable *steps = journal_salvage_find_table (self->salvage, "steps");

  if (self->salvage->log_whole && steps != NULL && steps->whole && steps->refused == 0)
    return TRUE;
  return journal_write (self->content, error,
                        "UPDATE operations SET state = 'failed', finished_us = ?,"
                        " error_word = 'damaged', error_message = ?, error_hint = ?"
                        " WHERE state IN ('queued', 'running')", "iss", g_get_real_time (),
                        "the journal was damaged: what has become of this operation is not known",
                        "see whether the guest runs and is not frozen");
}

static void
on_images (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Rebuild *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->images = image_store_list_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (self->images == NULL && !self->force)
    {
      fail (task, agent_error_new (AGENT_ERROR_UNAVAILABLE, "see to it that the store answers, or "
                                   "force it: no image is counted on then, and the next backups "
                                   "send their layers anew",
                                   "the store cannot be asked for its images: %s", error->message));
      g_error_free (error);
      return;
    }
  g_clear_error (&error);
  self->guests = rebuild_guests_list (self, &error);
  if (self->guests == NULL || !give_up_operations (self, &error))
    fail (task, error);
  else
    rebuild_guests_async (self, on_guests, g_object_ref (task));
}

/* --- the beginning --- */

static void
ask_store (GTask *task)
{
  Rebuild *self = g_task_get_task_data (task);

  self->content = self->salvage->content;
  image_store_list_async (operations_get_store (self->operations), NULL, on_images,
                          g_object_ref (task));
}

static void
on_salvaged (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Rebuild *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->salvage = g_task_propagate_pointer (G_TASK (result), &error);
  if (self->salvage == NULL)
    fail (task, error);
  else
    ask_store (task);
}

static void
return_salvage (GTask *salvaging, JournalSalvage *salvage, GError *error)
{
  if (salvage == NULL)
    g_task_return_error (salvaging, error);
  else
    g_task_return_pointer (salvaging, salvage, (GDestroyNotify) journal_salvage_free);
}

static void
salvage_file_in_thread (GTask *salvaging, gpointer source, gpointer path, GCancellable *cancellable)
{
  GError *error = NULL;
  JournalSalvage *salvage = journal_salvage (path, &error);

  return_salvage (salvaging, salvage, error);
}

static void
salvage_bytes_in_thread (GTask *salvaging, gpointer source, gpointer bytes,
                         GCancellable *cancellable)
{
  GError *error = NULL;
  JournalSalvage *salvage = journal_salvage_bytes (bytes, NULL, &error);

  return_salvage (salvaging, salvage, error);
}

/* Nobody has a damaged file open; one that is whole is the journal's. */
static void
salvage (GTask *task)
{
  const Rebuild *self = g_task_get_task_data (task);
  Journal *journal = operations_get_journal (self->operations);
  g_autoptr (GTask) salvaging = g_task_new (NULL, NULL, on_salvaged, g_object_ref (task));
  GError *error = NULL;
  GBytes *bytes;

  if (!self->was_whole)
    {
      g_task_set_task_data (salvaging, g_strdup (journal_get_path (journal)), g_free);
      g_task_run_in_thread (salvaging, salvage_file_in_thread);
      return;
    }
  bytes = journal_dup_bytes (journal, &error);
  if (bytes == NULL)
    {
      g_task_return_error (salvaging, error);
      return;
    }
  g_task_set_task_data (salvaging, bytes, (GDestroyNotify) g_bytes_unref);
  g_task_run_in_thread (salvaging, salvage_bytes_in_thread);
}

static gboolean
check_request (Operations *self, JsonObject *request, gboolean *force, GError **error)
{
  static const char *const members[] = { "force", NULL };

  if (!request_has_only (request, members, error) || !request_flag (request, "force", force, error))
    return FALSE;
  if (g_object_get_data (G_OBJECT (self), REBUILDING) != NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "wait for it", "the journal is being rebuilt");
  else if (journal_get_damage (operations_get_journal (self)) != NULL)
    return TRUE;
  else if (!*force)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "force it when it knows too little",
                     "the journal is whole");
  else if (!engine_is_idle (operations_get_engine (self)))
    agent_set_error (error, AGENT_ERROR_CONFLICT, "wait until they have ended, or cancel them",
                     "operations are under way");
  else
    return TRUE;
  return FALSE;
}

/**
 * operations_rebuild_journal_async:
 * @self: the operations
 * @request: {"force": boolean}
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Makes a new journal. Nobody else changes anything meanwhile.
 */
void
operations_rebuild_journal_async (Operations *self, JsonObject *request, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Journal *journal = operations_get_journal (self);
  Rebuild *rebuild;
  gboolean force = FALSE;
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  if (!check_request (self, request, &force, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  rebuild = g_new0 (Rebuild, 1);
  rebuild->operations = g_object_ref (self);
  rebuild->force = force;
  rebuild->was_whole = journal_get_damage (journal) == NULL;
  rebuild->store = g_strdup (image_store_get_name (operations_get_store (self)));
  g_task_set_task_data (task, rebuild, (GDestroyNotify) rebuild_free);
  g_object_set_data (G_OBJECT (self), REBUILDING, self);
  if (rebuild->was_whole)
    journal_refuse (journal, agent_error_new (AGENT_ERROR_DAMAGED, "try again in a moment",
                                              "the journal is being rebuilt"));
  salvage (task);
}

/**
 * operations_rebuild_journal_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR CONFLICT, UNAVAILABLE, INVALID, NO_SPACE, INTERNAL
 *
 * Returns: (transfer full): what has become of it, an object; %NULL: nothing has changed
 */
JsonNode *
operations_rebuild_journal_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
