/* SPDX-License-Identifier: Apache-2.0 */
#include "backup-steps.h"
#include "model.h"
#include "point-facts.h"

typedef struct
{
  Backup    *job;
  GPtrArray *disks;
} Fixture;

/* Two disks whose plans have made the overlays 110 and 120 over the layers 10 and 20. */
static void
set_up (Fixture *self, gconstpointer data)
{
  self->job = backup_new ();
  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  for (gint64 i = 1; i <= 2; i++)
    {
      DiskPlan *plan = g_new0 (DiskPlan, 1);

      plan->layer = g_strdup_printf ("/d/%d.0", (int) i);
      plan->layer_dev = plan->overlay_dev = 1;
      plan->layer_ino = i * 10;
      plan->overlay_ino = 100 + i * 10;
      plan->unlocked_file_node = g_strdup_printf ("tmp-%d", (int) i);
      plan->overlay_node = g_strdup_printf ("node-%d", (int) plan->overlay_ino);
      g_ptr_array_add (self->job->disks, plan);
    }
  self->job->facts = g_new0 (DiskFacts, 2);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  backup_free (self->job);
  g_ptr_array_unref (self->disks);
}

static void
qemu_has (Fixture *self, const char *path, guint64 overlay, guint64 layer)
{
  Disk *disk = model_disk ("x");

  if (overlay != 0)
    model_add_layer (disk, "/d/overlay", "qcow2", overlay);
  model_add_layer (disk, path, "qcow2", layer);
  g_ptr_array_add (self->disks, disk);
}

static void
test_taken (Fixture *self, gconstpointer data)
{
  qemu_has (self, "/d/1.0", 110, 10);
  qemu_has (self, "/d/2", 120, 20);
  point_facts_judge (self->job, self->disks);
  g_assert_cmpint (self->job->point, ==, POINT_TAKEN);
  g_assert_true (self->job->facts[0].layer_by_own_name);
  g_assert_false (self->job->facts[0].layer_active);
  g_assert_false (self->job->facts[1].layer_by_own_name);
  g_assert_true (self->job->facts[0].named_by_us);
}

static void
test_not_taken (Fixture *self, gconstpointer data)
{
  qemu_has (self, "/d/1", 0, 10);
  qemu_has (self, "/d/2", 0, 20);
  point_facts_judge (self->job, self->disks);
  g_assert_cmpint (self->job->point, ==, POINT_NOT_TAKEN);
  g_assert_false (self->job->facts[0].overlay_in_chain);
  g_assert_true (self->job->facts[0].layer_active);
}

/* QEMU died while the names were being published and was started from them. */
static void
test_half (Fixture *self, gconstpointer data)
{
  qemu_has (self, "/d/1.0", 110, 10);
  qemu_has (self, "/d/2", 0, 20);
  point_facts_judge (self->job, self->disks);
  g_assert_cmpint (self->job->point, ==, POINT_NOT_TAKEN);
  g_assert_true (self->job->facts[0].overlay_in_chain);
  g_assert_false (self->job->facts[1].overlay_in_chain);
}

/* A new QEMU calls the nodes what it likes: the files tell. */
static void
test_another_process (Fixture *self, gconstpointer data)
{
  qemu_has (self, "/d/1.0", 110, 10);
  qemu_has (self, "/d/2.0", 120, 20);
  for (guint i = 0; i < 2; i++)
    {
      Layer *top = disk_get_active (g_ptr_array_index (self->disks, i));

      g_free (top->node);
      top->node = g_strdup ("#block123");
    }
  point_facts_judge (self->job, self->disks);
  g_assert_cmpint (self->job->point, ==, POINT_TAKEN);
  g_assert_false (self->job->facts[0].named_by_us);
}

/* An overlay whose inode was never written down is nobody's. */
static void
test_unwritten_inode (Fixture *self, gconstpointer data)
{
  ((DiskPlan *) g_ptr_array_index (self->job->disks, 0))->overlay_ino = 0;
  qemu_has (self, "/d/1", 0, 10);
  qemu_has (self, "/d/2", 0, 20);
  point_facts_judge (self->job, self->disks);
  g_assert_cmpint (self->job->point, ==, POINT_NOT_TAKEN);
}

/* A disk that was unplugged after the point does not undo it. */
static void
test_stays_taken (Fixture *self, gconstpointer data)
{
  self->job->point_us = 1;
  qemu_has (self, "/d/1.0", 110, 10);
  point_facts_judge (self->job, self->disks);
  g_assert_cmpint (self->job->point, ==, POINT_TAKEN);
}

/* Cut off between the two reopens of adopting. */
static void
test_unlocked (Fixture *self, gconstpointer data)
{
  Layer *layer;

  qemu_has (self, "/d/1.0", 0, 10);
  qemu_has (self, "/d/2", 0, 20);
  layer = disk_get_active (g_ptr_array_index (self->disks, 0));
  g_free (layer->file_node);
  layer->file_node = g_strdup ("tmp-1");
  point_facts_judge (self->job, self->disks);
  g_assert_true (self->job->facts[0].unlocked);
  g_assert_false (self->job->facts[1].unlocked);
}

