/* SPDX-License-Identifier: Apache-2.0 */
#include "chain-model.h"

#include <disk/names.h>
#include <image/stores.h>

#define MIB (1024 * 1024)

static void
layer_user_free (gpointer data)
{
  LayerUser *user = data;

  g_free (user->path);
  g_free (user->who);
  g_free (user);
}

static void
fill_look (ChainModel *self)
{
  self->look = g_new0 (ChainLook, 1);
  self->look->offline = TRUE;
  self->look->inspection = g_new0 (Inspection, 1);
  self->look->inspection->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  self->look->points = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  self->look->links = g_ptr_array_new_with_free_func ((GDestroyNotify) image_link_free);
  self->look->users = g_ptr_array_new_with_free_func (layer_user_free);
}

void
chain_model_set_up (ChainModel *self, gconstpointer data)
{
  g_autoptr (GuestConfig) guest = guest_config_new ();
  g_autoptr (QmpFeatureCache) cache = qmp_feature_cache_new ();
  g_autoptr (Settings) settings = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *journal = NULL;

  self->folder = model_folder ();
  journal = g_build_filename (self->folder, "journal", NULL);
  self->config = config_load (NULL, NULL, &error);
  g_assert_no_error (error);
  self->journal = journal_open (journal, &error);
  g_assert_no_error (error);
  self->store = folder_store_new (self->folder, 1, &error);
  g_assert_no_error (error);
  self->engine = engine_new (self->journal);
  self->guests = guest_registry_new (self->journal);
  settings = settings_new (self->config);
  self->operations = operations_new (settings, self->journal, self->engine, self->guests,
                                     self->store);
  guest->id = g_strdup ("vm");
  guest->monitor = g_build_filename (self->folder, "qmp", NULL);
  self->guest = guest_new (guest, cache);
  fill_look (self);
}

void
chain_model_tear_down (ChainModel *self, gconstpointer data)
{
  g_ptr_array_unref (self->look->inspection->disks);
  g_free (self->look->inspection);
  g_ptr_array_unref (self->look->points);
  g_ptr_array_unref (self->look->links);
  g_ptr_array_unref (self->look->users);
  g_free (self->look);
  g_object_unref (self->guest);
  g_object_unref (self->operations);
  g_object_unref (self->guests);
  g_object_unref (self->engine);
  g_object_unref (self->store);
  g_object_unref (self->journal);
  config_unref (self->config);
  model_remove_folder (self->folder);
  g_free (self->folder);
}

static ImageLink *
add_link (ChainModel *self, const char *path, guint64 ino, guint64 on)
{
  ImageLink *link = g_new0 (ImageLink, 1);

  link->path = g_strdup (path);
  link->facts = (FileFacts) { .dev = 1, .ino = ino, .size = MIB, .allocated = MIB };
  link->format = g_strdup ("qcow2");
  link->virtual_size = 64 * MIB;
  link->backing_known = on != 0;
  link->backing_relative = on != 0;
  link->backing_dev = on != 0 ? 1 : 0;
  link->backing_ino = on;
  g_ptr_array_add (self->look->links, link);
  return link;
}

Disk *
chain_model_disk (ChainModel *self, const char *name, guint64 first, guint n)
{
  Disk *disk = model_disk (name);

  for (guint i = n; i-- > 0;)
    {
      g_autofree char *path = names_layer (disk->published, i);
      Layer *layer = model_add_layer (disk, path, "qcow2", first + i);

      layer->allocated = MIB;
      layer->facts.size = MIB;
      add_link (self, path, first + i, i > 0 ? first + i - 1 : 0);
    }
  g_ptr_array_add (self->look->inspection->disks, disk);
  return disk;
}

ImageLink *
chain_model_branch (ChainModel *self, const char *name, guint64 ino, guint64 on)
{
  g_autofree char *path = g_strdup_printf ("/d/%s.%" G_GUINT64_FORMAT, name, ino);

  return add_link (self, path, ino, on);
}

void
chain_model_extend (Point *point, const char *disk, guint64 ino)
{
  PointDisk *of_disk = point_add_disk (point);

  of_disk->disk = g_strdup (disk);
  of_disk->path = g_strdup_printf ("/d/%s.of-%" G_GUINT64_FORMAT, disk, ino);
  of_disk->dev = 1;
  of_disk->ino = ino;
  of_disk->format = g_strdup ("qcow2");
  of_disk->image_id = g_uuid_string_random ();
}

Point *
chain_model_point (ChainModel *self, const char *name, const char *disk, guint64 ino)
{
  Point *point = point_new ();

  point->id = g_uuid_string_random ();
  point->name = g_strdup (name);
  chain_model_extend (point, disk, ino);
  g_ptr_array_add (self->look->points, point);
  return point;
}

void
chain_model_user (ChainModel *self, guint64 ino, const char *who)
{
  LayerUser *user = g_new0 (LayerUser, 1);

  user->path = g_strdup ("/d/used");
  user->dev = 1;
  user->ino = ino;
  user->who = g_strdup (who);
  g_ptr_array_add (self->look->users, user);
}

JsonObject *
chain_model_plan (ChainModel *self, const ChainVerb *verb, const char *request, GError **error)
{
  g_autoptr (JsonNode) node = json_from_string (request, NULL);
  g_autoptr (GPtrArray) disks = NULL;
  g_autoptr (JsonObject) plan = NULL;
  ChainAsk ask = {
    .operations = self->operations,
    .guest = self->guest,
    .operation = "0f3c7c0e-6d55-4a6c-93ab-5b8a3c1f8f55",
    .look = self->look,
  };

  g_assert_nonnull (node);
  ask.request = json_node_get_object (node);
  if (!verb->check (ask.request, error))
    return NULL;
  disks = verb->disks (ask.request, self->look, error);
  ask.disks = disks;
  if (disks != NULL)
    plan = verb->plan (&ask, error);
  if (plan == NULL)
    return NULL;
  return json_object_ref (json_object_get_object_member (plan, "summary"));
}

static char *
join (JsonArray *array, const char *member)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      const char *text = member == NULL
        ? json_array_get_string_element (array, i)
        : json_object_get_string_member (json_array_get_object_element (array, i), member);

      g_ptr_array_add (words, g_path_get_basename (text));
    }
  g_ptr_array_add (words, NULL);
  return g_strjoinv (" ", (char **) words->pdata);
}

char *
chain_model_list (JsonObject *summary, const char *list, const char *member)
{
  return join (json_object_has_member (summary, list)
               ? json_object_get_array_member (summary, list) : NULL, member);
}

char *
chain_model_moves (JsonObject *summary)
{
  JsonArray *moves = json_object_get_array_member (summary, "moves");
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < json_array_get_length (moves); i++)
    {
      JsonObject *move = json_array_get_object_element (moves, i);
      g_autofree char *files = join (json_object_get_array_member (move, "files"), NULL);

      g_string_append_printf (text, "%s%s %s", i > 0 ? "; " : "",
                              json_object_get_string_member (move, "kind"), files);
    }
  return g_strdup (text->str);
}
