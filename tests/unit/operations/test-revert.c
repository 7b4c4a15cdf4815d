/* SPDX-License-Identifier: Apache-2.0 */

/* What going back to a point means for chains, and what becomes of one that was cut off. */

#include "chain-model.h"

#include <core/error.h>
#include <string.h>

#include "chain/restore-steps.h"

#define ID "0f3c7c0e-6d55-4a6c-93ab-5b8a3c1f8f55"

/* The guest runs. */
static void
set_up (ChainModel *self, gconstpointer data)
{
  chain_model_set_up (self, data);
  self->look->offline = FALSE;
}

static void
add (const char *path, void (*func) (ChainModel *, gconstpointer))
{
  g_test_add (path, ChainModel, NULL, set_up, func, chain_model_tear_down);
}

/* The whole plan, read again as after a restart. */
static Revert *
try_plan (ChainModel *self, const char *text, GError **error)
{
  g_autoptr (JsonNode) node = json_from_string (text, NULL);
  g_autoptr (GPtrArray) disks = NULL;
  g_autoptr (JsonObject) json = NULL;
  g_autoptr (Revert) revert = NULL;
  ChainAsk ask = {
    .operations = self->operations, .guest = self->guest, .operation = ID, .look = self->look,
  };

  g_assert_nonnull (node);
  ask.request = json_node_get_object (node);
  if (!chain_revert_verb.check (ask.request, error))
    return NULL;
  disks = chain_revert_verb.disks (ask.request, self->look, error);
  ask.disks = disks;
  json = disks != NULL ? chain_revert_verb.plan (&ask, error) : NULL;
  if (json == NULL)
    return NULL;
  revert = revert_new ();
  g_assert_true (revert_load (revert, json, NULL));
  return g_steal_pointer (&revert);
}

static Revert *
plan (ChainModel *self, const char *text)
{
  g_autoptr (GError) error = NULL;
  Revert *revert = try_plan (self, text, &error);

  g_assert_no_error (error);
  return revert;
}

static void
assert_refused (ChainModel *self, const char *text, AgentError code, const char *word)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Revert) revert = try_plan (self, text, &error);

  if (revert != NULL)
    g_error ("%s is not refused for \"%s\"", text, word);
  g_assert_error (error, AGENT_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, word));
}

/* "path@node ..." */
static char *
layers_text (GPtrArray *layers)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < layers->len; i++)
    {
      const RevertLayer *layer = g_ptr_array_index (layers, i);

      g_string_append_printf (text, "%s%s:%s@%s", i > 0 ? " " : "", layer->path, layer->format,
                              layer->node);
    }
  return g_strdup (text->str);
}

static void
assert_goes (const Revert *revert, const char *base_node, const char *opens, const char *leaves)
{
  const RevertDisk *disk = g_ptr_array_index (revert->disks, 0);
  g_autofree char *found_opens = layers_text (disk->opens);
  g_autofree char *found_leaves = layers_text (disk->leaves);

  g_assert_cmpstr (disk->base_node, ==, base_node);
  g_assert_cmpstr (found_opens, ==, opens);
  g_assert_cmpstr (found_leaves, ==, leaves);
}

/* --- where a disk goes --- */

static void
test_in_the_chain (ChainModel *self, gconstpointer data)
{
  g_autoptr (Revert) revert = NULL;
  const RevertDisk *disk;

  chain_model_disk (self, "a", 10, 4);
  chain_model_point (self, "first", "a", 11);
  revert = plan (self, "{\"point\": \"first\"}");
  assert_goes (revert, "node-11", "", "/d/a.3:qcow2@node-13 /d/a.2:qcow2@node-12");
  disk = g_ptr_array_index (revert->disks, 0);
  g_assert_cmpstr (disk->to_path, ==, "/d/a.1");
  g_assert_cmpint (disk->from_ino, ==, 13);
  g_assert_cmpstr (disk->root_node, ==, disk->active_node);
  g_assert_cmpuint (strlen (disk->overlay_file_node), <=, 31);
  g_assert_true (revert->reset);
  g_assert_false (revert->discard);
}

