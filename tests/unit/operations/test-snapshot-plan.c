/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <string.h>

#include "model.h"
#include "snapshot-plan.h"

#define OPERATION "0123abcd-4567-4890-abcd-ef0123456789"

static GPtrArray *
list_of (Disk *first, Disk *second)
{
  GPtrArray *disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);

  g_ptr_array_add (disks, first);
  if (second != NULL)
    g_ptr_array_add (disks, second);
  return disks;
}

static Disk *
simple_disk (const char *name, guint64 ino)
{
  Disk *disk = model_disk (name);

  model_add_layer (disk, disk->published, "qcow2", ino);
  return disk;
}

/* Entries of the folder: pairs of name and inode, ended by NULL. */
static GPtrArray *
entries (const char *name, ...)
{
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) names_entry_free);
  va_list args;

  va_start (args, name);
  for (; name != NULL; name = va_arg (args, const char *))
    {
      NamesEntry *entry = g_new0 (NamesEntry, 1);

      entry->name = g_strdup (name);
      entry->dev = 1;
      entry->ino = va_arg (args, guint);
      g_ptr_array_add (list, entry);
    }
  va_end (args);
  return list;
}

static DiskPlan *
plan_of (Disk *disk, GPtrArray *names, const char *request_json, gboolean reopen_kills)
{
  g_autoptr (SnapshotRequest) request = model_request (request_json);
  g_autoptr (GPtrArray) owned = names;
  PeerLimits limits = { .reopen_kills = reopen_kills };
  g_autoptr (GError) error = NULL;
  DiskPlan *plan = snapshot_plan_disk (disk, 0, names, request, "guest one", OPERATION,
                                       &limits, &error);

  g_assert_no_error (error);
  return plan;
}

/* --- which disks
 * -------------------------------------------------------------------------------- */

static void
test_all_writable (void)
{
  g_autoptr (GPtrArray) disks = list_of (simple_disk ("a", 10), model_disk ("cd"));
  g_autoptr (SnapshotRequest) request = model_request ("{}");
  g_autoptr (GPtrArray) chosen = NULL;

  ((Disk *) g_ptr_array_index (disks, 1))->skipped = g_strdup ("no medium");
  chosen = snapshot_select (disks, request, NULL);
  g_assert_cmpuint (chosen->len, ==, 1);
  g_assert_cmpstr (((Disk *) g_ptr_array_index (chosen, 0))->name, ==, "a");
}

static void
test_named_once (void)
{
  g_autoptr (GPtrArray) disks = list_of (simple_disk ("a", 10), simple_disk ("b", 11));
  g_autoptr (SnapshotRequest) request =
    model_request ("{\"disks\": [\"b\", \"/machine/peripheral/b/virtio-backend\"]}");
  g_autoptr (GPtrArray) chosen = snapshot_select (disks, request, NULL);

  g_assert_cmpuint (chosen->len, ==, 1);
  g_assert_cmpstr (((Disk *) g_ptr_array_index (chosen, 0))->name, ==, "b");
}

static void
assert_refused (Disk *disk, const char *request_json, AgentError code, const char *says)
{
  g_autoptr (GPtrArray) disks = list_of (disk, NULL);
  g_autoptr (SnapshotRequest) request = model_request (request_json);
  g_autoptr (GError) error = NULL;

  g_assert_null (snapshot_select (disks, request, &error));
  g_assert_error (error, AGENT_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, says));
}

static void
test_refusals (void)
{
  Disk *disk = simple_disk ("a", 10);

  assert_refused (disk, "{\"disks\": [\"z\"]}", AGENT_ERROR_NOT_FOUND, "no disk \"z\"");

  disk = model_disk ("cd");
  disk->skipped = g_strdup ("no medium");
  assert_refused (disk, "{\"disks\": [\"cd\"]}", AGENT_ERROR_CONFLICT, "no medium");

  disk = model_disk ("cd");
  disk->skipped = g_strdup ("no medium");
  assert_refused (disk, "{}", AGENT_ERROR_CONFLICT, "no writable disk");

  disk = model_disk ("a");
  model_add_layer (disk, "/d/a", "raw", 10);
  assert_refused (disk, "{}", AGENT_ERROR_CONFLICT, "would see garbage");

  disk = simple_disk ("a", 10);
  disk_get_active (disk)->linked = TRUE;
  assert_refused (disk, "{}", AGENT_ERROR_CONFLICT, "symbolic link");

  disk = simple_disk ("a", 10);
  disk_get_active (disk)->encrypted = TRUE;
  assert_refused (disk, "{}", AGENT_ERROR_CONFLICT, "encrypted");

  disk = model_disk ("a");
  model_add_layer (disk, "/d/a", "vmdk", 10);
  assert_refused (disk, "{}", AGENT_ERROR_CONFLICT, "vmdk");

  disk = simple_disk ("a", 10);
  disk_get_active (disk)->facts.block_device = TRUE;
  assert_refused (disk, "{}", AGENT_ERROR_CONFLICT, "block device");

  disk = model_disk ("a");
  model_add_layer (disk, NULL, "qcow2", 10);
  assert_refused (disk, "{}", AGENT_ERROR_CONFLICT, "no local file");
}

