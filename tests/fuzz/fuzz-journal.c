/* SPDX-License-Identifier: Apache-2.0 */

/* The journal's file as somebody else may have left it: opened, and loaded into an engine. */

#include "fuzz.h"

#include <core/engine.h>
#include <glib/gstdio.h>

static gpointer
job_new (Operation *operation, gpointer environment, GError **error)
{
  return operation;
}

static Recovery
decide (gpointer job, const char *last_step, gboolean ended)
{
  return (Recovery) { RECOVERY_WAIT, NULL, "nobody is there" };
}

static void
do_nothing (GTask *step, gpointer job)
{
  g_task_return_boolean (step, TRUE);
  g_object_unref (step);
}

static const Step steps[] = {
  { "look", do_nothing, STEP_FORWARD, NULL, FALSE, NULL },
  { NULL }
};

static const Workflow workflow = {
  .kind = "snapshot",
  .steps = steps,
  .job_new = job_new,
  .decide = decide,
};

static void
remove_files (const char *folder)
{
  GDir *dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_assert_cmpint (g_unlink (path), ==, 0);
    }
  g_dir_close (dir);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *folder = g_dir_make_tmp ("fuzz-journal-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "journal.db", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (Journal) journal = NULL;
  g_autoptr (Engine) engine = NULL;

  g_assert_true (g_file_set_contents_full (path, (const char *) data, (gssize) size,
                                           G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  journal = journal_open (path, &error);
  fuzz_check_told (journal, error);
  if (journal != NULL)
    {
      engine = engine_new (journal);
      engine_register (engine, &workflow, NULL);
      if (!engine_load (engine, &error))
        g_assert_nonnull (error);
    }
  g_clear_object (&engine);
  g_clear_object (&journal);
  remove_files (folder);
  return 0;
}
