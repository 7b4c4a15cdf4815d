/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the steps of an operation of moves work on, how the journal keeps it, and what people
 * are told of each move. */

#include "moves.h"

#include "../fields.h"

MovesJob *
moves_job_new (void)
{
  MovesJob *self = g_new0 (MovesJob, 1);

  self->moves = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_move_free);
  self->remove = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  return self;
}

void
moves_job_free (MovesJob *self)
{
  for (guint i = 0; self->fates != NULL && i < self->moves->len; i++)
    g_clear_error (&self->fates[i].failure);
  g_free (self->fates);
  pivot_set_clear (&self->pivots);
  g_clear_object (&self->called_off);
  g_ptr_array_unref (self->moves);
  g_ptr_array_unref (self->remove);
  g_strfreev (self->forget);
  g_free (self->on_error);
  g_free (self->boot_id);
  g_clear_object (&self->guest);
  g_clear_object (&self->operations);
  g_clear_object (&self->operation);
  g_free (self);
}

/* --- the plan --- */

static JsonArray *
list_moves (GPtrArray *moves)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < moves->len; i++)
    json_array_add_element (list, chain_move_to_json (g_ptr_array_index (moves, i)));
  return list;
}

static JsonArray *
list_files (GPtrArray *files)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < files->len; i++)
    json_array_add_element (list, chain_file_to_json (g_ptr_array_index (files, i)));
  return list;
}

static JsonArray *
list_texts (char **texts)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; texts != NULL && texts[i] != NULL; i++)
    json_array_add_string_element (list, texts[i]);
  return list;
}

/**
 * moves_job_save:
 * @self: a job
 * @plan: (inout): the operation's plan
 */
void
moves_job_save (const MovesJob *self, JsonObject *plan)
{
  json_object_set_array_member (plan, "moves", list_moves (self->moves));
  json_object_set_array_member (plan, "forget", list_texts (self->forget));
  json_object_set_array_member (plan, "remove", list_files (self->remove));
  json_object_set_string_member (plan, "on_error", self->on_error);
  json_object_set_int_member (plan, "pid", self->pivots.peer.pid);
  json_object_set_int_member (plan, "start_time", self->pivots.peer.start_time);
  if (self->boot_id != NULL)
    json_object_set_string_member (plan, "boot_id", self->boot_id);
  pivot_set_save (&self->pivots, plan);
}

static gboolean
load_moves (JsonObject *plan, GPtrArray *moves, GError **error)
{
  JsonArray *list = fields_get_array (plan, "moves", error);

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      ChainMove *move = chain_move_from_json (json_array_get_element (list, i), error);

      if (move == NULL)
        return FALSE;
      g_ptr_array_add (moves, move);
    }
  return list != NULL;
}

static gboolean
load_files (JsonObject *plan, GPtrArray *files, GError **error)
{
  JsonArray *list = fields_get_array (plan, "remove", error);

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      ChainFile *file = chain_file_from_json (json_array_get_element (list, i), error);

      if (file == NULL)
        return FALSE;
      g_ptr_array_add (files, file);
    }
  return list != NULL;
}

static gboolean
load_texts (JsonObject *plan, char ***texts, GError **error)
{
  JsonArray *list = fields_get_array (plan, "forget", error);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      JsonNode *node = json_array_get_element (list, i);

      if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING)
        g_strv_builder_add (builder, json_node_get_string (node));
    }
  *texts = g_strv_builder_end (builder);
  return list != NULL;
}

/**
 * moves_job_load:
 * @self: a new job
 * @plan: what moves_job_save() has written to
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: whether the plan is whole
 */
gboolean
moves_job_load (MovesJob *self, JsonObject *plan, GError **error)
{
  const Peer peer = {
    .guest = self->guest,
    .pid = json_object_get_int_member_with_default (plan, "pid", 0),
    .start_time = json_object_get_int_member_with_default (plan, "start_time", 0),
  };

  pivot_set_init (&self->pivots, self->operation, &peer);
  self->on_error = g_strdup (json_object_get_string_member_with_default (plan, "on_error",
                                                                         "report"));
  self->boot_id = g_strdup (json_object_get_string_member_with_default (plan, "boot_id", NULL));
  if (!load_moves (plan, self->moves, error) || !load_files (plan, self->remove, error)
      || !load_texts (plan, &self->forget, error)
      || !pivot_set_load (&self->pivots, plan, error))
    return FALSE;
  self->fates = g_new0 (MoveFate, self->moves->len);
  return TRUE;
}

/* --- what a move has come to --- */

/**
 * moves_job_id:
 * @self: a job
 * @index: one of its moves
 *
 * Returns: (transfer full): the id of its job in QEMU
 */
char *
moves_job_id (const MovesJob *self, guint index)
{
  return snapshot_node_name (operation_get_id (self->operation), index, CHAIN_MOVE_JOB);
}

/**
 * moves_job_shares_above:
 * @self: a job
 * @index: one of its moves
 *
 * What it leaves above may be merged by another move: that one then cares for the file, which may
 * show something else afterwards, or be gone.
 *
 * Returns: whether that is so
 */
gboolean
moves_job_shares_above (const MovesJob *self, guint index)
{
  const ChainFile *above = ((ChainMove *) g_ptr_array_index (self->moves, index))->above;

  for (guint i = 0; above != NULL && i < self->moves->len; i++)
    {
      const ChainMove *other = g_ptr_array_index (self->moves, i);

      for (guint j = 0; i != index && j + 1 < other->files->len; j++)
        {
          const ChainFile *file = g_ptr_array_index (other->files, j);

          if (file->dev == above->dev && file->ino == above->ino)
            return TRUE;
        }
    }
  return FALSE;
}

gboolean
moves_job_is_over (const MovesJob *self)
{
  if (operation_get_error (self->operation) != NULL
      || g_cancellable_is_cancelled (operation_get_cancellable (self->operation)))
    return TRUE;
  for (guint i = 0; i < self->moves->len; i++)
    if (self->fates[i].failure != NULL)
      return TRUE;
  return FALSE;
}

JsonObject *
moves_job_told (const MovesJob *self, guint index)
{
  JsonNode *node = json_object_get_member (operation_get_result (self->operation), "moves");
  JsonArray *list = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node)
                                                                 : NULL;

  return list != NULL && index < json_array_get_length (list)
         ? json_array_get_object_element (list, index) : NULL;
}

void
moves_job_fail (MovesJob *self, guint index, GError *reason)
{
  JsonObject *told = moves_job_told (self, index);
  MoveFate *fate = &self->fates[index];

  g_message ("operation %s: move %u is not done: %s", operation_get_id (self->operation), index,
             reason->message);
  if (told != NULL)
    json_object_set_string_member (told, "failed", reason->message);
  if (fate->failure == NULL)
    fate->failure = reason;
  else
    g_error_free (reason);
}

void
moves_job_merged (MovesJob *self, guint index)
{
  ChainMove *move = g_ptr_array_index (self->moves, index);
  JsonObject *told = moves_job_told (self, index);

  self->fates[index].merged = TRUE;
  if (told == NULL)
    return;
  json_object_remove_member (told, "failed");
  json_object_remove_member (told, "waits");
  json_object_set_int_member (told, "moved", move->moved);
}
