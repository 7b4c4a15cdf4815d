/* SPDX-License-Identifier: Apache-2.0 */

/* Block graphs of real QEMUs (graphs/, made by graphs/capture) as disks, and disks as JSON. */

#include "scratch.h"

#include <disk/disk.h>

#include <core/error.h>

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static const char *const versions[] = { "7.2", "10.0" };

typedef struct
{
  QmpGraph *graph;
  char    **exports;            /* (nullable) */
} Scene;

static void
scene_clear (Scene *scene)
{
  g_clear_object (&scene->graph);
  g_clear_pointer (&scene->exports, g_strfreev);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scene, scene_clear)

static Scene
parse (const char *text)
{
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (JsonNode) edges = json_node_new (JSON_NODE_OBJECT);
  g_autoptr (JsonObject) object = json_object_new ();
  g_autoptr (GError) error = NULL;
  Scene scene = { NULL };
  JsonObject *top;
  JsonNode *devices;

  root = json_from_string (text, &error);
  g_assert_no_error (error);
  top = json_node_get_object (root);
  json_object_set_member (object, "nodes",
                          json_node_copy (json_object_get_member (top, "graph-nodes")));
  json_object_set_member (object, "edges", json_node_copy (json_object_get_member (top, "edges")));
  json_node_set_object (edges, object);
  devices = json_object_get_member (top, "devices");

  scene.graph = qmp_graph_parse (json_object_get_member (top, "nodes"), edges,
                                 JSON_NODE_HOLDS_NULL (devices) ? NULL : devices, &error);
  g_assert_no_error (error);

  if (!json_object_get_null_member (top, "exports"))
    {
      JsonArray *array = json_object_get_array_member (top, "exports");

      scene.exports = g_new0 (char *, json_array_get_length (array) + 1);
      for (guint i = 0; i < json_array_get_length (array); i++)
        scene.exports[i] = g_strdup (json_array_get_string_element (array, i));
    }

  return scene;
}

static char *
load_text (const char *name,
           const char *ending)
{
  g_autofree char *file = g_strconcat (name, ending, NULL);
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "disk", "graphs", file, NULL);
  g_autoptr (GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);

  return text;
}

static GPtrArray *
load_disks (const char *name,
            const char *version,
            const char *folder)
{
  g_autofree char *ending = g_strdup_printf ("-%s.json", version);
  g_autofree char *text = load_text (name, ending);
  g_auto (Scene) scene = parse (text);

  return disks_from_graph (scene.graph, folder, (const char *const *) scene.exports);
}

static const char *
or_dash (const char *text)
{
  return text != NULL ? text : "-";
}

static const char *
node_name (const char *name)
{
  return g_str_has_prefix (name, "#block") ? "#" : name;
}

/* "name [alias ...] root published (skipped): format path node/file-node flags < ...": all that
 * matters in a line. */
static char *
describe (Disk *disk)
{
  GString *text = g_string_new (disk->name);

  g_string_append (text, " [");
  for (guint i = 0; i < disk->aliases->len; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? " " : "",
                            (char *) g_ptr_array_index (disk->aliases, i));
  g_string_append_printf (text, "] %s %s", disk->root != NULL ? node_name (disk->root) : "-",
                          or_dash (disk->published));
  if (disk->skipped != NULL)
    g_string_append_printf (text, " (%s)", disk->skipped);

  for (guint i = 0; i < disk->layers->len; i++)
    {
      Layer *layer = g_ptr_array_index (disk->layers, i);

      g_assert_cmpint (layer->auto_named, ==, g_str_has_prefix (layer->node, "#block"));
      g_assert_false (layer->known);
      g_assert_cmpint (layer->virtual_size, >, 0);
      g_assert_cmpint (layer->allocated, >=, 0);
      g_assert_cmpstr (layer->detect_zeroes, ==, "off");
      g_string_append_printf (text, "%s %s %s %s/%s%s%s", i > 0 ? " <" : ":", layer->format,
                              or_dash (layer->path), node_name (layer->node),
                              node_name (layer->file_node),
                              layer->read_only ? " ro" : "",
                              g_str_equal (layer->driver, "file") ? "" : layer->driver);
    }

  return g_string_free (text, FALSE);
}

#define ANON(n) "/machine/peripheral-anon/device[" n "]"

static const char *const scenes[] = { "drive", "blockdev", "overlays", "daemon", "daemon-idle" };

