/* SPDX-License-Identifier: Apache-2.0 */

/* What a mirror can be asked to do, what it refuses, and what a restart knows of it. */

#include "chain-model.h"

#include <core/error.h>
#include <string.h>

#include "chain/mirror.h"

static MirrorRequest *
parse (const char *text, GError **error)
{
  g_autoptr (JsonNode) node = json_from_string (text, NULL);

  g_assert_nonnull (node);
  return mirror_request_parse (json_node_get_object (node), NULL, error);
}

static void
test_defaults (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MirrorRequest) request = parse ("{\"disk\": \"a\", \"target\": {\"path\": \"/d/c\"}}",
                                             &error);

  g_assert_no_error (error);
  g_assert_cmpint (request->target, ==, MIRROR_TO_FILE);
  g_assert_cmpstr (request->format, ==, "qcow2");
  g_assert_cmpstr (request->sync, ==, "full");
  g_assert_cmpstr (request->copy_mode, ==, "background");
  g_assert_false (request->pivots || request->allow_path_change || request->allow_format_change);
  g_assert_cmpint (request->late_policy, ==, LATE_LEAVE);
  g_assert_cmpint (request->quiesce, ==, QUIESCE_NONE);
}

static void
test_targets (void)
{
  g_autoptr (GError) error = NULL;
  MirrorRequest *request;

  request = parse ("{\"disk\": \"a\", \"target\": {\"device\": \"/dev/b\"}}", &error);
  g_assert_no_error (error);
  g_assert_cmpint (request->target, ==, MIRROR_TO_DEVICE);
  g_assert_cmpstr (request->format, ==, "raw");
  mirror_request_free (request);

  request = parse ("{\"disk\": \"a\", \"target\": {\"nbd\": {\"host\": \"h\", \"port\": \"1\", "
                   "\"export\": \"e\"}}}", &error);
  g_assert_no_error (error);
  g_assert_cmpint (request->target, ==, MIRROR_TO_NBD);
  g_assert_cmpstr (request->nbd_host, ==, "h");
  g_assert_null (request->path);
  mirror_request_free (request);

  request = parse ("{\"disk\": \"a\", \"target\": {\"nbd\": {\"path\": \"/s\"}}}", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (request->path, ==, "/s");
  mirror_request_free (request);
}

#define REST "\"disk\": \"a\", \"target\": {\"path\": \"/c\"}"

static void
test_refused (void)
{
  static const struct
  {
    const char *request;
    const char *word;
  } cases[] = {
    { "{\"target\": {\"path\": \"/c\"}}", "disk" },
    { "{\"disk\": \"a\"}", "target" },
    { "{\"disk\": \"a\", \"target\": \"/c\"}", "target" },
    { "{\"disk\": \"a\", \"target\": {}}", "target" },
    { "{\"disk\": \"a\", \"target\": {\"path\": \"c\"}}", "absolute" },
    { "{\"disk\": \"a\", \"target\": {\"path\": 5}}", "path" },
    { "{\"disk\": \"a\", \"target\": {\"path\": null}}", "absolute" },
    { "{\"disk\": \"a\", \"target\": {\"path\": \"/c\", \"device\": \"/d\"}}", "target" },
    { "{\"disk\": \"a\", \"target\": {\"file\": \"/c\"}}", "file" },
    { "{\"disk\": \"a\", \"target\": {\"nbd\": 1}}", "nbd" },
    { "{\"disk\": \"a\", \"target\": {\"nbd\": {\"host\": \"h\"}}}", "port" },
    { "{\"disk\": \"a\", \"target\": {\"nbd\": {\"path\": \"/s\", \"host\": \"h\", "
      "\"port\": \"1\"}}}", "nbd" },
    { "{\"disk\": \"a\", \"target\": {\"nbd\": {\"path\": \"/s\"}},"
      " \"format\": \"qcow2\"}", "NBD" },
    { "{" REST ", \"format\": \"vmdk\"}", "format" },
    { "{" REST ", \"sync\": \"some\"}", "sync" },
    { "{" REST ", \"sync\": \"top\", \"format\": \"raw\"}", "part" },
    { "{" REST ", \"sync\": \"none\", \"end\": \"pivot\"}", "lost" },
    { "{" REST ", \"sync\": \"none\", \"copy_mode\": \"write-blocking\"}", "clusters" },
    { "{" REST ", \"end\": \"pivot\", \"quiesce\": \"try\"}", "frozen" },
    { "{" REST ", \"speed\": -1}", "speed" },
    { "{" REST ", \"deadline\": 0}", "deadline" },
    { "{" REST ", \"on_deadline\": \"wait\"}", "on_deadline" },
    { "{" REST ", \"allow_path_change\": \"yes\"}", "allow_path_change" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", cases[i].request);
      g_assert_null (parse (cases[i].request, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, cases[i].word));
    }
}

/* What stands on a layer and is in no chain of ours has to be where it is looked for. */
static void
test_copies_of_a_part (ChainModel *self, gconstpointer data)
{
  g_autofree char *request = g_strdup_printf ("{\"disk\": \"disk\", \"sync\": \"top\","
                                              " \"target\": {\"path\": \"%s/copy\"}}",
                                              self->folder);
  Disk *disk = chain_model_disk (self, "disk", 10, 3);
  Layer *below = g_ptr_array_index (disk->layers, 1);
  g_autoptr (JsonObject) beside = NULL;
  g_autoptr (JsonObject) scanned = NULL;
  g_autoptr (GError) error = NULL;

  self->look->offline = FALSE;
  g_assert_null (chain_model_plan (self, &chain_mirror_verb, request, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "merged or removed"));
  g_clear_error (&error);

  g_free (below->path);
  below->path = g_build_filename (self->folder, "disk.1", NULL);
  beside = chain_model_plan (self, &chain_mirror_verb, request, &error);
  g_assert_no_error (error);
  /* Nobody looks for anything beside a device. */
  below->facts.block_device = TRUE;
  g_assert_null (chain_model_plan (self, &chain_mirror_verb, request, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);

  g_strfreev (self->config->scan_folders);
  self->config->scan_folders = g_new0 (char *, 2);
  self->config->scan_folders[0] = g_strdup (self->folder);
  scanned = chain_model_plan (self, &chain_mirror_verb, request, &error);
  g_assert_no_error (error);
}

/* The plan is all that a restart knows. */
static void
test_journal (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MirrorJob) written = mirror_job_new ();
  g_autoptr (MirrorJob) read = mirror_job_new ();
  g_autoptr (MirrorJob) none = mirror_job_new ();
  g_autoptr (JsonObject) plan = json_object_new ();
  const char *nodes[] = { "top", "top-file", NULL };

  g_assert_false (mirror_job_load (none, plan, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_clear_error (&error);

  written->disk = g_strdup ("a");
  written->target = MIRROR_TO_DEVICE;
  written->path = g_strdup ("/dev/b");
  written->format = g_strdup ("raw");
  written->virtual_size = 4096;
  written->device_size = 8192;
  written->may_freeze = TRUE;
  written->left_nodes = g_strdupv ((char **) nodes);
  written->pivots.peer.pid = 12;
  written->pivots.peer.start_time = 13;
  g_ptr_array_add (written->pivots.pivots, pivot_new ());
  mirror_job_pivot (written)->to_node = g_strdup ("target");
  mirror_job_save (written, plan);

  g_assert_true (mirror_job_load (read, plan, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (read->path, ==, "/dev/b");
  g_assert_cmpint (read->target, ==, MIRROR_TO_DEVICE);
  g_assert_cmpint (read->device_size, ==, 8192);
  g_assert_true (read->may_freeze);
  g_assert_cmpint (read->pivots.peer.pid, ==, 12);
  g_assert_cmpint (read->pivots.peer.start_time, ==, 13);
  g_assert_true (g_strv_equal ((const char *const *) read->left_nodes, nodes));
  g_assert_cmpstr (mirror_job_pivot (read)->to_node, ==, "target");
}

/* Until the copy has begun, nothing of the guest's was touched; from then on it is looked at. */
static void
test_decide (void)
{
  static const char *const after[] = {
    "copy", "freeze", "end-copy", "go-on", "thaw", "speed-up", "close-target", "check", NULL
  };

  g_assert_cmpint (mirror_decide (NULL, NULL, FALSE).action, ==, RECOVERY_UNDO);
  g_assert_cmpint (mirror_decide (NULL, "create-target", TRUE).action, ==, RECOVERY_UNDO);
  g_assert_cmpint (mirror_decide (NULL, "open-target", TRUE).action, ==, RECOVERY_UNDO);
  for (guint i = 0; after[i] != NULL; i++)
    for (int ended = 0; ended < 2; ended++)
      {
        Recovery recovery = mirror_decide (NULL, after[i], ended);

        g_assert_cmpint (recovery.action, ==, RECOVERY_RESUME);
        g_assert_cmpstr (recovery.step, ==, "copy");
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mirror/defaults", test_defaults);
  g_test_add_func ("/mirror/targets", test_targets);
  g_test_add_func ("/mirror/refused", test_refused);
  g_test_add ("/mirror/copies-of-a-part", ChainModel, NULL, chain_model_set_up,
              test_copies_of_a_part, chain_model_tear_down);
  g_test_add_func ("/mirror/journal", test_journal);
  g_test_add_func ("/mirror/decide", test_decide);
  return g_test_run ();
}
