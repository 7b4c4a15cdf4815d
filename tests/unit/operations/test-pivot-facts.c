/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "model.h"
#include "pivot-private.h"

#define FROM 110
#define TO   10
#define JOB  "move"

typedef struct
{
  Pivot      *pivot;
  Inspection *now;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->pivot = pivot_new ();
  self->pivot->disk = g_strdup ("x");
  self->pivot->published = g_strdup ("/d/a");
  self->pivot->from_path = g_strdup ("/d/a.1");
  self->pivot->to_path = g_strdup ("/d/a.0");
  self->pivot->from_dev = self->pivot->to_dev = 1;
  self->pivot->from_ino = FROM;
  self->pivot->to_ino = TO;
  self->pivot->job = g_strdup (JOB);
  self->now = g_new0 (Inspection, 1);
  self->now->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  self->now->jobs = g_ptr_array_new_with_free_func ((GDestroyNotify) qmp_job_info_free);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  pivot_free (self->pivot);
  inspection_free (self->now);
}

/* A disk of QEMU's, top first; a path is given for each inode that is not 0. */
static void
qemu_has (Fixture *self, const char *top, guint64 top_ino, const char *below, guint64 below_ino)
{
  Disk *disk = model_disk ("x");

  model_add_layer (disk, top, "qcow2", top_ino);
  if (below_ino != 0)
    model_add_layer (disk, below, "qcow2", below_ino);
  g_ptr_array_add (self->now->disks, disk);
}

static void
qemu_runs (Fixture *self, const char *id, QmpJobState state)
{
  QmpJobInfo *info = g_new0 (QmpJobInfo, 1);

  info->id = g_strdup (id);
  info->state = state;
  g_ptr_array_add (self->now->jobs, info);
}

static PivotFacts
judge (Fixture *self)
{
  return pivot_facts_judge (self->pivot, self->now);
}

static void
test_before (Fixture *self, gconstpointer data)
{
  PivotFacts facts;

  qemu_has (self, "/d/b", 7, NULL, 0);
  qemu_has (self, "/d/a.1", FROM, "/d/a.0", TO);
  qemu_runs (self, "another", QMP_JOB_READY);
  facts = judge (self);
  g_assert_true (facts.from_active && facts.to_in_reach);
  g_assert_true (pivot_is_open (self->pivot, self->now->disks));
  g_assert_true (facts.by_own_names);
  g_assert_false (facts.to_active || facts.has_job);
}

static void
test_after (Fixture *self, gconstpointer data)
{
  PivotFacts facts;

  qemu_has (self, "/d/a.0", TO, "/d/base", 5);
  qemu_runs (self, JOB, QMP_JOB_CONCLUDED);
  facts = judge (self);
  g_assert_true (facts.to_active && facts.has_job);
  g_assert_cmpint (facts.job_state, ==, QMP_JOB_CONCLUDED);
  g_assert_false (facts.from_active || facts.to_in_reach);
  g_assert_false (pivot_is_open (self->pivot, self->now->disks));
}

/* What is left is never opened again, so QEMU may know it by the name that moves; what is gone to
 * is not. */
static void
test_names (Fixture *self, gconstpointer data)
{
  qemu_has (self, "/d/a", FROM, "/d/a.0", TO);
  g_assert_true (judge (self).by_own_names);
  g_ptr_array_set_size (self->now->disks, 0);
  qemu_has (self, "/d/a.1", FROM, "/d/a", TO);
  g_assert_false (judge (self).by_own_names);
  g_ptr_array_set_size (self->now->disks, 0);
  qemu_has (self, "/d/elsewhere", FROM, "/d/a.0", TO);
  g_assert_false (judge (self).by_own_names);
}

/* A commit may go past layers; a mirror needs the node that is its target. */
static void
test_reach (Fixture *self, gconstpointer data)
{
  qemu_has (self, "/d/a.1", FROM, "/d/between", 60);
  g_assert_false (judge (self).to_in_reach);
  model_add_layer (g_ptr_array_index (self->now->disks, 0), "/d/a.0", "qcow2", TO);
  g_assert_true (judge (self).to_in_reach && judge (self).by_own_names);
  self->pivot->way = PIVOT_MIRROR;
  self->pivot->to_node = g_strdup ("target");
  g_assert_false (judge (self).to_in_reach);
}

/* An NBD server's export has no inode: the node tells. */
static void
test_target_without_file (Fixture *self, gconstpointer data)
{
  self->pivot->way = PIVOT_MIRROR;
  self->pivot->to_ino = self->pivot->to_dev = 0;
  self->pivot->to_node = g_strdup ("target");
  qemu_has (self, "/d/other", 77, NULL, 0);
  g_assert_false (judge (self).to_active);
  g_free (disk_get_active (g_ptr_array_index (self->now->disks, 0))->node);
  disk_get_active (g_ptr_array_index (self->now->disks, 0))->node = g_strdup ("target");
  g_assert_true (judge (self).to_active);
}

