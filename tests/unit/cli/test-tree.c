/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how trees of layers look when they are drawn. */

#include "tree.h"

static char *
draw (const char *disk,
      const char *points,
      guint       columns,
      gboolean    utf8)
{
  g_autoptr (JsonNode) node = json_from_string (disk, NULL);
  g_autoptr (JsonNode) list = json_from_string (points, NULL);

  g_assert_nonnull (node);
  g_assert_nonnull (list);
  return tree_draw (json_node_get_object (node), json_node_get_array (list), columns, utf8);
}

static void
assert_drawn (const char *disk,
              const char *points,
              guint       columns,
              gboolean    utf8,
              const char *expected)
{
  g_autofree char *drawn = draw (disk, points, columns, utf8);

  g_assert_cmpstr (drawn, ==, expected);
}

#define LAYER(name, backing, more) \
  "{\"path\": \"/d/" name "\", \"backing\": " backing ", \"format\": \"qcow2\"," \
  " \"allocated\": 1048576" more "}"
#define DISK(layers) \
  "{\"disk\": \"disk0\", \"published\": \"/d/disk\", \"layers\": [" layers "]}"

static const char points[] =
  "[{\"id\": \"p1\", \"name\": \"first\", \"taken\": \"2026-11-20T11:00:00.123456Z\","
  "  \"quiesced\": true, \"disks\": [{\"disk\": \"disk0\", \"image_id\": \"2f73\"}]},"
  " {\"id\": \"p2\", \"name\": \"second\", \"pinned\": true,"
  "  \"disks\": [{\"disk\": \"other\", \"image_id\": \"none of ours\"}]}]";

/* The order in which layers are told does not matter. */
static const char branched[] =
  DISK (LAYER ("disk.2", "\"/d/disk.0\"", ", \"points\": [\"p2\"]") ","
        LAYER ("disk.0", "null", ", \"in_chain\": true, \"points\": [\"p1\"],"
                                 " \"users\": [\"guest vm2, disk vda\", \"image x\"]") ","
        LAYER ("disk.3", "\"/d/disk.1\"", ", \"in_chain\": true, \"active\": true") ","
        LAYER ("disk.1", "\"/d/disk.0\"", ", \"in_chain\": true"));

static void
test_branches (void)
{
  assert_drawn (branched, points, 0, FALSE,
                "  * disk.3     1.0 MiB  active\n"
                "  o disk.1     1.0 MiB\n"
                "  | o disk.2   1.0 MiB\n"
                "  | |   @ second  kept\n"
                "  |-'\n"
                "  o disk.0     1.0 MiB  used by guest vm2, disk vda  and image x\n"
                "      @ first  2026-11-20 11:00:00  quiesced  image 2f73\n");
  assert_drawn (branched, points, 0, TRUE,
                "  ● disk.3     1.0 MiB  active\n"
                "  ○ disk.1     1.0 MiB\n"
                "  │ ○ disk.2   1.0 MiB\n"
                "  │ │   ◆ second  kept\n"
                "  ├─╯\n"
                "  ○ disk.0     1.0 MiB  used by guest vm2, disk vda  and image x\n"
                "      ◆ first  2026-11-20 11:00:00  quiesced  image 2f73\n");
}

/* Two branches on one layer, one of which has a branch itself. */
static void
test_branches_of_branches (void)
{
  assert_drawn (DISK (LAYER ("0", "null", ", \"in_chain\": true") ","
                      LAYER ("1", "\"/d/0\"", ", \"in_chain\": true, \"active\": true") ","
                      LAYER ("2", "\"/d/0\"", "") "," LAYER ("3", "\"/d/2\"", "") ","
                      LAYER ("4", "\"/d/2\"", "") "," LAYER ("5", "\"/d/0\"", "")), "[]", 0, FALSE,
                "  * 1       1.0 MiB  active\n"
                "  | o 3     1.0 MiB  needed by nothing\n"
                "  | | o 4   1.0 MiB  needed by nothing\n"
                "  | |-'\n"
                "  | o 2     1.0 MiB  needed by nothing\n"
                "  |-'\n"
                "  | o 5     1.0 MiB  needed by nothing\n"
                "  |-'\n"
                "  o 0       1.0 MiB\n");
}

/* Nothing stands on the other's base: it is drawn by itself, behind the chain. What it stands on
 * itself is told when that is not drawn. */
