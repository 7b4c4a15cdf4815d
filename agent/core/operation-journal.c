/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how operations and their steps are kept in the journal. */

#include "operation-private.h"

#include <core/error.h>

static JsonNode *
object_node (JsonObject *object)
{
  return json_node_init_object (json_node_alloc (), object);
}

static JsonNode *
disks_node (char **disks)
{
  g_autoptr (JsonArray) array = json_array_new ();

  if (disks == NULL)
    return NULL;

  for (guint i = 0; disks[i] != NULL; i++)
    json_array_add_string_element (array, disks[i]);

  return json_node_init_array (json_node_alloc (), array);
}

static gboolean
is_announced (GArray *announced,
              guint   position)
{
  for (guint i = 0; announced != NULL && i < announced->len; i++)
    {
      if (g_array_index (announced, guint, i) == position)
        return TRUE;
    }

  return FALSE;
}

static gboolean
write_steps (Operation  *self,
             Journal    *journal,
             GArray     *announced,
             GError    **error)
{
  gint64 now = g_get_real_time ();

  for (guint i = 0; i < self->steps->len; i++)
    {
      StepRecord *record = operation_get_record (self, i);
      gboolean begins = is_announced (announced, i);
      gint64 begun_us = begins && record->begun_us == 0 ? now : record->begun_us;

      if (!begins && !record->changed)
        continue;

      if (!journal_write (journal, error,
                          "INSERT INTO steps (operation, position, name, state, begun_us,"
                          " ended_us, error) VALUES (?, ?, ?, ?, ?, ?, ?)"
                          " ON CONFLICT (operation, name) DO UPDATE SET"
                          " position = excluded.position, state = excluded.state,"
                          " begun_us = excluded.begun_us, ended_us = excluded.ended_us,"
                          " error = excluded.error",
                          "sissiis", self->id, (gint64) i, record->name,
                          step_state_to_string (begins ? STEP_BEGUN : record->state),
                          begun_us, begins ? (gint64) 0 : record->ended_us,
                          begins ? NULL : record->error))
        return FALSE;
    }

  return TRUE;
}

/* Writes a new operation; its steps follow with operation_update(). */
gboolean
operation_insert (Operation  *self,
                  Journal    *journal,
                  GError    **error)
{
  g_autoptr (JsonNode) disks = disks_node (self->disks);
  g_autoptr (JsonNode) request = object_node (self->request);
  g_autoptr (JsonNode) plan = object_node (self->plan);
  g_autoptr (JsonNode) result = object_node (self->result);

  return journal_write (journal, error,
                        "INSERT INTO operations (id, kind, guest, disks, state, request, plan,"
                        " result, idempotency_key, created_us)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        "sssjsjjjsi", self->id, self->kind, self->guest, disks,
                        operation_state_to_string (self->state), request, plan, result,
                        self->idempotency_key, self->created_us);
}

/* Writes what has changed since the last time, and that the operation is in @state now. */
gboolean
operation_update (Operation       *self,
                  Journal         *journal,
                  OperationState   state,
                  gint64           finished_us,
                  GArray          *announced,
                  GError         **error)
{
  g_autoptr (JsonNode) plan = object_node (self->plan);
  g_autoptr (JsonNode) result = object_node (self->result);

  return journal_write (journal, error,
                        "UPDATE operations SET state = ?, plan = ?, result = ?, error_word = ?,"
                        " error_message = ?, error_hint = ?, started_us = ?, finished_us = ?"
                        " WHERE id = ?",
                        "sjjsssiis", operation_state_to_string (state), plan, result,
                        self->error != NULL ? agent_error_to_word (self->error) : NULL,
                        self->error != NULL ? self->error->message : NULL,
                        self->error != NULL ? agent_error_get_hint (self->error) : NULL,
                        self->started_us, finished_us, self->id) &&
         write_steps (self, journal, announced, error);
}

gboolean
operation_update_plan (Operation  *self,
                       Journal    *journal,
                       GError    **error)
{
  g_autoptr (JsonNode) plan = object_node (self->plan);

  return journal_write (journal, error, "UPDATE operations SET plan = ? WHERE id = ?", "js", plan,
                        self->id);
}

