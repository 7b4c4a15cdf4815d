/* SPDX-License-Identifier: Apache-2.0 */

/* What a QEMU can do: from schemas captured of two, made up ones, and the real thing. */

#include <string.h>

#include "live.h"
#include "sync.h"

#define DEADLINE 10000

/* --- captured schemas --- */

static JsonNode *
load (const char *name)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "qmp", "data", name, NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  return json_node_copy (json_parser_get_root (parser));
}

/* What both versions have in common. */
static void
assert_common (QmpFeatures *features)
{
  g_assert_true (qmp_features_has_command (features, "block-commit"));
  g_assert_false (qmp_features_has_command (features, "JOB_STATUS_CHANGE"));
  g_assert_false (qmp_features_has_command (features, "no-such-command"));
  g_assert_false (qmp_features_has_command (features, "str"));
  g_assert_true (qmp_features_has_event (features, "JOB_STATUS_CHANGE"));
  g_assert_false (qmp_features_has_event (features, "block-commit"));

  g_assert_true (qmp_features_has_argument (features, "block-commit", "base-node"));
  g_assert_false (qmp_features_has_argument (features, "block-commit", "base-nodes"));
  g_assert_false (qmp_features_has_argument (features, "block-commit", "base-node/deeper"));
  g_assert_false (qmp_features_has_argument (features, "no-such-command", "base-node"));
  g_assert_false (qmp_features_has_argument (features, "block-commit", ""));
  g_assert_false (qmp_features_has_argument (features, "JOB_STATUS_CHANGE", "status"));

  /* array, then variants, then an alternate, then the same type again */
  g_assert_true (qmp_features_has_argument (features, "blockdev-reopen", "options/discard"));
  g_assert_true (qmp_features_has_argument (features, "blockdev-reopen", "options/backing"));
  g_assert_true (qmp_features_has_argument (features, "blockdev-reopen", "options/file/filename"));
  g_assert_true (qmp_features_has_argument (features, "blockdev-reopen",
                                            "options/file/file/backing/file/locking"));
  g_assert_false (qmp_features_has_argument (features, "blockdev-reopen", "options/file/nothing"));

  g_assert_true (qmp_features_has_value (features, "block-commit", "on-error", "enospc"));
  g_assert_false (qmp_features_has_value (features, "block-commit", "on-error", "never"));
  g_assert_false (qmp_features_has_value (features, "block-commit", "base-node", "enospc"));
  g_assert_false (qmp_features_has_value (features, "block-commit", "nothing", "enospc"));
  g_assert_true (qmp_features_has_value (features, "blockdev-reopen", "options/driver", "qcow2"));
  g_assert_true (qmp_features_has_value (features, "blockdev-reopen", "options/file/locking",
                                         "auto"));

  g_assert_true (qmp_features_has_flag (features, "x-debug-query-block-graph", NULL, "unstable"));
  g_assert_false (qmp_features_has_flag (features, "block-commit", NULL, "unstable"));
  g_assert_true (qmp_features_has_flag (features, "block-commit", "base", "deprecated"));
  g_assert_false (qmp_features_has_flag (features, "block-commit", "base-node", "deprecated"));
  g_assert_true (qmp_features_has_flag (features, "blockdev-snapshot", NULL,
                                        "allow-write-only-overlay"));
  g_assert_true (qmp_features_has_flag (features, "blockdev-reopen", "options/file",
                                        "dynamic-auto-read-only"));
}

static void
test_captured (gconstpointer data)
{
  g_autoptr (JsonNode) schema = load (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpFeatures) features = qmp_features_parse (schema, &error);

  g_assert_no_error (error);
  assert_common (features);
  /* New in 10.0, and the reason to ask. */
  g_assert_true (qmp_features_has_argument (features, "blockdev-reopen", "options/active")
                 == (strstr (data, "10.0") != NULL));
}

/* --- schemas that are none --- */

static void
test_refused (gconstpointer data)
{
  g_autoptr (JsonNode) schema = json_from_string (data, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpFeatures) features = qmp_features_parse (schema, &error);

  g_assert_null (features);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_test_message ("%s", error->message);
  g_assert_true (g_str_has_prefix (error->message, "Reply of query-qmp-schema: "));
}

