/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <disk/qcow2.h>
#include <glib/gstdio.h>
#include <string.h>

#include "disk-private.h"

Disk *
model_disk (const char *name)
{
  Disk *disk = disk_new ();

  disk->name = g_strdup (name);
  g_ptr_array_add (disk->aliases, g_strdup (name));
  g_ptr_array_add (disk->aliases, g_strdup_printf ("/machine/peripheral/%s/virtio-backend", name));
  disk->published = g_strdup_printf ("/d/%s", name);

  return disk;
}

Layer *
model_add_layer (Disk *disk, const char *path, const char *format, guint64 ino)
{
  Layer *layer = g_new0 (Layer, 1);

  layer->path = g_strdup (path);
  layer->driver = g_strdup ("file");
  layer->format = g_strdup (format);
  layer->node = g_strdup_printf ("node-%" G_GUINT64_FORMAT, ino);
  layer->file_node = g_strdup_printf ("file-%" G_GUINT64_FORMAT, ino);
  layer->detect_zeroes = g_strdup ("off");
  layer->virtual_size = 1 << 26;
  layer->known = path != NULL;
  layer->facts.dev = 1;
  layer->facts.ino = ino;
  g_ptr_array_add (disk->layers, layer);
  if (disk->root == NULL)
    disk->root = g_strdup (layer->node);
  return layer;
}

static SnapshotRequest *
parse (const char *json, RequestKind kind, GError **error)
{
  g_autoptr (Config) config = config_load (NULL, NULL, NULL);
  g_autoptr (GuestConfig) guest = guest_config_new ();
  g_autoptr (JsonNode) node = json_from_string (json, NULL);

  g_assert_nonnull (config);
  g_assert_nonnull (node);
  return snapshot_request_parse (json_node_get_object (node), kind, config, guest, error);
}

SnapshotRequest *
model_try_request (const char *json, GError **error)
{
  return parse (json, REQUEST_SNAPSHOT, error);
}

SnapshotRequest *
model_try_image_request (const char *json, GError **error)
{
  return parse (json, REQUEST_IMAGE, error);
}

SnapshotRequest *
model_request (const char *json)
{
  g_autoptr (GError) error = NULL;
  SnapshotRequest *request = model_try_request (json, &error);

  g_assert_no_error (error);
  return request;
}

char *
model_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("qsnapd-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

void
model_remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  g_assert_nonnull (dir);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_assert_cmpint (g_remove (path), ==, 0);
    }
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

char *
model_image (const char *folder, const char *name, const char *backing)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = qcow2_empty_overlay (1 << 26, backing != NULL ? backing : "gone",
                                                  "qcow2", &error);
  char *path = g_build_filename (folder, name, NULL);
  g_autofree guint8 *image = NULL;
  gsize length;

  g_assert_no_error (error);
  length = g_bytes_get_size (bytes);
  image = g_memdup2 (g_bytes_get_data (bytes, NULL), length);
  /* Offset and length of the backing name. */
  if (backing == NULL)
    memset (image + 8, 0, 12);
  g_assert_true (g_file_set_contents (path, (const char *) image, (gssize) length, &error));
  g_assert_no_error (error);
  return path;
}

FileFacts
model_look (const char *path)
{
  FileFacts facts = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_true (files_look (path, &facts, &error));
  g_assert_no_error (error);
  return facts;
}