static void
test_allowed_by_request (void)
{
  Disk *raw = model_disk ("a");
  Disk *device = simple_disk ("b", 11);
  g_autoptr (GPtrArray) disks = list_of (raw, device);
  g_autoptr (SnapshotRequest) request =
    model_request ("{\"allow_format_change\": true, \"overlay_folder\": \"/o\"}");
  g_autoptr (GPtrArray) chosen = NULL;

  model_add_layer (raw, "/d/a", "raw", 10);
  disk_get_active (device)->facts.block_device = TRUE;
  chosen = snapshot_select (disks, request, NULL);
  g_assert_cmpuint (chosen->len, ==, 2);
}

/* --- names
 * -------------------------------------------------------------------------------------- */

static void
test_first_of_a_drive (void)
{
  g_autoptr (Disk) disk = simple_disk ("a", 10);
  g_autoptr (DiskPlan) plan = NULL;

  disk_get_active (disk)->auto_named = TRUE;
  plan = plan_of (disk, entries ("a", 10u, NULL), "{}", FALSE);
  g_assert_cmpint (plan->naming, ==, NAMING_STOP);
  g_assert_cmpstr (plan->published, ==, "/d/a");
  g_assert_cmpstr (plan->layer, ==, "/d/a.0");
  g_assert_true (plan->link_layer);
  g_assert_cmpstr (plan->overlay, ==, "/d/a.1");
  g_assert_cmpstr (plan->backing_name, ==, "a.0");
  g_assert_null (plan->below_node);
}

static void
test_first_of_a_named_node (void)
{
  g_autoptr (Disk) disk = simple_disk ("a", 10);
  g_autoptr (DiskPlan) plan = plan_of (disk, entries ("a", 10u, NULL), "{}", FALSE);

  g_assert_cmpint (plan->naming, ==, NAMING_ADOPT);
}

/* QEMU reopens no node that has a data file. */
static void
test_first_with_a_data_file (void)
{
  g_autoptr (Disk) disk = simple_disk ("a", 10);
  g_autoptr (DiskPlan) plan = NULL;

  disk_get_active (disk)->has_data_file = TRUE;
  plan = plan_of (disk, entries ("a", 10u, NULL), "{}", FALSE);
  g_assert_cmpint (plan->naming, ==, NAMING_STOP);
}

static void
test_later (void)
{
  g_autoptr (Disk) disk = model_disk ("a");
  g_autoptr (DiskPlan) plan = NULL;

  model_add_layer (disk, "/d/a.3", "qcow2", 13);
  model_add_layer (disk, "/d/a.2", "qcow2", 12);
  plan = plan_of (disk, entries ("a", 13u, "a.3", 13u, "a.2", 12u, NULL), "{}", FALSE);
  g_assert_cmpint (plan->naming, ==, NAMING_LATER);
  g_assert_cmpstr (plan->layer, ==, "/d/a.3");
  g_assert_false (plan->link_layer);
  g_assert_cmpstr (plan->overlay, ==, "/d/a.4");
  g_assert_cmpstr (plan->below_node, ==, "node-12");
}

/* A commit has moved the guest onto a base that has a name of its own; it is started from `disk`
 * still. */