/* Somebody else has taken a snapshot above. */
static void
test_overgrown (Fixture *self, gconstpointer data)
{
  PivotFacts facts;

  qemu_has (self, "/d/theirs", 200, "/d/a.1", FROM);
  facts = judge (self);
  g_assert_true (pivot_is_open (self->pivot, self->now->disks));
  g_assert_false (facts.from_active || facts.to_active || facts.to_in_reach);
}

static void
test_unplugged (Fixture *self, gconstpointer data)
{
  PivotFacts facts = judge (self);

  g_assert_false (pivot_is_open (self->pivot, self->now->disks));
  g_assert_false (facts.from_active || facts.to_active);
}

/* All combinations: what must never be done, and that something always can be. */
static void
test_all_decisions (Fixture *self, gconstpointer data)
{
  for (guint bits = 0; bits < 1 << 9; bits++)
    for (int state = QMP_JOB_CREATED; state <= QMP_JOB_CONCLUDED; state++)
      {
        const PivotFacts facts = {
          .stays = FALSE,
          .from_active = (bits & 1) != 0,
          .job_failed = (bits & 2) != 0,
          .to_in_reach = (bits & 4) != 0,
          .to_active = (bits & 8) != 0,
          .by_own_names = (bits & 16) != 0,
          .name_on_from = (bits & 32) != 0,
          .has_job = (bits & 64) != 0,
          .same_process = (bits & 128) != 0,
          .name_on_to = (bits & 256) != 0,
          .job_state = state,
        };
        gboolean pending = facts.has_job && state == QMP_JOB_PENDING;
        gboolean ended = facts.has_job && state == QMP_JOB_CONCLUDED;
        const char *reason = NULL;
        PivotAction action = pivot_facts_decide (&facts, &reason);

        g_assert_cmpint (action == PIVOT_ACTION_KEEP, ==, reason != NULL);
        /* The pivot comes to pass only when the name is right, and is called off only when not. */
        g_assert_cmpint (action == PIVOT_ACTION_FINALIZE, ==, pending && facts.name_on_to);
        g_assert_cmpint (action == PIVOT_ACTION_CANCEL, ==, pending && !facts.name_on_to);
        g_assert_cmpint (action == PIVOT_ACTION_DISMISS, ==, ended);
        /* A commit is begun once, over names that stay right while it runs. */
        if (action == PIVOT_ACTION_BEGIN)
          g_assert_true (!facts.has_job && facts.from_active && facts.to_in_reach
                         && facts.by_own_names && facts.name_on_from && facts.same_process);
        if (action == PIVOT_ACTION_FOLLOW)
          g_assert_true (facts.has_job && facts.from_active && facts.name_on_from);
        if (action == PIVOT_ACTION_NAME_BACK)
          g_assert_true (facts.from_active && !facts.name_on_from);
        /* The name follows the guest, unless somebody has chosen what it was started from. */
        if (action == PIVOT_ACTION_NAME_ON)
          g_assert_true (facts.to_active && facts.name_on_from && facts.same_process);
        /* An overlay that a later start may need is never told to be of no use. */
        if (action == PIVOT_ACTION_NONE)
          g_assert_true (facts.to_active
                         && (facts.name_on_to
                             || (facts.same_process && !facts.name_on_from)));
      }
}

/* A copy: nothing moves, so no name ever does; what ended well is not begun again. */
static void
test_all_copies (Fixture *self, gconstpointer data)
{
  for (guint bits = 0; bits < 1 << 9; bits++)
    for (int state = QMP_JOB_CREATED; state <= QMP_JOB_CONCLUDED; state++)
      {
        const PivotFacts facts = {
          .stays = TRUE,
          .spent = (bits & 256) != 0,
          .from_active = (bits & 1) != 0,
          .job_failed = (bits & 2) != 0,
          .to_in_reach = (bits & 4) != 0,
          .to_active = (bits & 8) != 0,
          .name_on_from = (bits & 16) != 0,
          .name_on_to = (bits & 32) != 0,
          .has_job = (bits & 64) != 0,
          .same_process = (bits & 128) != 0,
          .job_state = state,
        };
        gboolean ended_well = facts.has_job && state == QMP_JOB_CONCLUDED && !facts.job_failed
                              && facts.from_active;
        const char *reason = NULL;
        PivotAction action = pivot_facts_decide (&facts, &reason);

        g_assert_cmpint (action == PIVOT_ACTION_KEEP, ==, reason != NULL);
        g_assert_cmpint (action == PIVOT_ACTION_NONE, ==, ended_well);
        g_assert_cmpint (action, !=, PIVOT_ACTION_FINALIZE);
        g_assert_cmpint (action, !=, PIVOT_ACTION_NAME_ON);
        g_assert_cmpint (action, !=, PIVOT_ACTION_NAME_BACK);
        if (action == PIVOT_ACTION_BEGIN)
          g_assert_true (!facts.has_job && facts.from_active && facts.to_in_reach
                         && facts.same_process && !facts.spent);
      }
}

/* Nothing of a plan is lost in the journal; what was found of a disk is not believed a second
 * time. */