static ImageLink *
branch (ChainModel *self, guint64 ino, guint64 on, const char *format)
{
  ImageLink *link = chain_model_branch (self, "a", ino, on);

  if (on != 0)
    {
      link->backing = g_strdup_printf ("/d/of-%" G_GUINT64_FORMAT, on);
      link->backing_format = g_strdup (format);
    }
  return link;
}

static void
test_on_a_branch (ChainModel *self, gconstpointer data)
{
  g_autoptr (Revert) revert = NULL;

  chain_model_disk (self, "a", 10, 3);
  branch (self, 20, 10, "qcow2");
  branch (self, 21, 20, "qcow2");
  chain_model_point (self, "left", "a", 21);
  revert = plan (self, "{\"point\": \"left\"}");
  assert_goes (revert, "node-10",
               "/d/a.20:qcow2@qsnap-0f3c7c0e6d55-0-l1 /d/a.21:qcow2@qsnap-0f3c7c0e6d55-0-l0",
               "/d/a.2:qcow2@node-12 /d/a.1:qcow2@node-11");
}

static void
test_on_another_base (ChainModel *self, gconstpointer data)
{
  g_autoptr (Revert) revert = NULL;

  chain_model_disk (self, "a", 10, 2);
  branch (self, 30, 0, NULL);
  branch (self, 31, 30, "raw");
  chain_model_point (self, "else", "a", 31);
  revert = plan (self, "{\"point\": \"else\"}");
  assert_goes (revert, NULL,
               "/d/a.30:raw@qsnap-0f3c7c0e6d55-0-l1 /d/a.31:qcow2@qsnap-0f3c7c0e6d55-0-l0",
               "/d/a.1:qcow2@node-11 /d/a.0:qcow2@node-10");
}

/* A raw layer may hold what looks like the header of a qcow2 image: nobody follows that. */
static void
test_raw_ends_a_chain (ChainModel *self, gconstpointer data)
{
  g_autoptr (Revert) revert = NULL;
  Point *point;

  chain_model_disk (self, "a", 10, 2);
  branch (self, 30, 29, "raw");
  point = chain_model_point (self, "raw", "a", 30);
  g_free (((PointDisk *) g_ptr_array_index (point->disks, 0))->format);
  ((PointDisk *) g_ptr_array_index (point->disks, 0))->format = g_strdup ("raw");
  revert = plan (self, "{\"point\": \"raw\"}");
  assert_goes (revert, NULL, "/d/a.30:raw@qsnap-0f3c7c0e6d55-0-l0",
               "/d/a.1:qcow2@node-11 /d/a.0:qcow2@node-10");
}

static void
test_what_stands_in_the_way (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "a", 10, 3);
  Layer *active = disk_get_active (disk);
  ImageLink *link;

  chain_model_point (self, "gone", "a", 99);
  assert_refused (self, "{\"point\": \"gone\"}", AGENT_ERROR_CONFLICT, "not there");
  chain_model_point (self, "active", "a", 12);
  assert_refused (self, "{\"point\": \"active\"}", AGENT_ERROR_CONFLICT, "writes to");

  link = branch (self, 20, 10, NULL);
  chain_model_point (self, "left", "a", 20);
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "does not say");
  link->backing_format = g_strdup ("qcow2");
  link->backing_known = FALSE;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "stands on");
  link->backing_known = TRUE;
  link->encrypted = TRUE;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "encrypted");
  link->encrypted = FALSE;
  link->has_data_file = TRUE;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "another file");
  link->has_data_file = FALSE;
  link->backing_ino = 20;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "does not end");
  link->backing_ino = 12;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "writes to");
  link->backing_ino = 10;
  link->virtual_size = 1;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "size");
  self->look->offline = TRUE;
  revert_free (plan (self, "{\"point\": \"left\"}"));
  self->look->offline = FALSE;
  link->virtual_size = active->virtual_size;

  active->encrypted = TRUE;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "encrypted");
  active->encrypted = FALSE;
  active->linked = TRUE;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "symbolic link");
  active->linked = FALSE;
  active->facts.block_device = TRUE;
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "no local file");
  active->facts.block_device = FALSE;
  g_free (active->format);
  active->format = g_strdup ("raw");
  assert_refused (self, "{\"point\": \"left\"}", AGENT_ERROR_CONFLICT, "raw");
}