static void
test_own_name (void)
{
  g_autoptr (Disk) disk = model_disk ("a");
  g_autoptr (Disk) elsewhere = model_disk ("a");
  g_autoptr (DiskPlan) plan = NULL;
  g_autoptr (DiskPlan) other = NULL;

  model_add_layer (disk, "/d/golden.img", "qcow2", 13)->auto_named = TRUE;
  plan = plan_of (disk, entries ("a", 13u, "a.3", 99u, NULL), "{}", FALSE);
  g_assert_cmpint (plan->naming, ==, NAMING_LATER);
  g_assert_cmpstr (plan->published, ==, "/d/a");
  g_assert_cmpstr (plan->layer, ==, "/d/golden.img");
  g_assert_false (plan->link_layer);
  g_assert_cmpstr (plan->backing_name, ==, "golden.img");
  g_assert_true (g_str_has_prefix (plan->overlay, "/d/a."));
  g_assert_cmpstr (plan->overlay, !=, "/d/a.3");

  model_add_layer (elsewhere, "/base/golden.img", "qcow2", 13);
  other = plan_of (elsewhere, entries ("a", 13u, NULL), "{}", FALSE);
  g_assert_cmpstr (other->backing_name, ==, "/base/golden.img");
}

/* QEMU was started again from `disk`, which has a name for life already. */
static void
test_first_again (void)
{
  g_autoptr (Disk) disk = model_disk ("a");
  g_autoptr (DiskPlan) plan = NULL;

  model_add_layer (disk, "/d/a", "qcow2", 13)->auto_named = TRUE;
  plan = plan_of (disk, entries ("a", 13u, "a.3", 13u, "a.7", 99u, NULL), "{}", FALSE);
  g_assert_cmpint (plan->naming, ==, NAMING_STOP);
  g_assert_cmpstr (plan->layer, ==, "/d/a.3");
  g_assert_false (plan->link_layer);
  g_assert_cmpstr (plan->overlay, ==, "/d/a.8");
}

static void
test_name_too_long (void)
{
  g_autofree char *name = g_strnfill (254, 'n');
  g_autoptr (Disk) disk = simple_disk (name, 10);
  g_autoptr (GPtrArray) names = entries (NULL, 0u);
  const PeerLimits none = { 0 };
  g_autoptr (SnapshotRequest) request = model_request ("{}");
  g_autoptr (GError) error = NULL;

  g_assert_null (snapshot_plan_disk (disk, 0, names, request, "g", OPERATION, &none, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "leaves no room"));
}

/* What stands before a colon would be taken for a protocol. */
static void
test_colon_in_the_name (void)
{
  g_autoptr (Disk) disk = simple_disk ("a:b", 10);
  g_autoptr (DiskPlan) plan = plan_of (disk, entries ("a:b", 10u, NULL), "{}", FALSE);

  g_assert_cmpstr (plan->backing_name, ==, "./a:b.0");
}

static void
test_block_device (void)
{
  g_autoptr (Disk) disk = model_disk ("a");
  g_autoptr (DiskPlan) plan = NULL;

  model_add_layer (disk, "/dev/x", "qcow2", 10)->facts.block_device = TRUE;
  plan = plan_of (disk, entries (NULL, 0u), "{\"overlay_folder\": \"/o\"}", FALSE);
  g_assert_cmpint (plan->naming, ==, NAMING_LATER);
  g_assert_cmpstr (plan->published, ==, "/o/guest_one-a.qcow2");
  g_assert_cmpstr (plan->layer, ==, "/dev/x");
  g_assert_cmpstr (plan->device_path, ==, "/dev/x");
  g_assert_cmpstr (plan->backing_name, ==, "/dev/x");
  g_assert_true (g_str_has_prefix (plan->overlay, "/o/guest_one-a.qcow2."));
  g_assert_false (plan->link_layer);
}

static void
test_where_reopening_kills (void)
{
  g_autoptr (Disk) virtio = simple_disk ("a", 10);
  g_autoptr (Disk) scsi = simple_disk ("b", 11);
  g_autoptr (Disk) filtered = simple_disk ("c", 12);
  g_autoptr (SnapshotRequest) request = model_request ("{}");
  g_autoptr (GPtrArray) names = entries ("c", 12u, NULL);
  const PeerLimits kills = { .reopen_kills = TRUE };
  g_autoptr (DiskPlan) plan = plan_of (virtio, entries ("a", 10u, NULL), "{}", TRUE);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (plan->naming, ==, NAMING_STOP);

  g_ptr_array_set_size (scsi->aliases, 1);
  g_clear_pointer (&plan, disk_plan_free);
  plan = plan_of (scsi, entries ("b", 11u, NULL), "{}", TRUE);
  g_assert_cmpint (plan->naming, ==, NAMING_SWAP);

  g_ptr_array_set_size (filtered->aliases, 1);
  g_free (filtered->root);
  filtered->root = g_strdup ("throttle0");
  g_assert_null (snapshot_plan_disk (filtered, 0, names, request, "g", OPERATION, &kills, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "throttle0"));
}