/* Types that contain themselves, in every way that there is, end every question. */
static void
test_circles (void)
{
  g_autoptr (JsonNode) schema = json_from_string (
    "[{\"name\":\"c\",\"meta-type\":\"command\",\"arg-type\":\"a\",\"ret-type\":\"a\"},"
    "{\"name\":\"a\",\"meta-type\":\"array\",\"element-type\":\"b\"},"
    "{\"name\":\"b\",\"meta-type\":\"alternate\",\"members\":[{\"type\":\"a\"},{\"type\":\"b\"},"
    "{\"type\":\"o\"}]},"
    "{\"name\":\"o\",\"meta-type\":\"object\",\"members\":[{\"name\":\"m\",\"type\":\"b\"}],"
    "\"tag\":\"m\",\"variants\":[{\"case\":\"x\",\"type\":\"o\"}]}]", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpFeatures) features = qmp_features_parse (schema, &error);

  g_assert_no_error (error);
  g_assert_true (qmp_features_has_argument (features, "c", "m/m/m/m/m/m/m/m"));
  g_assert_false (qmp_features_has_argument (features, "c", "m/m/m/m/m/m/m/n"));
  g_assert_false (qmp_features_has_value (features, "c", "m/m", "x"));
}

/* Every value of a good schema replaced by odd ones: refused or understood, never more. */
static void
spoil (JsonNode *schema,
       JsonNode *node,
       guint    *refused)
{
  static const char *const odd_values[] = { "null", "7", "\"odd\"", "[]", "{}", "[7]", "[{}]" };

  if (JSON_NODE_HOLDS_OBJECT (node))
    {
      JsonObject *object = json_node_get_object (node);
      g_autoptr (GList) names = json_object_get_members (object);

      for (GList *l = names; l != NULL; l = l->next)
        {
          g_autofree char *name = g_strdup (l->data);
          JsonNode *good = json_node_copy (json_object_get_member (object, name));

          for (guint i = 0; i <= G_N_ELEMENTS (odd_values); i++)
            {
              g_autoptr (QmpFeatures) features = NULL;
              g_autoptr (GError) error = NULL;

              if (i < G_N_ELEMENTS (odd_values))
                json_object_set_member (object, name, json_from_string (odd_values[i], NULL));
              else
                json_object_remove_member (object, name);

              features = qmp_features_parse (schema, &error);
              if (features != NULL)
                (void) qmp_features_has_argument (features, "blockdev-reopen", "options/file/file");
              else
                {
                  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
                  (*refused)++;
                }
            }
          json_object_set_member (object, name, good);
          spoil (schema, good, refused);
        }
    }
  else if (JSON_NODE_HOLDS_ARRAY (node))
    {
      JsonArray *array = json_node_get_array (node);
      guint most = node == schema ? G_MAXUINT : 1;

      for (guint i = 0; i < MIN (json_array_get_length (array), most); i++)
        spoil (schema, json_array_get_element (array, i), refused);
    }
}

static void
test_spoilt (void)
{
  g_autoptr (JsonNode) schema = load ("schema-7.2.json");
  guint refused = 0;

  spoil (schema, schema, &refused);
  g_assert_cmpuint (refused, >, 500);
}

/* --- the cache --- */

#define TINY \
  "[{\"name\":\"stop\",\"meta-type\":\"command\",\"arg-type\":\"0\",\"ret-type\":\"0\"}," \
  "{\"name\":\"0\",\"meta-type\":\"object\",\"members\":[]}]"