/* A line for each disk, the same from each QEMU. */
static void
test_scenes (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (scenes) * G_N_ELEMENTS (versions); i++)
    {
      const char *name = scenes[i / G_N_ELEMENTS (versions)];
      const char *version = versions[i % G_N_ELEMENTS (versions)];
      g_autofree char *expected = load_text (name, ".disks");
      g_auto (GStrv) lines = g_strsplit (expected, "\n", -1);
      g_autoptr (GPtrArray) disks = load_disks (name, version, "/disks/run");

      g_test_message ("%s of %s", name, version);
      for (guint n = 0; n < disks->len && lines[n] != NULL; n++)
        {
          g_autofree char *found = describe (g_ptr_array_index (disks, n));

          g_assert_cmpstr (found, ==, lines[n]);
        }
      g_assert_cmpuint (disks->len + 1, ==, g_strv_length (lines));
    }
}

/* Without QEMU's working folder a relative name is nobody's. */
static void
test_no_folder (void)
{
  g_autoptr (GPtrArray) disks = load_disks ("drive", "10.0", NULL);
  Disk *disk = disks_find (disks, "drive3");

  g_assert_nonnull (disk);
  g_assert_null (disk->published);
  g_assert_null (disk_get_active (disk)->path);
  g_assert_cmpuint (disk->layers->len, ==, 3);
}

static void
test_find (void)
{
  g_autoptr (GPtrArray) disks = load_disks ("blockdev", "7.2", "/disks/run");

  g_assert_cmpstr (disks_find (disks, "disk1")->name, ==, "disk1");
  g_assert_cmpstr (disks_find (disks, "node1")->name, ==, "disk1");
  g_assert_cmpstr (disks_find (disks, "limits1")->name, ==, "disk1");
  g_assert_cmpstr (disks_find (disks, "/disks/b")->name, ==, "disk1");
  g_assert_null (disks_find (disks, "disk"));
  g_assert_null (disks_find (disks, ""));
  g_assert_null (disk_get_active (disks_find (disks, "cd0")));
}

/* @scene with every @from replaced by @to. */
static GPtrArray *
load_changed (const char *name,
              const char *from,
              const char *to)
{
  g_autofree char *text = load_text (name, "-10.0.json");
  g_auto (GStrv) parts = g_strsplit (text, from, -1);
  g_autofree char *changed = g_strjoinv (to, parts);
  g_auto (Scene) scene = parse (changed);

  g_assert_cmpuint (g_strv_length (parts), >, 1);

  return disks_from_graph (scene.graph, "/disks/run", (const char *const *) scene.exports);
}