static void
test_two_trees (void)
{
  assert_drawn (DISK (LAYER ("old", "\"/gone/base\"", "") ","
                      LAYER ("disk", "null", ", \"in_chain\": true, \"active\": true")),
                "[]", 0, FALSE,
                "  * disk   1.0 MiB  active\n"
                "\n"
                "  o old    1.0 MiB  needed by nothing  stands on /gone/base\n");
  assert_drawn ("{\"disk\": \"d\", \"published\": \"/dev/vg/a\", \"layers\": ["
                "{\"path\": \"/o/d.1\", \"backing\": \"/dev/vg/a\", \"active\": true,"
                " \"in_chain\": true}, {\"path\": \"/dev/vg/a\", \"format\": \"raw\","
                " \"in_chain\": true, \"allocated\": 5}]}", "[]", 0, FALSE,
                "  * /o/d.1         -  active\n"
                "  o a            5 B  raw\n");
}

/* A stream into the active layer: it stands on nothing any more, what it left still does. */
static void
test_left_by_a_stream (void)
{
  assert_drawn (DISK (LAYER ("disk.1", "null", ", \"in_chain\": true, \"active\": true") ","
                      LAYER ("disk.0", "\"/d/base\"", ", \"points\": [\"p1\"]") ","
                      LAYER ("base", "null", ", \"children\": [\"/d/disk.0\"]") ","
                      LAYER ("other", "null", "")), points, 0, FALSE,
                "  * disk.1   1.0 MiB  active\n"
                "\n"
                "  o disk.0   1.0 MiB\n"
                "  |   @ first  2026-11-20 11:00:00  quiesced  image 2f73\n"
                "  o base     1.0 MiB\n"
                "\n"
                "  o other    1.0 MiB  needed by nothing\n");
}

static void
test_narrow (void)
{
  assert_drawn (branched, points, 24, FALSE,
                "  * disk.3     1.0 MiB >\n"
                "  o disk.1     1.0 MiB\n"
                "  | o disk.2   1.0 MiB\n"
                "  | |   @ second  kept\n"
                "  |-'\n"
                "  o disk.0     1.0 MiB >\n"
                "      @ first  2026-11->\n");
}

/* What a guest, or somebody who names points, could put there. */
static void
test_hostile (void)
{
  assert_drawn (DISK (LAYER ("a\\u001b[31m", "null", ", \"in_chain\": true,"
                             " \"points\": [\"p\", 1, {}, \"lost\\n\"],"
                            " \"users\": [1, \"\\u0007\"]")),
                "[{\"id\": \"p\", \"name\": \"\\u009b2J\", \"taken\": \"\\u001b\","
                " \"disks\": 1}, 2]",
                0, FALSE,
                "  o a\\x1b[31m   1.0 MiB  and \\x07\n"
                "      @ \\x9b2J  \\x1b\n"
                "      @ lost\\x0a\n");
}

/* Whatever is told, each layer is drawn once. */
static void
test_rings (void)
{
  assert_drawn (DISK (LAYER ("a", "\"/d/b\"", "") "," LAYER ("b", "\"/d/a\"", "") ","
                      LAYER ("c", "\"/d/c\"", "") "," LAYER ("a", "null", "")), "[]", 0, FALSE,
                "  o b   1.0 MiB  needed by nothing\n"
                "  o a   1.0 MiB  needed by nothing\n"
                "\n"
                "  o c   1.0 MiB  needed by nothing\n");
  assert_drawn ("{}", "[]", 0, FALSE, "");
  assert_drawn ("{\"layers\": 1}", "[]", 0, FALSE, "");
  assert_drawn ("{\"layers\": [1, {}, null, {\"path\": 1}]}", "[]", 0, FALSE, "");
}

/* As deep as chains may be: one column. */
static void
test_deep (void)
{
  g_autoptr (GString) layers = g_string_new (LAYER ("0", "null", ", \"in_chain\": true"));
  g_autofree char *disk = NULL;
  g_autofree char *drawn = NULL;
  g_auto (GStrv) lines = NULL;

  for (guint i = 1; i <= 1000; i++)
    g_string_append_printf (layers, "," LAYER ("%u", "\"/d/%u\"", ", \"in_chain\": true"),
                            i, i - 1);
  disk = g_strdup_printf (DISK ("%s"), layers->str);
  drawn = draw (disk, "[]", 0, FALSE);
  lines = g_strsplit (drawn, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 1002);
  g_assert_cmpstr (lines[0], ==, "  o 1000   1.0 MiB");
  g_assert_cmpstr (lines[1000], ==, "  o 0      1.0 MiB");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/layers/branches", test_branches);
  g_test_add_func ("/cli/layers/branches-of-branches", test_branches_of_branches);
  g_test_add_func ("/cli/layers/two-trees", test_two_trees);
  g_test_add_func ("/cli/layers/left-by-a-stream", test_left_by_a_stream);
  g_test_add_func ("/cli/layers/narrow", test_narrow);
  g_test_add_func ("/cli/layers/hostile", test_hostile);
  g_test_add_func ("/cli/layers/rings", test_rings);
  g_test_add_func ("/cli/layers/deep", test_deep);
  return g_test_run ();
}