static QmpFeatures *
look_up (QmpFeatureCache  *cache,
         QmpClient        *client,
         GError          **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_feature_cache_lookup_async (cache, client, DEADLINE, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_feature_cache_lookup_finish (cache, result, error);
}

/* Scripted peers are all this very process: one program. */
static void
test_shared (void)
{
  g_autoptr (QmpFeatureCache) cache = qmp_feature_cache_new ();
  g_autoptr (Peer) first = peer_new ();
  g_autoptr (Peer) second = peer_new ();
  g_autoptr (QmpClient) one = NULL;
  g_autoptr (QmpClient) two = NULL;
  g_autoptr (QmpFeatures) late = NULL;
  GAsyncResult *results[3] = { NULL };
  g_autoptr (GError) error = NULL;

  peer_greet (first);
  peer_greet (second);
  one = sync_open (first, QMP_DIALECT_MONITOR);
  two = sync_open (second, QMP_DIALECT_MONITOR);
  peer_expect (first, "query-qmp-schema", NULL);
  peer_return (first, TINY);

  qmp_feature_cache_lookup_async (cache, one, DEADLINE, NULL, sync_done, &results[0]);
  qmp_feature_cache_lookup_async (cache, two, DEADLINE, NULL, sync_done, &results[1]);
  qmp_feature_cache_lookup_async (cache, one, DEADLINE, NULL, sync_done, &results[2]);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (QmpFeatures) features = NULL;

      sync_wait (&results[i]);
      features = qmp_feature_cache_lookup_finish (cache, results[i], &error);
      g_assert_no_error (error);
      g_assert_true (qmp_features_has_command (features, "stop"));
      g_object_unref (results[i]);
    }

  late = look_up (cache, two, &error);
  g_assert_no_error (error);
  g_assert_true (qmp_features_has_command (late, "stop"));
}

/* The one who asks fails; the next one asks for itself, and its success is everybody's. */
static void
test_asker_fails (gconstpointer data)
{
  const char *how = data;
  g_autoptr (QmpFeatureCache) cache = qmp_feature_cache_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (Peer) first = peer_new ();
  g_autoptr (Peer) second = peer_new ();
  g_autoptr (QmpClient) one = NULL;
  g_autoptr (QmpClient) two = NULL;
  GAsyncResult *results[3] = { NULL };
  g_autoptr (QmpFeatures) none = NULL;
  g_autoptr (GError) error = NULL;

  peer_greet (first);
  peer_greet (second);
  one = sync_open (first, QMP_DIALECT_MONITOR);
  two = sync_open (second, QMP_DIALECT_MONITOR);
  peer_expect (first, "query-qmp-schema", NULL);
  if (g_str_equal (how, "nonsense"))
    peer_return (first, "[{}]");
  else if (g_str_equal (how, "hang-up"))
    peer_hang_up (first);
  peer_expect (second, "query-qmp-schema", NULL);
  peer_return (second, TINY);

  qmp_feature_cache_lookup_async (cache, one, g_str_equal (how, "silence") ? 50 : DEADLINE,
                                  cancellable, sync_done, &results[0]);
  qmp_feature_cache_lookup_async (cache, two, DEADLINE, NULL, sync_done, &results[1]);
  qmp_feature_cache_lookup_async (cache, two, DEADLINE, NULL, sync_done, &results[2]);
  if (g_str_equal (how, "cancel"))
    g_cancellable_cancel (cancellable);

  sync_wait (&results[0]);
  none = qmp_feature_cache_lookup_finish (cache, results[0], &error);
  g_assert_null (none);
  g_assert_nonnull (error);
  g_assert_true (g_str_has_prefix (error->message, "Cannot learn what QEMU can do: "));
  g_clear_error (&error);
  for (guint i = 1; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (QmpFeatures) features = NULL;

      sync_wait (&results[i]);
      features = qmp_feature_cache_lookup_finish (cache, results[i], &error);
      g_assert_no_error (error);
      g_assert_true (qmp_features_has_command (features, "stop"));
    }
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    g_object_unref (results[i]);
}

