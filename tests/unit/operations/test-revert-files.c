/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of files when a revert was cut off between two names. */

#include "../disk/scratch.h"
#include "chain-model.h"
#include "operation-private.h"

#include <core/error.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>
#include <utime.h>

#include "chain/revert-steps.h"

#define ID "0f3c7c0e-6d55-4a6c-93ab-5b8a3c1f8f55"

typedef struct
{
  ChainModel model;
  char      *folder;
  Revert    *revert;
} Fixture;

static RevertDisk *
disk_of (Fixture *self, guint index)
{
  return g_ptr_array_index (self->revert->disks, index);
}

static void
add_disk (Fixture *self, const char *name)
{
  RevertDisk *disk = revert_disk_new ();
  g_autofree char *left = g_strdup_printf ("%s.1", name);
  g_autofree char *overlay = g_strdup_printf ("%s.2", name);
  FileFacts from, to;

  disk->disk = g_strdup (name);
  disk->published = g_build_filename (self->folder, name, NULL);
  disk->from_format = g_strdup ("qcow2");
  disk->from_name = scratch_write (self->folder, left, "left");
  disk->overlay = scratch_write (self->folder, overlay, "new");
  g_assert_no_errno (link (disk->from_name, disk->published));
  from = scratch_look (disk->from_name);
  to = scratch_look (disk->overlay);
  disk->from_dev = (gint64) from.dev;
  disk->from_ino = (gint64) from.ino;
  disk->overlay_dev = (gint64) to.dev;
  disk->overlay_ino = (gint64) to.ino;
  g_ptr_array_add (self->revert->disks, disk);
}

/* The name of the first of two disks has moved, and the guest's process has ended. */
static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  chain_model_set_up (&self->model, data);
  self->folder = scratch_new ();
  self->revert = revert_new ();
  self->revert->operation = operation_new (ID, "revert", "g");
  self->revert->operations = g_object_ref (self->model.operations);
  self->revert->branch = g_strdup ("left");
  add_disk (self, "a");
  add_disk (self, "b");
  self->revert->facts = g_new0 (RevertFacts, 2);
  self->revert->guest_state = REVERT_GUEST_GONE;
  g_assert_true (files_publish (disk_of (self, 0)->overlay, disk_of (self, 0)->published,
                                (guint64) disk_of (self, 0)->from_ino, &error));
  g_assert_no_error (error);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  revert_free (self->revert);
  scratch_remove (self->folder);
  chain_model_tear_down (&self->model, data);
}

static gboolean
leads_to (const char *path, gint64 ino)
{
  return scratch_look (path).ino == (guint64) ino;
}

static void
assert_moved (Fixture *self)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (revert_publish_rest (self->revert, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++)
    g_assert_true (leads_to (disk_of (self, i)->published, disk_of (self, i)->overlay_ino));
  g_assert_false (self->revert->given_up);
}

static void
assert_stays (Fixture *self, AgentError code, const char *word)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (revert_publish_rest (self->revert, &error));
  g_assert_error (error, AGENT_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, word));
  g_assert_true (leads_to (disk_of (self, 0)->published, disk_of (self, 0)->overlay_ino));
  g_assert_true (leads_to (disk_of (self, 1)->published, disk_of (self, 1)->from_ino));
}

/* Somebody has started it anew, and nobody has told us; it may as well be a tool that only reads. */
static void
test_open (Fixture *self, gconstpointer data)
{
  const RevertDisk *disk = disk_of (self, 1);
  g_autoptr (GError) error = NULL;
  int fd = files_claim (disk->from_name, (guint64) disk->from_dev, (guint64) disk->from_ino,
                        &error);

  g_assert_no_error (error);
  assert_stays (self, AGENT_ERROR_UNAVAILABLE, "has it open");
  g_assert_false (self->revert->given_up);
  g_assert_no_errno (close (fd));
  assert_moved (self);
  assert_moved (self);
}

/* What a guest wrote that came and went meanwhile is not lost. */
static void
test_written (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonObject) plan = json_object_new ();
  g_autoptr (Revert) again = revert_new ();

  g_usleep (G_USEC_PER_SEC / 20);
  g_assert_no_errno (g_utime (disk_of (self, 1)->from_name, NULL));
  assert_stays (self, AGENT_ERROR_CONFLICT, "started anew");
  revert_save (self->revert, plan);
  g_assert_true (revert_load (again, plan, NULL));
  g_assert_true (again->given_up);
}

/* The process that has the disks is held still by us, whatever it wrote. */
static void
test_same_guest (Fixture *self, gconstpointer data)
{
  g_usleep (G_USEC_PER_SEC / 20);
  g_assert_no_errno (g_utime (disk_of (self, 1)->from_name, NULL));
  self->revert->guest_state = REVERT_GUEST_SAME;
  assert_moved (self);
}

static void
test_names_for_life_gone (Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    g_assert_no_errno (unlink (disk_of (self, i)->from_name));
  assert_moved (self);
}

/* --- the branch --- */

static void
on_step (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (g_task_propagate_boolean (G_TASK (result), &error));
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

static GPtrArray *
record_branch (Fixture *self)
{
  gboolean done = FALSE;
  GPtrArray *points;

  self->revert->switched_us = 1;
  revert_record_branch (g_task_new (NULL, NULL, on_step, &done), self->revert);
  while (!done)
    g_main_context_iteration (NULL, TRUE);
  points = points_list (self->model.journal, "g", NULL);
  g_assert_nonnull (points);
  return points;
}

static void
test_branch_of_one (Fixture *self, gconstpointer data)
{
  g_autoptr (GPtrArray) points = NULL;
  const Point *point;

  g_assert_no_errno (unlink (disk_of (self, 1)->from_name));
  points = record_branch (self);
  g_assert_cmpuint (points->len, ==, 1);
  point = g_ptr_array_index (points, 0);
  g_assert_cmpuint (point->disks->len, ==, 1);
  g_assert_cmpuint (point->disk_count, ==, 2);
}

static void
test_no_branch (Fixture *self, gconstpointer data)
{
  g_autoptr (GPtrArray) points = NULL;

  for (guint i = 0; i < 2; i++)
    g_assert_no_errno (unlink (disk_of (self, i)->from_name));
  points = record_branch (self);
  g_assert_cmpuint (points->len, ==, 0);
}

#define ADD(name, func) \
  g_test_add ("/operations/revert-files/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("open", test_open);
  ADD ("written", test_written);
  ADD ("same-guest", test_same_guest);
  ADD ("names-for-life-gone", test_names_for_life_gone);
  ADD ("branch-of-one", test_branch_of_one);
  ADD ("no-branch", test_no_branch);
  return g_test_run ();
}