/* Once the guest has been let go, nothing more is done to it. */
static void
test_released (Fixture *self, gconstpointer data)
{
  Recovery recovery;

  self->job->point = POINT_TAKEN;
  self->job->released = TRUE;
  recovery = quick_backup_decide (self->job, "record-point", FALSE);
  g_assert_cmpint (recovery.action, ==, RECOVERY_RESUME);
  g_assert_cmpstr (recovery.step, ==, "record-point");
}

typedef Recovery (*Decide) (gpointer job, const char *last_step, gboolean ended);

typedef struct
{
  const char     *step;
  gboolean        ended;
  PointState      point;
  RecoveryAction  action;
  const char     *resume;
} Case;

static void
check_decisions (Fixture *self, Decide decide, const Case *cases, gsize n)
{
  for (gsize i = 0; i < n; i++)
    {
      Recovery recovery;

      self->job->point = cases[i].point;
      recovery = decide (self->job, cases[i].step, cases[i].ended);
      g_test_message ("%s", cases[i].step != NULL ? cases[i].step : "(none)");
      g_assert_cmpint (recovery.action, ==, cases[i].action);
      g_assert_cmpstr (recovery.step, ==, cases[i].resume);
      g_assert_nonnull (recovery.reason);
    }
}

/* What both kinds of backup have in common. */
static const Case point_cases[] = {
  { NULL, FALSE, POINT_UNKNOWN, RECOVERY_UNDO, NULL },
  { "end-jobs", TRUE, POINT_UNKNOWN, RECOVERY_UNDO, NULL },
  { "create-files", FALSE, POINT_UNKNOWN, RECOVERY_WAIT, NULL },
  { "create-files", FALSE, POINT_NOT_TAKEN, RECOVERY_UNDO, NULL },
  { "open-overlays", TRUE, POINT_NOT_TAKEN, RECOVERY_UNDO, NULL },
  { "publish-early", TRUE, POINT_TAKEN, RECOVERY_RESUME, "rename-layers" },
  { "thaw", FALSE, POINT_UNKNOWN, RECOVERY_WAIT, NULL },
  { "thaw", FALSE, POINT_NOT_TAKEN, RECOVERY_UNDO, NULL },
  { "thaw", FALSE, POINT_TAKEN, RECOVERY_RESUME, "rename-layers" },
  { "record-point", FALSE, POINT_TAKEN, RECOVERY_RESUME, "rename-layers" },
  { "record-point", TRUE, POINT_TAKEN, RECOVERY_RESUME, "check-quiesce" },
  { "check-quiesce", FALSE, POINT_TAKEN, RECOVERY_RESUME, "check-quiesce" },
  { "delete-images", FALSE, POINT_TAKEN, RECOVERY_UNDO, NULL },
  { "withdraw", FALSE, POINT_NOT_TAKEN, RECOVERY_UNDO, NULL },
  { "withdraw", FALSE, POINT_UNKNOWN, RECOVERY_WAIT, NULL },
};

static void
test_decisions (Fixture *self, gconstpointer data)
{
  static const Case cases[] = {
    { "create-images", FALSE, POINT_TAKEN, RECOVERY_RESUME, "create-images" },
    { "open-sources", FALSE, POINT_TAKEN, RECOVERY_RESUME, "create-images" },
    { "upload", FALSE, POINT_TAKEN, RECOVERY_RESUME, "create-images" },
  };

  check_decisions (self, quick_backup_decide, point_cases, G_N_ELEMENTS (point_cases));
  check_decisions (self, quick_backup_decide, cases, G_N_ELEMENTS (cases));
}

/* Its records come first; what it has begun to fold back is folded back, whatever else is known. */
static void
test_image_decisions (Fixture *self, gconstpointer data)
{
  static const Case cases[] = {
    { "create-images", FALSE, POINT_UNKNOWN, RECOVERY_UNDO, NULL },
    { "create-images", TRUE, POINT_NOT_TAKEN, RECOVERY_UNDO, NULL },
    { "open-sources", FALSE, POINT_TAKEN, RECOVERY_RESUME, "open-sources" },
    { "upload", FALSE, POINT_TAKEN, RECOVERY_RESUME, "open-sources" },
    { "upload", TRUE, POINT_TAKEN, RECOVERY_RESUME, "open-sources" },
    { "commit-back", FALSE, POINT_TAKEN, RECOVERY_RESUME, "commit-back" },
    { "go-on", FALSE, POINT_TAKEN, RECOVERY_RESUME, "commit-back" },
    { "go-on", TRUE, POINT_TAKEN, RECOVERY_RESUME, "commit-back" },
    { "delete-overlays", TRUE, POINT_TAKEN, RECOVERY_RESUME, "commit-back" },
  };

  check_decisions (self, full_image_decide, point_cases, G_N_ELEMENTS (point_cases));
  check_decisions (self, full_image_decide, cases, G_N_ELEMENTS (cases));
}

#define ADD(name, func) g_test_add ("/point-facts/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("taken", test_taken);
  ADD ("not-taken", test_not_taken);
  ADD ("half", test_half);
  ADD ("another-process", test_another_process);
  ADD ("unwritten-inode", test_unwritten_inode);
  ADD ("stays-taken", test_stays_taken);
  ADD ("unlocked", test_unlocked);
  ADD ("released", test_released);
  ADD ("decisions", test_decisions);
  ADD ("image-decisions", test_image_decisions);
  return g_test_run ();
}