/* Those who wait for somebody else's answer have deadlines of their own. */
static void
test_waiter_leaves (void)
{
  g_autoptr (QmpFeatureCache) cache = qmp_feature_cache_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = NULL;
  GAsyncResult *results[3] = { NULL };
  g_autoptr (QmpFeatures) features = NULL;
  g_autoptr (GError) error = NULL;

  peer_greet (peer);
  client = sync_open (peer, QMP_DIALECT_MONITOR);
  peer_expect (peer, "query-qmp-schema", NULL);
  peer_hold (peer);
  peer_return (peer, TINY);

  qmp_feature_cache_lookup_async (cache, client, DEADLINE, NULL, sync_done, &results[0]);
  qmp_feature_cache_lookup_async (cache, client, 30, NULL, sync_done, &results[1]);
  qmp_feature_cache_lookup_async (cache, client, DEADLINE, cancellable, sync_done, &results[2]);

  sync_wait (&results[1]);
  g_assert_null (qmp_feature_cache_lookup_finish (cache, results[1], &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  sync_wait (&results[2]);
  g_assert_null (qmp_feature_cache_lookup_finish (cache, results[2], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (results[0]);

  peer_go (peer);
  sync_wait (&results[0]);
  features = qmp_feature_cache_lookup_finish (cache, results[0], &error);
  g_assert_no_error (error);
  g_assert_nonnull (features);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    g_object_unref (results[i]);
}

/* --- real ones --- */

static void
test_storage (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (Live) same = live != NULL ? live_storage (data) : NULL;
  g_autoptr (QmpFeatureCache) cache = qmp_feature_cache_new ();
  g_autoptr (QmpFeatures) features = NULL;
  g_autoptr (QmpFeatures) again = NULL;
  g_autoptr (GError) error = NULL;

  if (same == NULL)
    return;

  features = look_up (cache, live->client, &error);
  g_assert_no_error (error);
  assert_common (features);
  g_assert_false (qmp_features_has_command (features, "query-status"));

  again = look_up (cache, same->client, &error);
  g_assert_no_error (error);
  g_assert_true (again == features);
}

static void
test_system (gconstpointer data)
{
  g_autoptr (Live) live = live_folder (data);
  g_autoptr (Live) storage = NULL;
  g_autoptr (QmpFeatureCache) cache = qmp_feature_cache_new ();
  g_autoptr (QmpFeatures) features = NULL;
  g_autoptr (QmpFeatures) other = NULL;
  g_autoptr (GError) error = NULL;

  if (live == NULL)
    return;

  live_system (live, "");
  storage = live_storage (data);
  other = look_up (cache, storage->client, &error);
  g_assert_no_error (error);
  features = look_up (cache, live->client, &error);
  g_assert_no_error (error);
  g_assert_true (features != other);            /* another program, though of the same version */
  assert_common (features);
  g_assert_true (qmp_features_has_command (features, "query-status"));
  g_assert_true (qmp_features_has_argument (features, "transaction", "actions/data/overlay"));
  g_assert_true (qmp_features_has_event (features, "SHUTDOWN"));
}

int
main (int    argc,
      char **argv)
{
  static const struct
  {
    const char *name;
    const char *schema;
  } refused[] = {
    { "object", "{}" },
    { "elements", "[1]" },
    { "nameless", "[{\"meta-type\":\"builtin\"}]" },
    { "no-meta-type", "[{\"name\":\"x\"}]" },
    { "twice", "[{\"name\":\"x\",\"meta-type\":\"builtin\"},"
      "{\"name\":\"x\",\"meta-type\":\"builtin\"}]" },
    { "no-such-type", "[{\"name\":\"x\",\"meta-type\":\"array\",\"element-type\":\"y\"}]" },
    { "no-such-member", "[{\"name\":\"x\",\"meta-type\":\"object\",\"members\":"
      "[{\"name\":\"m\",\"type\":\"y\"}]}]" },
    { "command-as-type", "[{\"name\":\"c\",\"meta-type\":\"command\",\"arg-type\":\"c\"}]" },
    { "values", "[{\"name\":\"e\",\"meta-type\":\"enum\",\"values\":[\"a\",7]}]" },
  };
  static const char *const failures[] = { "nonsense", "hang-up", "silence", "cancel" };

  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/features/captured/7.2", "schema-7.2.json", test_captured);
  g_test_add_data_func ("/features/captured/10.0", "schema-10.0.json", test_captured);
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autofree char *path = g_strconcat ("/features/refused/", refused[i].name, NULL);

      g_test_add_data_func (path, refused[i].schema, test_refused);
    }
  g_test_add_func ("/features/circles", test_circles);
  g_test_add_func ("/features/spoilt", test_spoilt);
  g_test_add_func ("/features/cache/shared", test_shared);
  g_test_add_func ("/features/cache/waiter-leaves", test_waiter_leaves);
  for (guint i = 0; i < G_N_ELEMENTS (failures); i++)
    {
      g_autofree char *path = g_strconcat ("/features/cache/asker-fails/", failures[i], NULL);

      g_test_add_data_func (path, failures[i], test_asker_fails);
    }
  live_add_test ("/features/live/storage", test_storage);
  live_add_test ("/features/live/system", test_system);

  return g_test_run ();
}