/* The clients of a storage daemon write on whatever it is told. */
static void
test_where_nothing_stops (void)
{
  g_autoptr (Disk) disk = simple_disk ("a", 10);
  g_autoptr (SnapshotRequest) request = model_request ("{}");
  g_autoptr (GPtrArray) names = entries ("a", 10u, NULL);
  const PeerLimits limits = { .cannot_stop = TRUE };
  g_autoptr (DiskPlan) plan = NULL;
  g_autoptr (GError) error = NULL;

  plan = snapshot_plan_disk (disk, 0, names, request, "g", OPERATION, &limits, &error);
  g_assert_no_error (error);
  g_assert_cmpint (plan->naming, ==, NAMING_ADOPT);

  disk_get_active (disk)->auto_named = TRUE;
  g_assert_null (snapshot_plan_disk (disk, 0, names, request, "g", OPERATION, &limits, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "storage daemon"));
}

static void
test_node_names_fit (void)
{
  static const char *const suffixes[] = { "", "-file", "-low", "-lowf", "-tmp", "-swap" };

  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *name = snapshot_node_name (OPERATION, 255, suffixes[i]);

      g_assert_true (g_str_has_prefix (name, "qsnap-0123abcd4567-255"));
      g_assert_cmpuint (strlen (name), <=, 31);
    }
}

/* Recovery has nothing but the journal. */
static void
test_journal_keeps_all (void)
{
  g_autoptr (Disk) disk = simple_disk ("a", 10);
  g_autoptr (DiskPlan) plan = plan_of (disk, entries ("a", 10u, NULL), "{}", FALSE);
  g_autoptr (JsonNode) json = NULL;
  g_autoptr (JsonNode) again = NULL;
  g_autoptr (DiskPlan) read = NULL;
  g_autoptr (GError) error = NULL;

  plan->overlay_ino = 77;
  plan->cache_direct = TRUE;
  json = disk_plan_to_json (plan);
  read = disk_plan_from_json (json, &error);
  g_assert_no_error (error);
  again = disk_plan_to_json (read);
  g_assert_true (json_node_equal (json, again));
  g_assert_cmpint (read->overlay_ino, ==, 77);

  json_object_set_string_member (json_node_get_object (json), "overlay_ino", "x");
  g_assert_null (disk_plan_from_json (json, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_assert_nonnull (strstr (error->message, "overlay_ino"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/snapshot-plan/select/all-writable", test_all_writable);
  g_test_add_func ("/snapshot-plan/select/named-once", test_named_once);
  g_test_add_func ("/snapshot-plan/select/refusals", test_refusals);
  g_test_add_func ("/snapshot-plan/select/allowed-by-request", test_allowed_by_request);
  g_test_add_func ("/snapshot-plan/names/first-of-a-drive", test_first_of_a_drive);
  g_test_add_func ("/snapshot-plan/names/first-of-a-named-node", test_first_of_a_named_node);
  g_test_add_func ("/snapshot-plan/names/data-file", test_first_with_a_data_file);
  g_test_add_func ("/snapshot-plan/names/later", test_later);
  g_test_add_func ("/snapshot-plan/names/own-name", test_own_name);
  g_test_add_func ("/snapshot-plan/names/first-again", test_first_again);
  g_test_add_func ("/snapshot-plan/names/too-long", test_name_too_long);
  g_test_add_func ("/snapshot-plan/names/colon", test_colon_in_the_name);
  g_test_add_func ("/snapshot-plan/names/block-device", test_block_device);
  g_test_add_func ("/snapshot-plan/names/where-reopening-kills", test_where_reopening_kills);
  g_test_add_func ("/snapshot-plan/names/where-nothing-stops", test_where_nothing_stops);
  g_test_add_func ("/snapshot-plan/names/nodes-fit", test_node_names_fit);
  g_test_add_func ("/snapshot-plan/journal-keeps-all", test_journal_keeps_all);
  return g_test_run ();
}
