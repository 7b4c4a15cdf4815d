/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a point goes so that all others stay what they are: what only it showed is merged away,
 * and files that nobody needs any more go. */

#include "delete.h"

#include <core/error.h>

#include "../request-members.h"

static const char *const members[] = {
  "point", "disks", "speed", "deadline", "on_deadline", "on_error", NULL
};

/* --- the request --- */

static gboolean
check (JsonObject *request, GError **error)
{
  g_autofree char *point = NULL;
  g_auto (GStrv) disks = NULL;
  gint64 speed;

  if (!request_text (request, "point", &point, error))
    return FALSE;
  if (point == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "the guest's snapshots show its points",
                       "\"point\" is missing: the name or the id of the point to delete");
      return FALSE;
    }
  return request_names (request, "disks", &disks, error)
         && request_number (request, "speed", 0, G_MAXINT64, "bytes a second", &speed, error);
}

static Point *
find_point (JsonObject *request, const ChainLook *look, GError **error)
{
  return points_find (look->points, json_object_get_string_member (request, "point"), error);
}

/* FALSE for a disk that the request does not name. */
static gboolean
is_meant (char **names, const PointDisk *of_point, Disk *disk)
{
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    if (g_str_equal (names[i], of_point->disk)
        || (disk != NULL && (g_str_equal (names[i], disk->name)
                             || g_ptr_array_find_with_equal_func (disk->aliases, names[i],
                                                                  g_str_equal, NULL))))
      return TRUE;
  return names == NULL;
}

/* The point's disks that the guest still has. */
static GPtrArray *
choose_disks (JsonObject *request, ChainLook *look, GError **error)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  g_auto (GStrv) names = NULL;
  Point *point = find_point (request, look, error);

  if (point == NULL || !request_names (request, "disks", &names, error))
    return NULL;
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      Disk *disk = disks_find (look->inspection->disks, names[i]);

      if (disk != NULL && keep_point_disk (point, disk) != NULL)
        continue;
      agent_set_error (error, AGENT_ERROR_NOT_FOUND, "leave out the disks to delete all of it",
                       "point \"%s\" has nothing of a disk \"%s\" of the guest", point->name,
                       names[i]);
      return NULL;
    }
  for (guint i = 0; i < look->inspection->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (look->inspection->disks, i);
      const PointDisk *of_point = keep_point_disk (point, disk);

      if (of_point != NULL && is_meant (names, of_point, disk))
        g_ptr_array_add (chosen, disk);
    }
  return g_steal_pointer (&chosen);
}

/* --- in the chain --- */

/**
 * deletion_tell:
 * @self: a deletion
 * @disk: (nullable): the disk
 * @path: the file that stays
 * @format: why, for people
 */
void
deletion_tell (Deletion *self, Disk *disk, const char *path, const char *format, ...)
{
  JsonObject *told = json_object_new ();
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  if (disk != NULL)
    json_object_set_string_member (told, "disk", disk->name);
  json_object_set_string_member (told, "path", path);
  json_object_set_string_member (told, "reason", reason);
  json_array_add_object_element (self->kept, told);
}

/**
 * deletion_find:
 * @disk: a disk
 * @dev: device of a file
 * @ino: inode of it
 *
 * Returns: the number of the layer in the disk's chain, counted from the base; -1: it is none
 */
gint
deletion_find (Disk *disk, guint64 dev, guint64 ino)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = disk_layer_from_base (disk, i);

      if (layer->known && file_facts_are (&layer->facts, (gint64) dev, (gint64) ino))
        return (gint) i;
    }
  return -1;
}

/* Layers that were there before us go for no neighbour's sake. */
static GPtrArray *
layers_of (Deletion *self, Disk *disk, guint index)
{
  GPtrArray *layers = chain_plan_layers (&self->ask, disk, self->keep);

  for (guint i = 0; i < layers->len; i++)
    if (i != index && !keep_is_layer_of (disk, disk_layer_from_base (disk, i)->path))
      ((PlanLayer *) g_ptr_array_index (layers, i))->kept = TRUE;
  return layers;
}

static gboolean
check_users (Deletion *self, Disk *disk, guint index, GError **reason)
{
  for (guint i = index; i <= index + 1 && i < disk->layers->len; i++)
    {
      const Layer *layer = disk_layer_from_base (disk, i);
      g_autofree char *user = chain_look_need_of (&self->look, disk, layer);

      if (user == NULL)
        continue;
      agent_set_error (reason, AGENT_ERROR_CONFLICT, NULL, "%s is needed as it is by %s",
                       layer->path, user);
      return FALSE;
    }
  return TRUE;
}

/**
 * deletion_in_chain:
 * @self: a deletion
 * @disk: a disk
 * @index: a layer of it, counted from the base
 * @reason: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether the layer goes
 */
gboolean
deletion_in_chain (Deletion *self, Disk *disk, guint index, GError **reason)
{
  const Layer *layer = disk_layer_from_base (disk, index);
  Point *other = points_find_in (self->keep, layer->path, &layer->facts);
  g_autoptr (GPtrArray) layers = NULL;
  g_autoptr (GPtrArray) planned = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) possible = NULL;
  g_autoptr (GError) failure = NULL;
  PlannedMove *move;

  if (other != NULL)
    {
      agent_set_error (reason, AGENT_ERROR_CONFLICT, NULL, "point \"%s\" lives in it too",
                       other->name);
      return FALSE;
    }
  if (!check_users (self, disk, index, reason))
    return FALSE;
  layers = layers_of (self, disk, index);
  move = planner_delete (layers, index, reason);
  if (move == NULL)
    return FALSE;
  g_ptr_array_add (planned, move);
  possible = keep_possible (&self->ask, disk, layers, planned, &failure);
  if (possible->len == 0)
    {
      g_propagate_error (reason, g_steal_pointer (&failure));
      return FALSE;
    }
  return chain_moves_of_disk (&self->ask, disk, possible, self->moves, reason);
}