/* Seen to hang: a filter above a device that stays in its iothread, before QEMU 9.0. */
static void
test_iothreads (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "a", 10, 2);

  chain_model_point (self, "p", "a", 10);
  self->look->inspection->reopen_kills = TRUE;
  revert_free (plan (self, "{\"point\": \"p\"}"));
  g_free (disk->root);
  disk->root = g_strdup ("throttle");
  revert_free (plan (self, "{\"point\": \"p\"}"));
  g_ptr_array_set_size (disk->aliases, 1);
  assert_refused (self, "{\"point\": \"p\"}", AGENT_ERROR_CONFLICT, "throttle");
  self->look->inspection->reopen_kills = FALSE;
  revert_free (plan (self, "{\"point\": \"p\"}"));
}

static void
test_requests (ChainModel *self, gconstpointer data)
{
  g_autofree char *long_name = g_strnfill (256, 'x');
  g_autofree char *too_long = g_strdup_printf ("{\"point\": \"p\", \"name\": \"%s\"}", long_name);
  g_autoptr (Revert) one = NULL;
  g_autoptr (Revert) both = NULL;
  Point *point;

  chain_model_disk (self, "a", 10, 2);
  chain_model_disk (self, "b", 20, 2);
  point = chain_model_point (self, "p", "a", 10);
  chain_model_extend (point, "b", 20);
  chain_model_point (self, "of-a", "a", 10);
  both = plan (self, "{\"point\": \"p\", \"discard\": true, \"reset\": false, \"name\": \"n\"}");
  g_assert_cmpuint (both->disks->len, ==, 2);
  g_assert_true (both->discard);
  g_assert_false (both->reset);
  g_assert_cmpstr (both->branch, ==, "n");
  one = plan (self, "{\"point\": \"p\", \"disks\": [\"b\", \"b\"]}");
  g_assert_cmpuint (one->disks->len, ==, 1);
  g_assert_cmpstr (((RevertDisk *) g_ptr_array_index (one->disks, 0))->disk, ==, "b");

  assert_refused (self, "{}", AGENT_ERROR_INVALID, "point");
  assert_refused (self, "{\"point\": \"x\"}", AGENT_ERROR_NOT_FOUND, "x");
  assert_refused (self, "{\"point\": \"p\", \"disks\": [\"c\"]}", AGENT_ERROR_NOT_FOUND, "c");
  assert_refused (self, "{\"point\": \"of-a\", \"disks\": [\"b\"]}", AGENT_ERROR_CONFLICT, "b");
  assert_refused (self, "{\"point\": \"p\", \"disks\": []}", AGENT_ERROR_INVALID, "disks");
  assert_refused (self, "{\"point\": \"p\", \"disks\": [1]}", AGENT_ERROR_INVALID, "disks");
  assert_refused (self, "{\"point\": \"p\", \"disks\": \"a\"}", AGENT_ERROR_INVALID, "disks");
  assert_refused (self, "{\"point\": \"p\", \"reset\": 1}", AGENT_ERROR_INVALID, "reset");
  assert_refused (self, "{\"point\": \"p\", \"name\": \"\"}", AGENT_ERROR_INVALID, "name");
  assert_refused (self, too_long, AGENT_ERROR_INVALID, "name");
}

/* The name of what is left has room in a name, and no half characters, however long the point's. */
static void
test_name_of_the_branch (ChainModel *self, gconstpointer data)
{
  chain_model_disk (self, "a", 10, 2);
  for (guint n = 90; n <= 127; n++)
    {
      g_autoptr (GString) name = g_string_new ("x");
      g_autofree char *request = NULL;
      g_autoptr (Revert) revert = NULL;

      for (guint i = 0; i < n; i++)
        g_string_append (name, "ü");
      chain_model_point (self, name->str, "a", 10);
      request = g_strdup_printf ("{\"point\": \"%s\"}", name->str);
      revert = plan (self, request);
      g_assert_true (g_utf8_validate (revert->branch, -1, NULL));
      g_assert_cmpuint (strlen (revert->branch), <=, 255);
      g_assert_true (g_str_has_prefix (revert->branch, "before revert to xü"));
      g_assert_true (g_str_has_suffix (revert->branch, "Z"));
    }
}

/* --- what becomes of one that was cut off --- */

