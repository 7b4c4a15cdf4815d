/* SPDX-License-Identifier: Apache-2.0 */

/* What is let go in a QEMU on which no operation works, and what is not. */

#include <json-glib/json-glib.h>

#include "strays.h"

#define NODE(name, driver, children) \
  "{\"node-name\":\"" name "\",\"drv\":\"" driver "\",\"file\":\"/d/" name "\",\"ro\":false," \
  "\"cache\":{\"writeback\":true,\"direct\":false,\"no-flush\":false},\"detect_zeroes\":\"off\"," \
  "\"encrypted\":false,\"image\":{\"filename\":\"/d/" name "\",\"format\":\"" driver "\"," \
  "\"virtual-size\":1048576},\"children\":[" children "]}"
#define CHILD(child, name) "{\"child\":\"" child "\",\"node-name\":\"" name "\"}"
#define FILE_NODE(name) NODE (name, "file", "")

/* disk: a device on our overlay; left: a branch of ours on theirs; one of theirs that nobody
 * uses. */
static const char *const nodes =
  "[" NODE ("qsnap-low", "qcow2", CHILD ("file", "qsnap-low-file")) ","
  FILE_NODE ("qsnap-low-file") ","
  NODE ("qsnap-disk", "qcow2", CHILD ("file", "qsnap-disk-file") "," CHILD ("backing", "base")) ","
  FILE_NODE ("qsnap-disk-file") ","
  NODE ("qsnap-left", "qcow2", CHILD ("file", "qsnap-left-file") "," CHILD ("backing", "qsnap-low"))
  "," FILE_NODE ("qsnap-left-file") ","
  NODE ("base", "qcow2", CHILD ("file", "base-file")) "," FILE_NODE ("base-file") ","
  NODE ("theirs", "qcow2", CHILD ("file", "qsnap-used")) "," FILE_NODE ("qsnap-used") "]";
static const char *const devices =
  "[{\"device\":\"\",\"qdev\":\"disk0\",\"removable\":false,"
  "\"inserted\":{\"node-name\":\"qsnap-disk\"}}]";

static JsonNode *
from_text (const char *text)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (text, &error);

  g_assert_no_error (error);
  return node;
}

static void
assert_found (GHashTable *held, const char *expected)
{
  g_autoptr (JsonNode) named = from_text (nodes);
  g_autoptr (JsonNode) above = from_text (devices);
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpGraph) graph = qmp_graph_parse (named, NULL, above, &error);
  g_autoptr (GPtrArray) found = NULL;
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  found = strays_find_nodes (graph, held);
  g_ptr_array_add (found, NULL);
  text = g_strjoinv (" ", (char **) found->pdata);
  g_assert_cmpstr (text, ==, expected);
}

/* Each before what is below it; nothing that a device or somebody's node stands on. */
static void
test_nodes (void)
{
  assert_found (NULL, "qsnap-left qsnap-left-file qsnap-low qsnap-low-file");
}

/* What may be a disk that was unplugged stays, with all that it stands on. */
static void
test_held (void)
{
  g_autoptr (GHashTable) held = g_hash_table_new (g_str_hash, g_str_equal);

  g_hash_table_add (held, (gpointer) "qsnap-left");
  assert_found (held, "");
}

static void
test_jobs (void)
{
  QmpJobInfo infos[] = {
    { .id = (char *) "qsnap-1", .state = QMP_JOB_CONCLUDED },
    { .id = (char *) "qsnap-2", .state = QMP_JOB_PENDING },
    { .id = (char *) "somebody", .state = QMP_JOB_CONCLUDED },
  };
  g_autoptr (GPtrArray) jobs = g_ptr_array_new ();
  g_autoptr (GPtrArray) found = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (infos); i++)
    g_ptr_array_add (jobs, &infos[i]);
  found = strays_find_jobs (jobs);
  g_assert_cmpuint (found->len, ==, 1);
  g_assert_cmpstr (g_ptr_array_index (found, 0), ==, "qsnap-1");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/strays/nodes", test_nodes);
  g_test_add_func ("/strays/held", test_held);
  g_test_add_func ("/strays/jobs", test_jobs);
  return g_test_run ();
}