/* --- the plan --- */

static void
delete_of_disk (Deletion *self, Disk *disk, const PointDisk *of_point)
{
  gint index = deletion_find (disk, of_point->dev, of_point->ino);
  ImageLink *link = links_find (self->look.links, of_point->dev, of_point->ino);
  g_autoptr (GError) reason = NULL;

  if (index >= 0)
    {
      if (!deletion_in_chain (self, disk, (guint) index, &reason))
        deletion_tell (self, disk, of_point->path, "%s", reason->message);
    }
  else if (link != NULL)
    deletion_in_branch (self, disk, link);
  else
    deletion_tell (self, disk, of_point->path,
                   "the file is in none of the folders that are looked at");
}

/* The point without what is deleted of it; NULL: nothing is left. */
static Point *
rest_of (const Point *point, GPtrArray *disks)
{
  g_autoptr (Point) rest = point_new ();

  rest->id = g_strdup (point->id);
  rest->name = g_strdup (point->name);
  for (guint i = 0; i < point->disks->len; i++)
    {
      PointDisk *each = g_ptr_array_index (point->disks, i);
      gboolean goes = FALSE;
      PointDisk *copy;

      for (guint j = 0; j < disks->len; j++)
        goes = goes || keep_point_disk (point, g_ptr_array_index (disks, j)) == each;
      if (goes)
        continue;
      copy = point_add_disk (rest);
      copy->disk = g_strdup (each->disk);
      copy->path = g_strdup (each->path);
      copy->dev = each->dev;
      copy->ino = each->ino;
      copy->born_ns = each->born_ns;
    }
  return rest->disks->len > 0 ? g_steal_pointer (&rest) : NULL;
}

static gboolean
has_disk (GPtrArray *disks, const Point *point, const PointDisk *of_point)
{
  for (guint i = 0; i < disks->len; i++)
    if (keep_point_disk (point, g_ptr_array_index (disks, i)) == of_point)
      return TRUE;
  return FALSE;
}

static JsonObject *
plan_of (Deletion *self, Point *point, gboolean whole, GError **error)
{
  const char *forget[] = { whole ? point->id : NULL, NULL };
  JsonObject *plan;

  for (guint i = 0; i < self->ask.disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->ask.disks, i);

      delete_of_disk (self, disk, keep_point_disk (point, disk));
    }
  if (!whole && json_array_get_length (self->kept) > 0)
    {
      JsonObject *told = json_array_get_object_element (self->kept, 0);

      agent_set_error (error, AGENT_ERROR_CONFLICT, "delete the point of all its disks",
                       "disk %s: %s stays as it is: %s",
                       json_object_get_string_member (told, "disk"),
                       json_object_get_string_member (told, "path"),
                       json_object_get_string_member (told, "reason"));
      return NULL;
    }
  for (guint i = 0; whole && i < point->disks->len; i++)
    {
      const PointDisk *each = g_ptr_array_index (point->disks, i);

      if (!has_disk (self->look.inspection->disks, point, each))
        deletion_tell (self, NULL, each->path, "the guest has no disk \"%s\" now", each->disk);
    }
  plan = chain_moves_plan (&self->ask, self->moves, forget, self->remove, error);
  if (plan != NULL && json_array_get_length (self->kept) > 0)
    json_object_set_array_member (json_object_get_object_member (plan, "summary"), "kept",
                                  json_array_ref (self->kept));
  return plan;
}

static JsonObject *
plan (const ChainAsk *ask, GError **error)
{
  g_autoptr (GPtrArray) keep = g_ptr_array_new ();
  g_autoptr (GPtrArray) points = g_ptr_array_new ();
  g_autoptr (GPtrArray) links = g_ptr_array_new ();
  g_autoptr (GPtrArray) obscure = g_ptr_array_new ();
  g_autoptr (GPtrArray) moves = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_move_free);
  g_autoptr (GPtrArray) remove = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  g_autoptr (JsonArray) kept = json_array_new ();
  g_autoptr (Point) rest = NULL;
  Point *point = find_point (ask->request, ask->look, error);
  gboolean whole = !json_object_has_member (ask->request, "disks")
                   || json_object_get_null_member (ask->request, "disks");
  Deletion self = { *ask, *ask->look, obscure, keep, moves, remove, kept };

  if (point == NULL)
    return NULL;
  if (!whole)
    rest = rest_of (point, ask->disks);
  whole = rest == NULL;
  for (guint i = 0; i < ask->look->points->len; i++)
    {
      Point *each = g_ptr_array_index (ask->look->points, i);

      if (each != point)
        g_ptr_array_add (keep, each);
      g_ptr_array_add (points, each == point && !whole ? rest : each);
    }
  if (!whole)
    g_ptr_array_add (keep, rest);
  for (guint i = 0; i < ask->look->links->len; i++)
    {
      ImageLink *each = g_ptr_array_index (ask->look->links, i);

      g_ptr_array_add (links, each);
      if (!each->backing_known)
        g_ptr_array_add (obscure, each);
    }
  self.look.points = points;
  self.look.links = links;
  self.ask.look = &self.look;
  return plan_of (&self, point, whole, error);
}

const ChainVerb chain_delete_verb = {
  .kind = "delete",
  .members = members,
  .wants_maps = TRUE,
  .check = check,
  .disks = choose_disks,
  .plan = plan,
};