static Revert *
two_disks (RevertFacts *facts)
{
  Revert *self = revert_new ();

  for (guint i = 0; i < 2; i++)
    {
      RevertDisk *disk = revert_disk_new ();

      disk->from_dev = disk->overlay_dev = 1;
      disk->from_ino = 10 * i + 1;
      disk->overlay_ino = 10 * i + 2;
      disk->job = g_strdup_printf ("job-%u", i);
      g_ptr_array_add (self->disks, disk);
    }
  self->facts = g_memdup2 (facts, 2 * sizeof (RevertFacts));
  return self;
}

static void
assert_decides (Revert *self)
{
  gboolean first = self->facts[0].name_on_overlay || self->facts[0].overlay_active;
  gboolean second = self->facts[1].name_on_overlay || self->facts[1].overlay_active;
  gboolean is_over = self->switched_us != 0 && (self->offline || self->gone_on);
  Recovery recovery = revert_decide (self, "publish", FALSE);

  if (self->guest_state == REVERT_GUEST_UNKNOWN)
    g_assert_cmpint (recovery.action, ==, RECOVERY_WAIT);
  else if (is_over)
    g_assert_cmpstr (recovery.step, ==, "close-nodes");
  /* Nothing that anybody could see has happened. */
  else if (!first && !second)
    g_assert_cmpint (recovery.action, ==, RECOVERY_UNDO);
  /* Somebody has written to both by now. */
  else if (self->given_up || (first != second && self->guest_state == REVERT_GUEST_OTHER))
    g_assert_cmpint (recovery.action, ==, RECOVERY_UNDO);
  /* All, once it is one. */
  else
    {
      g_assert_cmpint (recovery.action, ==, RECOVERY_RESUME);
      g_assert_cmpstr (recovery.step, ==, self->offline ? "publish" : "finish");
    }
  g_assert_nonnull (recovery.reason);
}

static void
test_decide (void)
{
  for (guint bits = 0; bits < 1 << 10; bits++)
    {
      RevertFacts facts[2] = {
        { .name_on_overlay = (bits & 1) != 0, .overlay_active = (bits & 2) != 0 },
        { .name_on_overlay = (bits & 4) != 0, .overlay_active = (bits & 8) != 0 },
      };
      g_autoptr (Revert) self = two_disks (facts);

      self->offline = (bits & 16) != 0;
      self->gone_on = (bits & 32) != 0;
      self->switched_us = (bits & 64) != 0 ? 1 : 0;
      self->given_up = (bits & 128) != 0;
      self->guest_state = (RevertGuest) (bits >> 8);
      assert_decides (self);
    }
}

static void
test_decide_of_a_restore (void)
{
  RevertFacts facts[2] = { { FALSE }, { FALSE } };
  g_autoptr (Revert) self = two_disks (facts);

  self->guest_state = REVERT_GUEST_SAME;
  g_assert_cmpstr (restore_decide (self, "find-image", TRUE).step, ==, "find-image");
  g_assert_cmpstr (restore_decide (self, "choose-names", FALSE).step, ==, "find-image");
  g_assert_cmpstr (restore_decide (self, "fetch", FALSE).step, ==, "fetch");
  g_assert_cmpstr (restore_decide (self, "find-target", TRUE).step, ==, "fetch");
  g_assert_cmpint (restore_decide (self, "create-files", FALSE).action, ==, RECOVERY_UNDO);
  self->facts[0].name_on_overlay = TRUE;
  g_assert_cmpstr (restore_decide (self, "publish", FALSE).step, ==, "finish");
}