/* To be called when the transaction with operation_update() is durable. */
void
operation_written (Operation      *self,
                   OperationState  state,
                   gint64          finished_us,
                   GArray         *announced)
{
  self->state = state;
  self->finished_us = finished_us;

  for (guint i = 0; i < self->steps->len; i++)
    {
      /* What was announced is there as begun: whatever becomes of it has to be written again. */
      operation_get_record (self, i)->changed = is_announced (announced, i);
    }
}

static char **
disks_from_json (JsonNode *node)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  JsonArray *array;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return NULL;

  array = json_node_get_array (node);

  for (guint i = 0; i < json_array_get_length (array); i++)
    g_strv_builder_add (builder, json_array_get_string_element (array, i));

  return g_strv_builder_end (builder);
}

static void
take_object (JsonObject **field,
             JsonNode    *node)
{
  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    {
      json_object_unref (*field);
      *field = json_node_dup_object (node);
    }
}

static void
take_operation (JournalRow *row,
                gpointer    user_data)
{
  g_autoptr (Operation) self = operation_new (journal_row_text (row, 0),
                                              journal_row_text (row, 1),
                                              journal_row_text (row, 2));
  g_autoptr (JsonNode) disks = journal_row_json (row, 3);
  g_autoptr (JsonNode) request = journal_row_json (row, 5);
  g_autoptr (JsonNode) plan = journal_row_json (row, 6);
  g_autoptr (JsonNode) result = journal_row_json (row, 7);

  self->disks = disks_from_json (disks);

  if (!operation_state_from_string (journal_row_text (row, 4), &self->state))
    self->state = OPERATION_RUNNING;

  take_object (&self->request, request);
  take_object (&self->plan, plan);
  take_object (&self->result, result);

  if (journal_row_text (row, 8) != NULL)
    self->error = agent_error_from_word (journal_row_text (row, 8), journal_row_text (row, 9),
                                         journal_row_text (row, 10));

  self->idempotency_key = g_strdup (journal_row_text (row, 11));
  self->created_us = journal_row_int64 (row, 12);
  self->started_us = journal_row_int64 (row, 13);
  self->finished_us = journal_row_int64 (row, 14);

  g_ptr_array_add (user_data, g_steal_pointer (&self));
}

static void
take_step (JournalRow *row,
           gpointer    user_data)
{
  Operation *self = user_data;
  StepRecord *record = operation_add_step (self, journal_row_text (row, 0));

  record->state = step_state_from_string (journal_row_text (row, 1));
  record->begun_us = journal_row_int64 (row, 2);
  record->ended_us = journal_row_int64 (row, 3);
  record->error = g_strdup (journal_row_text (row, 4));

  if (record->begun_us != 0)
    self->step = (int) self->steps->len - 1;
}

GPtrArray *
operations_load (Journal  *journal,
                 GError  **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (g_object_unref);

  if (!journal_read (journal, take_operation, all, error,
                     "SELECT id, kind, guest, disks, state, request, plan, result, error_word,"
                     " error_message, error_hint, idempotency_key, created_us, started_us,"
                     " finished_us FROM operations ORDER BY created_us, rowid", ""))
    return NULL;

  for (guint i = 0; i < all->len; i++)
    {
      Operation *self = g_ptr_array_index (all, i);

      if (!journal_read (journal, take_step, self, error,
                         "SELECT name, state, begun_us, ended_us, error FROM steps"
                         " WHERE operation = ? ORDER BY position", "s", self->id))
        return NULL;
    }

  return g_steal_pointer (&all);
}

/* Forgets all finished operations but the newest @n_kept. */
gboolean
operations_prune (Journal  *journal,
                  guint     n_kept,
                  GError  **error)
{
  return journal_write (journal, error,
                        "DELETE FROM operations WHERE id IN (SELECT id FROM operations"
                        " WHERE finished_us > 0 ORDER BY created_us DESC, rowid DESC"
                        " LIMIT -1 OFFSET ?)", "i", (gint64) n_kept);
}