static void
test_journal (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonObject) plan = json_object_new ();
  PivotSet written, read;
  const Pivot *pivot;

  pivot_set_init (&written, NULL, &(Peer) { 0 });
  pivot_set_init (&read, NULL, &(Peer) { 0 });
  g_assert_true (pivot_set_load (&read, plan, NULL));
  g_assert_cmpuint (read.pivots->len, ==, 0);

  written.late_policy = LATE_LEAVE;
  written.deadline_s = 77;
  written.may_halt = TRUE;
  self->pivot->unpublish = TRUE;
  self->pivot->speed = 5;
  self->pivot->once = self->pivot->untried = TRUE;
  self->pivot->state = PIVOT_DONE;
  g_ptr_array_add (written.pivots, g_steal_pointer (&self->pivot));
  g_ptr_array_add (written.pivots, pivot_new ());
  pivot = g_ptr_array_index (written.pivots, 1);
  ((Pivot *) pivot)->way = PIVOT_COPY;
  ((Pivot *) pivot)->state = PIVOT_DONE;
  pivot_set_save (&written, plan);

  g_assert_true (pivot_set_load (&read, plan, NULL));
  g_assert_cmpint (read.late_policy, ==, LATE_LEAVE);
  g_assert_cmpint (read.deadline_s, ==, 77);
  g_assert_true (read.may_halt && read.halted);
  g_assert_cmpuint (read.pivots->len, ==, 2);
  pivot = g_ptr_array_index (read.pivots, 0);
  g_assert_cmpstr (pivot->from_path, ==, "/d/a.1");
  g_assert_cmpint (pivot->to_ino, ==, TO);
  g_assert_true (pivot->unpublish && pivot->once);
  g_assert_false (pivot->untried);
  g_assert_cmpint (pivot->speed, ==, 5);
  g_assert_cmpint (pivot->state, ==, PIVOT_UNKNOWN);
  g_assert_false (pivot_set_settled (&read, NULL));
  pivot = g_ptr_array_index (read.pivots, 1);
  g_assert_cmpint (pivot->state, ==, PIVOT_DONE);
  pivot_set_clear (&written);
  pivot_set_clear (&read);
}

static const char *
argument (JsonNode *arguments, const char *name)
{
  return json_object_get_string_member_with_default (json_node_get_object (arguments), name, NULL);
}

static void
test_commands (Fixture *self, gconstpointer data)
{
  PivotVerdict verdict = {
    .root = (char *) "throttle", .from_node = (char *) "top", .to_node = (char *) "low"
  };
  JsonNode *arguments;

  g_assert_cmpstr (pivot_job_command (self->pivot, &verdict, 0, &arguments), ==, "block-commit");
  g_assert_cmpstr (argument (arguments, "top-node"), ==, "top");
  g_assert_cmpstr (argument (arguments, "base-node"), ==, "low");
  g_assert_null (argument (arguments, "on-error"));
  json_node_unref (arguments);

  self->pivot->way = PIVOT_MIRROR;
  self->pivot->sync = g_strdup ("full");
  g_assert_cmpstr (pivot_job_command (self->pivot, &verdict, 0, &arguments), ==, "blockdev-mirror");
  g_assert_cmpstr (argument (arguments, "replaces"), ==, "top");
  g_assert_cmpstr (argument (arguments, "target"), ==, "low");
  json_node_unref (arguments);
  verdict.root = verdict.from_node;
  pivot_job_command (self->pivot, &verdict, 0, &arguments);
  g_assert_null (argument (arguments, "replaces"));
  json_node_unref (arguments);
}

#define ADD(name, func) g_test_add ("/pivot-facts/" name, Fixture, NULL, set_up, func, tear_down)

/* A file keeps its inode over a start of the host, and may come to be on another device. */
static void
test_renewed_devices (void)
{
  g_autofree char *folder = model_folder ();
  g_autofree char *path = g_build_filename (folder, "a", NULL);
  const Peer nobody = { 0 };
  Pivot *pivot = pivot_new ();
  FileFacts facts = { 0 };
  PivotSet set;

  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
  g_assert_true (files_look (path, &facts, NULL));
  pivot_set_init (&set, NULL, &nobody);
  g_ptr_array_add (set.pivots, pivot);
  pivot->from_path = g_strdup (path);
  pivot->from_dev = pivot->to_dev = (gint64) facts.dev + 1;
  pivot->from_ino = (gint64) facts.ino;
  pivot->to_path = g_strdup (path);
  pivot->to_ino = (gint64) facts.ino + 1;
  pivot_set_renew_devices (&set);
  g_assert_cmpint (pivot->from_dev, ==, (gint64) facts.dev);
  g_assert_cmpint (pivot->to_dev, ==, (gint64) facts.dev + 1);
  pivot_set_clear (&set);
  model_remove_folder (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("before", test_before);
  ADD ("after", test_after);
  ADD ("names", test_names);
  ADD ("reach", test_reach);
  ADD ("target-without-file", test_target_without_file);
  ADD ("overgrown", test_overgrown);
  ADD ("unplugged", test_unplugged);
  ADD ("all-decisions", test_all_decisions);
  ADD ("all-copies", test_all_copies);
  ADD ("journal", test_journal);
  ADD ("commands", test_commands);
  g_test_add_func ("/pivot-facts/renewed-devices", test_renewed_devices);
  return g_test_run ();
}