static void
test_file_names (void)
{
  static const struct
  {
    const char *filename;       /* of the protocol node, as it stands in QEMU's JSON */
    const char *path;           /* NULL: no local file */
  } rows[] = {
    { "/disks/./x//y", "/disks/x/y" },
    { "/disks/x/../y//z", "/disks/x/../y//z" },
    { "plain", "/disks/run/plain" },
    { "../x", "/disks/x" },
    { "../../../x", "/x" },
    { "../x/../y", "/disks/x/../y" },
    { "./a:b", "/disks/run/a:b" },
    { "json:{\\\"driver\\\": \\\"file\\\", \\\"filename\\\": \\\"/odd/name\\\"}", "/odd/name" },
    { "json:{\\\"driver\\\": \\\"file\\\", \\\"filename\\\": \\\"odd\\\"}", "/disks/run/odd" },
    { "json:{\\\"driver\\\": \\\"nbd\\\", \\\"filename\\\": \\\"/odd/name\\\"}", NULL },
    { "json:{\\\"driver\\\": \\\"file\\\", \\\"filename\\\": 7}", NULL },
    { "json:{\\\"driver\\\": \\\"file\\\"}", NULL },
    { "json:[]", NULL },
    { "json:{", NULL },
    { "json:", NULL },
    { "/dev/fdset/3", NULL },
    { "", NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *changed = g_strdup_printf ("\"file\": \"%s\"", rows[i].filename);
      g_autoptr (GPtrArray) disks = load_changed ("blockdev",
                                                  "\"file\": \"/disks/bare.raw\"", changed);
      Disk *disk = disks_find (disks, "disk4");

      g_test_message ("%s", rows[i].filename);
      g_assert_cmpstr (disk->published, ==, rows[i].path);
      g_assert_cmpstr (disk_get_active (disk)->path, ==, rows[i].path);
    }
}

static void
test_not_local (void)
{
  g_autoptr (GPtrArray) disks = load_changed ("blockdev", "\"drv\": \"host_device\"",
                                              "\"drv\": \"rbd\"");
  Disk *disk = disks_find (disks, "disk5");

  g_assert_null (disk->skipped);
  g_assert_null (disk->published);
  g_assert_cmpstr (disk_get_active (disk)->driver, ==, "rbd");
}

/* Names: those that people gave, never one twice. */
static void
test_names (void)
{
  g_autoptr (GPtrArray) ids = load_changed ("drive", "\"drive1\"", "\"disk0\"");
  g_autoptr (GPtrArray) same = load_changed ("drive", "\"drive0\"", "\"\"");
  g_autoptr (GPtrArray) files = NULL;
  Disk *disk;

  /* A drive that is called as another's device is. */
  g_assert_cmpstr (((Disk *) g_ptr_array_index (ids, 0))->name, ==, "drive0");
  disk = disks_find (ids, "disk0");
  g_assert_cmpstr (disk->published, ==, "/disks/plain.raw");

  /* Without a drive's id it is the device's. */
  g_assert_cmpstr (((Disk *) g_ptr_array_index (same, 0))->name, ==, "disk0");

  /* Without either it is the file's, and the second one is told from the first. */
  {
    g_autofree char *text = load_text ("drive", "-10.0.json");
    g_autoptr (GRegex) regex = g_regex_new ("\"(device|qdev)\": \"[^\"]*\"", 0, 0, NULL);
    g_autofree char *nameless = g_regex_replace (regex, text, -1, 0, "\"\\1\": \"\"", 0, NULL);
    g_auto (GStrv) parts = g_strsplit (nameless, "/disks/b\"", -1);
    g_autofree char *changed = g_strjoinv ("/other/a\"", parts);
    g_auto (Scene) scene = parse (changed);

    files = disks_from_graph (scene.graph, NULL, NULL);
  }
  g_assert_cmpstr (((Disk *) g_ptr_array_index (files, 0))->name, ==, "a");
  g_assert_cmpstr (((Disk *) g_ptr_array_index (files, 1))->name, ==, "plain.raw");
  g_assert_cmpstr (((Disk *) g_ptr_array_index (files, 2))->name, ==, "a-2");
  g_assert_cmpstr (((Disk *) g_ptr_array_index (files, 3))->name, ==, "disk");
  g_assert_cmpstr (((Disk *) g_ptr_array_index (files, 4))->name, ==, "disk-2");
  for (guint i = 0; i < files->len; i++)
    {
      disk = g_ptr_array_index (files, i);
      g_assert_true (disks_find (files, disk->name) == disk);
    }
}

/* Two devices on one node are one disk with the names of both. */
static void
test_shared (void)
{
  g_autofree char *text = load_text ("blockdev", "-10.0.json");
  char *devices = strstr (text, "\"devices\": [");
  char *name = strstr (devices, "\"node-name\": \"node3\"");
  g_auto (Scene) scene = { NULL };
  g_autoptr (GPtrArray) disks = NULL;
  Disk *disk;

  g_assert_nonnull (name);
  strstr (name, "node3")[4] = '0';
  scene = parse (text);
  disks = disks_from_graph (scene.graph, NULL, NULL);
  disk = disks_find (disks, "disk0");

  g_assert_cmpuint (disks->len, ==, 9);
  g_assert_true (disks_find (disks, ANON ("1")) == disk);
  g_assert_null (disks_find (disks, "node3"));
}

/* A name that two disks are called by is nobody's. */
static void
test_ambiguous (void)
{
  g_autoptr (GPtrArray) disks = load_changed ("drive", "\"file\": \"/disks/a\"",
                                              "\"file\": \"/disks/d\"");

  g_assert_null (disks_find (disks, "/disks/d"));
  g_assert_nonnull (disks_find (disks, "drive0"));
}

static void
test_export_unknown (void)
{
  static const char *const exports[] = { "no-such-node", "node1", "limits1", NULL };
  g_autofree char *text = load_text ("daemon", "-10.0.json");
  g_auto (Scene) scene = parse (text);
  g_autoptr (GPtrArray) disks = disks_from_graph (scene.graph, NULL, exports);
  g_autoptr (GPtrArray) none = disks_from_graph (scene.graph, NULL, NULL);

  g_assert_cmpuint (disks->len, ==, 1);
  g_assert_cmpuint (none->len, ==, 0);
}

static JsonObject *
get_layer (JsonNode *disk,
           guint     index)
{
  JsonArray *layers = json_object_get_array_member (json_node_get_object (disk), "layers");

  return json_array_get_object_element (layers, index);
}

static void
test_json (void)
{
  g_autoptr (GPtrArray) disks = load_disks ("overlays", "10.0", NULL);
  Disk *disk = g_ptr_array_index (disks, 0);
  g_autoptr (JsonNode) json = NULL;
  g_autofree char *text = NULL;
  g_autofree char *expected = load_text ("overlays", ".drive0.json");

  for (guint i = 0; i < disk->layers->len; i++)
    ((Layer *) g_ptr_array_index (disk->layers, i))->allocated = 1000 + i;
  json = disk_to_json (disk);
  text = json_to_string (json, TRUE);
  g_assert_cmpstr (text, ==, g_strchomp (expected));
}

static void
test_json_unknown (void)
{
  g_autoptr (GPtrArray) disks = load_disks ("blockdev", "10.0", NULL);
  g_autoptr (JsonNode) cd = disk_to_json (disks_find (disks, "cd0"));
  g_autoptr (JsonNode) part = NULL;
  g_autofree char *text = json_to_string (cd, FALSE);

  g_assert_cmpstr (text, ==,
                   "{\"name\":\"cd0\",\"aliases\":[\"cd0\"],\"path\":null,"
                   "\"skipped\":\"no medium\",\"io_status\":\"ok\",\"layers\":[]}");

  disk_get_active (disks_find (disks, "disk6"))->allocated = -1;
  part = disk_to_json (disks_find (disks, "disk6"));
  g_assert_true (json_object_get_null_member (get_layer (part, 0), "path"));
  g_assert_true (json_object_get_null_member (get_layer (part, 0), "allocated"));
}

/* The disks of a scene whose images are in a real folder. */
static GPtrArray *
load_in (const char *folder)
{
  g_autofree char *with_slash = g_strconcat (folder, "/", NULL);

  return load_changed ("overlays", "/disks/", with_slash);
}

static void
test_files (void)
{
  char *folder = scratch_new ();
  g_autofree char *a = scratch_write (folder, "a", "old");
  g_autofree char *target = scratch_write (folder, "target", "overlay");
  g_autofree char *a1 = g_build_filename (folder, "a.1", NULL);
  g_autofree char *b = scratch_write (folder, "b", "overlay of b");
  g_autofree char *b1 = g_build_filename (folder, "b.1", NULL);
  g_autoptr (GPtrArray) disks = NULL;
  g_autoptr (GError) error = NULL;
  Disk *first, *second;
  Layer *golden;

  /* The first disk's active file is found by a symbolic link, the second's has a published name. */
  g_assert_no_errno (symlink ("target", a1));
  g_assert_no_errno (link (b, b1));

  disks = load_in (folder);
  g_assert_true (disks_look_at_files (disks, &error));
  g_assert_no_error (error);
  first = g_ptr_array_index (disks, 0);
  second = g_ptr_array_index (disks, 1);

  g_assert_true (disk_get_active (first)->known);
  g_assert_cmpuint (disk_get_active (first)->facts.ino, ==, scratch_look (target).ino);
  g_assert_cmpstr (disk_get_active (first)->path, ==, target);
  g_assert_cmpstr (first->published, ==, target);
  g_assert_true (disks_find (disks, target) == first);
  g_assert_true (disks_find (disks, a1) == first);

  g_assert_cmpstr (disk_get_active (second)->path, ==, b1);
  g_assert_cmpstr (second->published, ==, b);
  g_assert_cmpuint (disk_get_active (second)->facts.size, ==, strlen ("overlay of b"));
  g_assert_true (disks_find (disks, b) == second);

  golden = g_ptr_array_index (first->layers, 2);
  g_assert_false (golden->known);
  g_assert_nonnull (golden->path);

  scratch_remove (folder);
}

/* What cannot be looked at is an error, unless the disk does not matter. */
static void
test_files_refused (void)
{
  char *folder = scratch_new ();
  g_autofree char *a1 = g_build_filename (folder, "a.1", NULL);
  g_autoptr (GPtrArray) disks = load_in (folder);
  g_autoptr (GError) error = NULL;

  g_assert_no_errno (g_mkdir (a1, 0755));
  g_assert_false (disks_look_at_files (disks, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_true (g_str_has_prefix (error->message, "disk drive0: "));
  g_assert_nonnull (agent_error_get_hint (error));
  g_clear_error (&error);

  disks_find (disks, "drive0")->skipped = g_strdup ("read-only");
  g_assert_true (disks_look_at_files (disks, &error));
  g_assert_no_error (error);

  scratch_remove (folder);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/graph/scenes", test_scenes);
  g_test_add_func ("/graph/no-folder", test_no_folder);
  g_test_add_func ("/graph/find", test_find);
  g_test_add_func ("/graph/file-names", test_file_names);
  g_test_add_func ("/graph/not-local", test_not_local);
  g_test_add_func ("/graph/names", test_names);
  g_test_add_func ("/graph/shared", test_shared);
  g_test_add_func ("/graph/ambiguous", test_ambiguous);
  g_test_add_func ("/graph/export-unknown", test_export_unknown);
  g_test_add_func ("/graph/json", test_json);
  g_test_add_func ("/graph/json-unknown", test_json_unknown);
  g_test_add_func ("/graph/files", test_files);
  g_test_add_func ("/graph/files-refused", test_files_refused);

  return g_test_run ();
}
