/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fold.h"
#include "model.h"

#define OVERLAY 110
#define LAYER   10
#define JOB     "fold"

typedef struct
{
  DiskPlan  *plan;
  GPtrArray *disks;
  GPtrArray *jobs;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->plan = g_new0 (DiskPlan, 1);
  self->plan->overlay = g_strdup ("/d/a.1");
  self->plan->layer = g_strdup ("/d/a.0");
  self->plan->overlay_dev = self->plan->layer_dev = 1;
  self->plan->overlay_ino = OVERLAY;
  self->plan->layer_ino = LAYER;
  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  self->jobs = g_ptr_array_new_with_free_func ((GDestroyNotify) qmp_job_info_free);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  disk_plan_free (self->plan);
  g_ptr_array_unref (self->disks);
  g_ptr_array_unref (self->jobs);
}

/* A disk of QEMU's, top first; a path is given for each inode that is not 0. */
static void
qemu_has (Fixture *self, const char *top, guint64 top_ino, const char *below, guint64 below_ino)
{
  Disk *disk = model_disk ("x");

  model_add_layer (disk, top, "qcow2", top_ino);
  if (below_ino != 0)
    model_add_layer (disk, below, "qcow2", below_ino);
  g_ptr_array_add (self->disks, disk);
}

static void
qemu_runs (Fixture *self, const char *id, QmpJobState state)
{
  QmpJobInfo *info = g_new0 (QmpJobInfo, 1);

  info->id = g_strdup (id);
  info->state = state;
  g_ptr_array_add (self->jobs, info);
}

static FoldFacts
judge (Fixture *self)
{
  return fold_facts_judge (self->plan, self->disks, self->jobs, JOB);
}

static void
test_before (Fixture *self, gconstpointer data)
{
  FoldFacts facts;

  qemu_has (self, "/d/b", 7, NULL, 0);
  qemu_has (self, "/d/a.1", OVERLAY, "/d/a.0", LAYER);
  qemu_runs (self, "another", QMP_JOB_READY);
  facts = judge (self);
  g_assert_true (facts.overlay_active && facts.overlay_open && facts.layer_below);
  g_assert_true (facts.by_own_names);
  g_assert_false (facts.layer_active || facts.has_job);
}

static void
test_after (Fixture *self, gconstpointer data)
{
  FoldFacts facts;

  qemu_has (self, "/d/a.0", LAYER, "/d/base", 5);
  qemu_runs (self, JOB, QMP_JOB_CONCLUDED);
  facts = judge (self);
  g_assert_true (facts.layer_active && facts.has_job);
  g_assert_cmpint (facts.job_state, ==, QMP_JOB_CONCLUDED);
  g_assert_false (facts.overlay_active || facts.overlay_open || facts.layer_below);
}

/* QEMU opened the overlay by the published name, which must then not be moved away from it. */
static void
test_started_anew (Fixture *self, gconstpointer data)
{
  FoldFacts facts;

  qemu_has (self, "/d/a", OVERLAY, "/d/a.0", LAYER);
  facts = judge (self);
  g_assert_true (facts.overlay_active && facts.layer_below);
  g_assert_false (facts.by_own_names);
}

/* Somebody else has taken a snapshot above. */
static void
test_overgrown (Fixture *self, gconstpointer data)
{
  FoldFacts facts;

  qemu_has (self, "/d/theirs", 200, "/d/a.1", OVERLAY);
  facts = judge (self);
  g_assert_true (facts.overlay_open);
  g_assert_false (facts.overlay_active || facts.layer_active || facts.layer_below);
}

static void
test_unplugged (Fixture *self, gconstpointer data)
{
  FoldFacts facts = judge (self);

  g_assert_false (facts.overlay_open || facts.overlay_active || facts.layer_active);
}

/* All combinations: what must never be done, and that something always can be. */
static void
test_all_decisions (Fixture *self, gconstpointer data)
{
  for (guint bits = 0; bits < 1 << 9; bits++)
    for (int state = QMP_JOB_CREATED; state <= QMP_JOB_CONCLUDED; state++)
      {
        const FoldFacts facts = {
          .overlay_active = (bits & 1) != 0,
          .overlay_open = (bits & 2) != 0,
          .layer_below = (bits & 4) != 0,
          .layer_active = (bits & 8) != 0,
          .by_own_names = (bits & 16) != 0,
          .name_on_overlay = (bits & 32) != 0,
          .has_job = (bits & 64) != 0,
          .same_process = (bits & 128) != 0,
          .name_on_layer = (bits & 256) != 0,
          .job_state = state,
        };
        gboolean pending = facts.has_job && state == QMP_JOB_PENDING;
        gboolean ended = facts.has_job && state == QMP_JOB_CONCLUDED;
        const char *reason = NULL;
        FoldAction action = fold_facts_decide (&facts, &reason);

        g_assert_cmpint (action == FOLD_ACTION_KEEP, ==, reason != NULL);
        /* The pivot comes to pass only when the name is right, and is called off only when not. */
        g_assert_cmpint (action == FOLD_ACTION_FINALIZE, ==, pending && facts.name_on_layer);
        g_assert_cmpint (action == FOLD_ACTION_CANCEL, ==, pending && !facts.name_on_layer);
        g_assert_cmpint (action == FOLD_ACTION_DISMISS, ==, ended);
        /* A commit is begun once, over names that stay right while it runs. */
        if (action == FOLD_ACTION_COMMIT)
          g_assert_true (!facts.has_job && facts.overlay_active && facts.layer_below
                         && facts.by_own_names && facts.name_on_overlay && facts.same_process);
        if (action == FOLD_ACTION_FOLLOW)
          g_assert_true (facts.has_job && facts.overlay_active && facts.name_on_overlay);
        if (action == FOLD_ACTION_NAME_BACK)
          g_assert_true (facts.overlay_active && !facts.name_on_overlay);
        /* The name follows the guest, unless somebody has chosen what it was started from. */
        if (action == FOLD_ACTION_NAME_ON)
          g_assert_true (facts.layer_active && facts.name_on_overlay && facts.same_process);
        /* An overlay that a later start may need is never told to be of no use. */
        if (action == FOLD_ACTION_NONE)
          g_assert_true (facts.layer_active
                         && (facts.name_on_layer
                             || (facts.same_process && !facts.name_on_overlay)));
      }
}

#define ADD(name, func) g_test_add ("/fold-facts/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("before", test_before);
  ADD ("after", test_after);
  ADD ("started-anew", test_started_anew);
  ADD ("overgrown", test_overgrown);
  ADD ("unplugged", test_unplugged);
  ADD ("all-decisions", test_all_decisions);
  return g_test_run ();
}
