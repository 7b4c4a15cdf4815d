/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what an operation must find free before it begins. */

#include "room.h"

#include <disk/space.h>

#define ROOM         "room"
#define MIB          ((gint64) 1 << 20)
#define JOURNAL_ROOM MIB        /* all that one operation writes there, and then some */
#define OVERLAY_ROOM (MIB / 4)  /* of an empty one of up to 32 TiB */

typedef struct
{
  GPtrArray *paths;             /* of char * */
  GArray    *bytes;             /* of gint64, beside @paths */
  gint64     reserve;
  GPtrArray *needs;             /* of SpaceNeed */
} Check;

static void
check_free (Check *self)
{
  g_ptr_array_unref (self->paths);
  g_array_unref (self->bytes);
  g_ptr_array_unref (self->needs);
  g_free (self);
}

/**
 * room_need:
 * @plan: the plan of an operation
 * @path: a file that will grow, or be made
 * @bytes: by how much, at most
 */
void
room_need (JsonObject *plan, const char *path, gint64 bytes)
{
  JsonObject *need = json_object_new ();

  if (!json_object_has_member (plan, ROOM))
    json_object_set_array_member (plan, ROOM, json_array_new ());
  json_object_set_string_member (need, "path", path);
  json_object_set_int_member (need, "bytes", bytes);
  json_array_add_object_element (json_object_get_array_member (plan, ROOM), need);
}

/**
 * room_of_overlay:
 * @virtual_size: bytes
 *
 * Returns: bytes that an empty overlay of that size takes: a header, and tables that say that there
 *   is nothing
 */
gint64
room_of_overlay (gint64 virtual_size)
{
  /* Eight bytes of the first table lead to 512 MiB of data. */
  return OVERLAY_ROOM + virtual_size / (64 * MIB);
}

/**
 * room_reserve:
 * @config: the configuration
 * @kind: of an operation
 *
 * Returns: bytes that must stay free while it works
 */
gint64
room_reserve (const Config *config, const char *kind)
{
  static const char *const givers[] = { "commit", "delete", "shorten", NULL };

  return g_strv_contains (givers, kind) ? 0 : (gint64) MIN (config->reserve, G_MAXINT64);
}

/* --- the look --- */

static void
add_path (Check *self, const char *path, gint64 bytes)
{
  g_ptr_array_add (self->paths, g_strdup (path));
  g_array_append_val (self->bytes, bytes);
}

static Check *
check_new (Operations *operations, const char *kind, JsonObject *plan)
{
  const Config *config = operations_get_config (operations);
  JsonArray *list = json_object_has_member (plan, ROOM) ? json_object_get_array_member (plan, ROOM)
                                                        : NULL;
  Check *self = g_new0 (Check, 1);

  self->paths = g_ptr_array_new_with_free_func (g_free);
  self->bytes = g_array_new (FALSE, FALSE, sizeof (gint64));
  self->needs = g_ptr_array_new_with_free_func ((GDestroyNotify) space_need_free);
  self->reserve = room_reserve (config, kind);
  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      JsonObject *need = json_array_get_object_element (list, i);

      add_path (self, json_object_get_string_member (need, "path"),
                json_object_get_int_member (need, "bytes"));
    }
  add_path (self, config->state_folder, JOURNAL_ROOM);
  return self;
}

static void
check_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Check *self = task_data;
  GError *error = NULL;

  for (guint i = 0; i < self->paths->len && error == NULL; i++)
    {
      /* A folder that is not there is a matter of who wants to write to it. */
      if (!space_add (self->needs, g_ptr_array_index (self->paths, i),
                      g_array_index (self->bytes, gint64, i), &error))
        g_clear_error (&error);
    }
  if (space_check (self->needs, self->reserve, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * room_check_async:
 * @operations: the operations
 * @kind: of the operation that is about to be
 * @plan: its plan
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 */
void
room_check_async (Operations *operations, const char *kind, JsonObject *plan,
                  GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (operations, cancellable, callback, user_data);

  g_task_set_task_data (task, check_new (operations, kind, plan), (GDestroyNotify) check_free);
  if (operations_get_config (operations)->reserve == 0)
    g_task_return_boolean (task, TRUE);
  else
    g_task_run_in_thread (task, check_in_thread);
}

static JsonNode *
tell (const Check *self)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < self->needs->len; i++)
    {
      const SpaceNeed *need = g_ptr_array_index (self->needs, i);
      JsonObject *told = json_object_new ();

      json_object_set_string_member (told, "folder", need->folder);
      json_object_set_int_member (told, "need", need->need);
      json_object_set_int_member (told, "left", need->left);
      json_object_set_int_member (told, "reserve", self->reserve);
      json_array_add_object_element (list, told);
    }
  json_node_take_array (node, list);
  return node;
}

/**
 * room_check_finish:
 * @result: the result
 * @told: (out) (optional) (nullable) (transfer full): what is needed and what is left, an object
 *   for each file system; %NULL where nobody has looked
 * @error: return location: AGENT_ERROR_NO_SPACE
 *
 * Returns: whether there is room
 */
gboolean
room_check_finish (GAsyncResult *result, JsonNode **told, GError **error)
{
  const Check *self = g_task_get_task_data (G_TASK (result));
  gboolean has_room = g_task_propagate_boolean (G_TASK (result), error);

  if (told != NULL)
    *told = has_room && self->needs->len > 0 ? tell (self) : NULL;
  return has_room;
}
