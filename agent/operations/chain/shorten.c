/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which points may go when a chain is kept short: those whose images are in the store, and
 * that are neither pinned nor the newest. */

#include "keep.h"

#include <core/error.h>

#include "../request-members.h"

static const char *const members[] = {
  "disks", "max_chain_length", "speed", "deadline", "on_deadline", "on_error", REQUEST_GIVES_WAY,
  NULL
};

/* --- the request --- */

static gboolean
check (JsonObject *request, GError **error)
{
  g_auto (GStrv) disks = NULL;
  gint64 length, speed;

  return request_names (request, "disks", &disks, error)
         && request_number (request, "max_chain_length", 1, CHAIN_LONGEST, "layers", &length, error)
         && request_number (request, "speed", 0, G_MAXINT64, "bytes a second", &speed, error);
}

static GPtrArray *
choose_disks (JsonObject *request, ChainLook *look, GError **error)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  g_auto (GStrv) names = NULL;

  if (!request_names (request, "disks", &names, error))
    return NULL;
  for (guint i = 0; names == NULL && i < look->inspection->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (look->inspection->disks, i);

      if (disk->skipped == NULL && disk->layers->len > 0)
        g_ptr_array_add (chosen, disk);
    }
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      Disk *disk = disks_find (look->inspection->disks, names[i]);

      if (disk == NULL)
        {
          agent_set_error (error, AGENT_ERROR_NOT_FOUND, "ask for the guest's disks to see them",
                           "the guest has no disk \"%s\"", names[i]);
          return NULL;
        }
      if (!g_ptr_array_find (chosen, disk, NULL))
        g_ptr_array_add (chosen, disk);
    }
  if (chosen->len > 0)
    return g_steal_pointer (&chosen);
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "the guest has no writable disk");
  return NULL;
}

static gboolean
read_length (const ChainAsk *ask, gint64 *length, GError **error)
{
  gint of_guest = guest_get_config (ask->guest)->max_chain_length;

  *length = operations_get_config (ask->operations)->max_chain_length;
  if (of_guest >= 0)
    *length = of_guest;
  if (!request_number (ask->request, "max_chain_length", 1, CHAIN_LONGEST, "layers", length, error))
    return FALSE;
  if (*length > 0)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, "say how many layers it may have (max_chain_length)",
                   "nothing limits the length of this guest's chains");
  return FALSE;
}

/* --- the points --- */

/* The point nearest to what the guest writes: the next backup's parent. */
static Point *
find_uppermost (const ChainAsk *ask, Disk *disk)
{
  for (guint i = 1; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      Point *found = points_find_in (ask->look->points, layer->path, &layer->facts);

      if (found != NULL)
        return found;
    }
  return NULL;
}

static GPtrArray *
points_that_stay (const ChainAsk *ask, Disk *disk)
{
  GPtrArray *points = ask->look->points;
  Point *uppermost = find_uppermost (ask, disk);
  GPtrArray *keep = g_ptr_array_new ();

  for (guint i = 0; i < points->len; i++)
    {
      Point *point = g_ptr_array_index (points, i);

      if (!point_may_be_folded (point) || point == uppermost || i + 1 == points->len)
        g_ptr_array_add (keep, point);
    }
  return keep;
}

/* A point goes as soon as one of its layers is merged with one above it. */
static void
add_merged (const ChainAsk *ask, Disk *disk, const PlannedMove *planned, GPtrArray *forget)
{
  for (guint i = planned->first; i < planned->last; i++)
    {
      g_autoptr (GPtrArray) points =
        chain_look_points_in (ask->look, disk_layer_from_base (disk, i));

      for (guint j = 0; j < points->len; j++)
        {
          char *id = ((Point *) g_ptr_array_index (points, j))->id;

          if (!g_ptr_array_find_with_equal_func (forget, id, g_str_equal, NULL))
            g_ptr_array_add (forget, id);
        }
    }
}

/* --- the plan --- */

typedef struct
{
  const ChainAsk *ask;
  guint           length;
  GPtrArray      *moves;        /* of ChainMove */
  GPtrArray      *forget;       /* of char *: ids of points, which @ask owns */
  JsonArray      *shorter;      /* disks whose chains should be, and why they cannot */
} Shortening;

static void
tell_longer (Shortening *self, Disk *disk, guint length, const GError *reason)
{
  JsonObject *told = json_object_new ();

  json_object_set_string_member (told, "disk", disk->name);
  json_object_set_int_member (told, "length", length);
  json_object_set_string_member (told, "reason", reason->message);
  json_array_add_object_element (self->shorter, told);
}

static GPtrArray *
layers_of (const ChainAsk *ask, Disk *disk)
{
  g_autoptr (GPtrArray) keep = points_that_stay (ask, disk);
  GPtrArray *layers = chain_plan_layers (ask, disk, keep);

  for (guint i = 0; i < layers->len; i++)
    {
      const Layer *layer = disk_layer_from_base (disk, i);

      if (!keep_is_layer_of (disk, layer->path))
        ((PlanLayer *) g_ptr_array_index (layers, i))->fixed = TRUE;
    }
  return layers;
}

static void
shorten_disk (Shortening *self, Disk *disk)
{
  g_autoptr (GPtrArray) layers = layers_of (self->ask, disk);
  g_autoptr (GPtrArray) planned = NULL;
  g_autoptr (GPtrArray) possible = NULL;
  g_autoptr (GError) reason = NULL;
  g_autoptr (GError) refused = NULL;
  guint length = layers->len;

  planned = planner_shorten (layers, self->length, FALSE, &reason);
  if (planned == NULL)
    planned = planner_shorten (layers, self->length, TRUE, NULL);
  possible = keep_possible (self->ask, disk, layers, planned, &refused);
  if (!chain_moves_of_disk (self->ask, disk, possible, self->moves,
                            refused == NULL ? &refused : NULL))
    g_ptr_array_set_size (possible, 0);
  for (guint i = 0; i < possible->len; i++)
    {
      const PlannedMove *move = g_ptr_array_index (possible, i);

      add_merged (self->ask, disk, move, self->forget);
      length -= move->last - move->first;
    }
  if (length > self->length)
    tell_longer (self, disk, length, refused != NULL ? refused : reason);
}

static JsonObject *
plan (const ChainAsk *ask, GError **error)
{
  g_autoptr (GPtrArray) moves = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_move_free);
  g_autoptr (GPtrArray) forget = g_ptr_array_new ();
  g_autoptr (JsonArray) shorter = json_array_new ();
  Shortening self = { ask, 0, moves, forget, shorter };
  JsonObject *result;
  gint64 length;

  if (!read_length (ask, &length, error))
    return NULL;
  self.length = (guint) length;
  for (guint i = 0; i < ask->disks->len; i++)
    shorten_disk (&self, g_ptr_array_index (ask->disks, i));
  g_ptr_array_add (forget, NULL);
  result = chain_moves_plan (ask, moves, (const char *const *) forget->pdata, NULL, error);
  if (result != NULL && json_array_get_length (shorter) > 0)
    json_object_set_array_member (json_object_get_object_member (result, "summary"), "shorter",
                                  g_steal_pointer (&shorter));
  return result;
}

const ChainVerb chain_shorten_verb = {
  .kind = "shorten",
  .members = members,
  .wants_maps = TRUE,
  .check = check,
  .disks = choose_disks,
  .plan = plan,
};