/* By inodes: a guest that was started anew has other names for its nodes. */
static void
test_judge (void)
{
  RevertFacts none[2] = { { .name_on_overlay = TRUE }, { FALSE } };
  g_autoptr (Revert) self = two_disks (none);
  g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func ((GDestroyNotify) qmp_job_info_free);
  QmpJobInfo *info = g_new0 (QmpJobInfo, 1);
  Disk *disk = model_disk ("a");

  model_add_layer (disk, "/d/a.1", "qcow2", 2);
  model_add_layer (disk, "/d/a.0", "qcow2", 5);
  g_ptr_array_add (disks, disk);
  disk = model_disk ("b");
  model_add_layer (disk, "/d/b.2", "qcow2", 30);
  model_add_layer (disk, "/d/b.1", "qcow2", 12);
  model_add_layer (disk, "/d/b.0", "qcow2", 11);
  g_ptr_array_add (disks, disk);
  info->id = g_strdup ("job-1");
  info->state = QMP_JOB_PENDING;
  g_ptr_array_add (jobs, info);

  revert_facts_judge (self, disks, jobs);
  g_assert_true (self->facts[0].name_on_overlay);
  g_assert_true (self->facts[0].overlay_active && self->facts[0].overlay_open);
  g_assert_false (self->facts[0].from_open || self->facts[0].has_job);
  g_assert_false (self->facts[1].overlay_active || self->facts[1].name_on_overlay);
  g_assert_true (self->facts[1].overlay_open && self->facts[1].from_open);
  g_assert_true (self->facts[1].has_job);
  g_assert_cmpint (self->facts[1].job_state, ==, QMP_JOB_PENDING);
  g_assert_cmpuint (revert_count_moved (self), ==, 1);
}

/* --- who goes on --- */

/* What its owner has paused stays so, and what is at an error that no reset ends. */
static void
test_who_goes_on (void)
{
  g_autoptr (Revert) self = revert_new ();

  for (guint i = 0; i < 2; i++)
    {
      self->reset = i == 1;
      g_assert_true (revert_is_to_run (self, "running"));
      g_assert_cmpint (revert_is_to_run (self, "io-error"), ==, self->reset);
      g_assert_cmpint (revert_is_to_run (self, "guest-panicked"), ==, self->reset);
      g_assert_false (revert_is_to_run (self, "paused"));
      g_assert_false (revert_is_to_run (self, "prelaunch"));
      g_assert_false (revert_is_to_run (self, "shutdown"));
      g_assert_false (revert_is_to_run (self, NULL));
    }
}

/* --- images --- */

static ImageInfo *
image (const char *format, const char *status, const char *parent)
{
  ImageInfo *info = image_info_new ();

  info->id = g_strdup ("i");
  info->disk_format = g_strdup (format);
  info->status = g_strdup (status);
  info->size = 1;
  info->sha512 = g_strdup ("0");
  if (parent != NULL)
    image_info_set (info, "qsnapd_parent", parent);
  return info;
}

static void
assert_image (ImageInfo *info, const char *problem)
{
  g_autoptr (ImageInfo) owned = info;
  g_autoptr (GError) error = NULL;
  const char *parent;

  g_assert_cmpint (restore_check_image (owned, &parent, &error), ==, problem == NULL);
  if (problem == NULL)
    return;
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, problem));
}

static void
test_images (void)
{
  ImageInfo *info;

  assert_image (image ("qcow2", "active", NULL), NULL);
  assert_image (image ("raw", "active", NULL), NULL);
  assert_image (image ("qcow2", "active", ID), NULL);
  assert_image (image ("qcow2", "active", "../x"), "parent");
  assert_image (image ("raw", "active", ID), "parent");
  assert_image (image ("vmdk", "active", NULL), "vmdk");
  assert_image (image ("qcow2", "saving", NULL), "saving");
  info = image ("qcow2", "active", NULL);
  g_clear_pointer (&info->sha512, g_free);
  assert_image (info, "hash");
  info = image ("qcow2", "active", NULL);
  info->size = 0;
  assert_image (info, "bytes");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add ("/operations/revert/in-the-chain", test_in_the_chain);
  add ("/operations/revert/on-a-branch", test_on_a_branch);
  add ("/operations/revert/on-another-base", test_on_another_base);
  add ("/operations/revert/raw-ends-a-chain", test_raw_ends_a_chain);
  add ("/operations/revert/in-the-way", test_what_stands_in_the_way);
  add ("/operations/revert/iothreads", test_iothreads);
  add ("/operations/revert/requests", test_requests);
  add ("/operations/revert/name-of-the-branch", test_name_of_the_branch);
  g_test_add_func ("/operations/revert/decide", test_decide);
  g_test_add_func ("/operations/revert/decide-of-a-restore", test_decide_of_a_restore);
  g_test_add_func ("/operations/revert/judge", test_judge);
  g_test_add_func ("/operations/revert/who-goes-on", test_who_goes_on);
  g_test_add_func ("/operations/restore/images", test_images);
  return g_test_run ();
}
