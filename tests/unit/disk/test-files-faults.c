/* SPDX-License-Identifier: Apache-2.0 */

/* Names and files when something fails: it is said, nothing is left behind, and trying again
 * succeeds. */

#include "faults.h"
#include "files-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534u

/* Where files without a name are not to be had. */
static void
test_create_named (Fixture       *self,
                   gconstpointer  data)
{
  g_autoptr (GBytes) contents = make_contents ();

  faults_set_no_unnamed (TRUE);
  g_assert_true (files_create (self->overlay, contents, self->disk, NULL, &self->error));
  faults_set_no_unnamed (FALSE);
  g_assert_no_error (self->error);
  g_assert_cmpuint (scratch_look (self->overlay).size, ==, 1 << 20);
}

/* A file that can be neither finished nor removed is told: who gets a chance later removes it. */
static void
create_for_nothing (Fixture  *self,
                    gboolean  no_unnamed)
{
  g_autoptr (GBytes) contents = make_contents ();
  guint left = 0;

  for (guint nth = 1;; nth++)
    {
      FileFacts facts = { 0 };
      gboolean ok;

      faults_set_no_unnamed (no_unnamed);
      faults_set_lasting (TRUE);
      faults_arm (NULL, nth, EIO);
      ok = files_create (self->overlay, contents, self->disk, &facts, &self->error);
      faults_set_lasting (FALSE);
      faults_set_no_unnamed (FALSE);
      if (faults_disarm () == NULL)
        break;
      g_assert_false (ok);
      g_clear_error (&self->error);
      g_assert_cmpuint (facts.ino, ==, scratch_look (self->overlay).ino);
      left += facts.ino != 0;
      g_unlink (self->overlay);
    }
  g_assert_no_error (self->error);
  g_assert_cmpuint (left, >, 0);
}

static void
test_create_left (Fixture       *self,
                  gconstpointer  data)
{
  create_for_nothing (self, FALSE);
  g_unlink (self->overlay);
  create_for_nothing (self, TRUE);
}

typedef gboolean (*Verb) (Fixture *self);

static gboolean
do_create (Fixture *self)
{
  g_autoptr (GBytes) contents = make_contents ();

  return files_create (self->overlay, contents, self->disk, NULL, &self->error);
}

static gboolean
undo_create (Fixture *self)
{
  g_unlink (self->overlay);

  return TRUE;
}

static gboolean
do_publish (Fixture *self)
{
  return files_publish (self->overlay, self->disk, self->facts.ino, &self->error);
}

/* `disk` is the base again, which keeps its own name. */
static gboolean
undo_publish (Fixture *self)
{
  g_unlink (self->disk);
  g_assert_no_errno (link (self->layer, self->disk));

  return TRUE;
}

static gboolean
undo_link (Fixture *self)
{
  g_unlink (self->layer);

  return TRUE;
}

static gboolean
do_remove (Fixture *self)
{
  return files_remove (self->layer, self->facts.dev, self->facts.ino, &self->error);
}

static gboolean
undo_remove (Fixture *self)
{
  return scratch_look (self->layer).ino != 0 || link (self->disk, self->layer) == 0;
}

/* Lets each system call of @verb fail in turn: it says so and nothing is left behind (an fsync of
 * the folder may fail when the rest is done); trying again succeeds. */
static void
sweep (Fixture *self,
       Verb     verb,
       Verb     undo,
       int      number,
       guint    at_least)
{
  int code = number == ENOSPC ? (int) AGENT_ERROR_NO_SPACE : (int) AGENT_ERROR_INTERNAL;
  guint failures = 0;

  for (guint nth = 1;; nth++)
    {
      FileFacts disk;
      const char *met;
      gboolean ok;
      guint before;

      g_assert_true (undo (self));
      before = scratch_count (self->folder);
      disk = scratch_look (self->disk);

      faults_arm (NULL, nth, number);
      ok = verb (self);
      met = faults_disarm ();

      if (met == NULL)
        {
          g_assert_no_error (self->error);
          g_assert_true (ok);
          break;
        }
      if (!ok)
        {
          g_test_message ("%s: %s", met, self->error->message);
          g_assert_error (self->error, AGENT_ERROR, code);
          g_clear_error (&self->error);
          failures++;
        }
      if (!ok && !(g_str_equal (met, "fsync") && verb != do_create))
        {
          g_assert_cmpuint (scratch_count (self->folder), ==, before);
          g_assert_cmpuint (scratch_look (self->disk).ino, ==, disk.ino);
        }

      g_assert_true (verb (self));
      g_assert_no_error (self->error);
    }

  g_assert_cmpuint (failures, >=, at_least);
}

static void
test_faults_create (Fixture       *self,
                    gconstpointer  data)
{
  sweep (self, do_create, undo_create, GPOINTER_TO_INT (data), 7);
  g_assert_cmpuint (scratch_look (self->overlay).size, ==, 1 << 20);
}

static void
test_faults_create_named (Fixture       *self,
                          gconstpointer  data)
{
  faults_set_no_unnamed (TRUE);
  sweep (self, do_create, undo_create, GPOINTER_TO_INT (data), 7);
  faults_set_no_unnamed (FALSE);
}

static void
test_faults_publish (Fixture       *self,
                     gconstpointer  data)
{
  g_autofree char *overlay = scratch_write (self->folder, "disk.1", "overlay");

  g_assert_true (link_layer (self));
  sweep (self, do_publish, undo_publish, GPOINTER_TO_INT (data), 4);
  g_assert_cmpuint (scratch_look (self->disk).ino, ==, scratch_look (overlay).ino);
  g_assert_cmpuint (scratch_count (self->folder), ==, 3);
}

static void
test_faults_link (Fixture       *self,
                  gconstpointer  data)
{
  sweep (self, link_layer, undo_link, GPOINTER_TO_INT (data), 4);
  g_assert_cmpuint (scratch_look (self->layer).ino, ==, self->facts.ino);
}

static void
test_faults_remove (Fixture       *self,
                    gconstpointer  data)
{
  sweep (self, do_remove, undo_remove, GPOINTER_TO_INT (data), 3);
  g_assert_cmpuint (scratch_look (self->layer).ino, ==, 0);
}

/* What link() may be refused for says what to do. */
static void
test_errno_words (Fixture       *self,
                  gconstpointer  data)
{
  static const struct
  {
    int         number;
    AgentError  code;
    const char *hint;
  } rows[] = {
    { EXDEV,  AGENT_ERROR_CONFLICT, "one folder" },
    { EPERM,  AGENT_ERROR_CONFLICT, "protected_hardlinks" },
    { EACCES, AGENT_ERROR_CONFLICT, "change its folder" },
    { EMLINK, AGENT_ERROR_CONFLICT, "hard links" },
    { EROFS,  AGENT_ERROR_CONFLICT, "writable" },
    { ENOSPC, AGENT_ERROR_NO_SPACE, "room" },
    { EDQUOT, AGENT_ERROR_NO_SPACE, "quota" },
    { EIO,    AGENT_ERROR_INTERNAL, NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      faults_arm ("linkat", 1, rows[i].number);
      g_assert_false (link_layer (self));
      g_assert_cmpstr (faults_disarm (), ==, "linkat");
      g_assert_error (self->error, AGENT_ERROR, (int) rows[i].code);
      g_assert_nonnull (strstr (self->error->message, g_strerror (rows[i].number)));
      if (rows[i].hint != NULL)
        g_assert_nonnull (strstr (agent_error_get_hint (self->error), rows[i].hint));
      g_clear_error (&self->error);
    }
}

/* The same errors from a real kernel, where it can be brought to make them. */
static void
test_real_unprivileged (Fixture       *self,
                        gconstpointer  data)
{
  g_autoptr (GBytes) contents = make_contents ();
  g_autofree char *text = NULL;
  FileFacts facts;

  if (getuid () != 0)
    {
      g_test_skip ("only root can become somebody else");
      return;
    }

  /* A folder that somebody else may not change. */
  g_assert_no_errno (chmod (self->folder, 0755));
  g_assert_no_errno (seteuid (NOBODY));
  REFUSED (NULL, link_layer (self));
  REFUSED ("Permission denied",
           files_create (self->overlay, contents, self->disk, &facts, &self->error));
  REFUSED ("Permission denied",
           files_remove (self->disk, self->facts.dev, self->facts.ino, &self->error));

  /* One that they may change, with a file that is not theirs. */
  g_assert_no_errno (seteuid (0));
  g_assert_no_errno (chmod (self->folder, 0777));
  g_assert_no_errno (chmod (self->disk, 0644));
  g_assert_no_errno (seteuid (NOBODY));
  REFUSED ("user 0", files_create (self->overlay, contents, self->disk, &facts, &self->error));
  g_assert_cmpuint (scratch_count (self->folder), ==, 1);
  if (g_file_get_contents ("/proc/sys/fs/protected_hardlinks", &text, NULL, NULL) && text[0] == '1')
    assert_refused (self, link_layer (self), AGENT_ERROR_CONFLICT, "Operation not permitted");
  g_assert_no_errno (seteuid (0));
}

static void
test_real_file_system (Fixture       *self,
                       gconstpointer  data)
{
  g_autoptr (GBytes) contents = NULL;
  g_autofree char *mounted = g_build_filename (self->folder, "mounted", NULL);
  g_autofree char *to = g_build_filename (mounted, "disk.0", NULL);
  guint8 *noise = g_malloc (1 << 20);

  memset (noise, 1, 1 << 20);
  contents = g_bytes_new_take (noise, 1 << 20);
  g_assert_no_errno (g_mkdir (mounted, 0755));
  if (unshare (CLONE_NEWNS) != 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
      || mount ("tmpfs", mounted, "tmpfs", 0, "size=64k") != 0)
    {
      g_test_skip ("mounting is not permitted here");
      return;
    }

  REFUSED ("cross-device",
           files_link (self->disk, to, self->facts.dev, self->facts.ino, &self->error));
  REFUSED ("cross-device", files_publish (self->disk, to, 0, &self->error));
  assert_refused (self, files_create (to, contents, self->disk, NULL, &self->error),
                  AGENT_ERROR_NO_SPACE, "space");
  g_assert_cmpuint (scratch_count (mounted), ==, 0);

  g_assert_no_errno (mount (NULL, mounted, NULL, MS_REMOUNT | MS_RDONLY, NULL));
  REFUSED ("ead-only", files_create (to, contents, self->disk, NULL, &self->error));
  g_assert_no_errno (umount (mounted));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("create-named", test_create_named, NULL);
  ADD ("faults/create-left", test_create_left, NULL);
  ADD ("faults/create", test_faults_create, GINT_TO_POINTER (EIO));
  ADD ("faults/create-no-space", test_faults_create, GINT_TO_POINTER (ENOSPC));
  ADD ("faults/create-named", test_faults_create_named, GINT_TO_POINTER (EIO));
  ADD ("faults/publish", test_faults_publish, GINT_TO_POINTER (EIO));
  ADD ("faults/publish-no-space", test_faults_publish, GINT_TO_POINTER (ENOSPC));
  ADD ("faults/link", test_faults_link, GINT_TO_POINTER (EIO));
  ADD ("faults/remove", test_faults_remove, GINT_TO_POINTER (EIO));
  ADD ("errno-words", test_errno_words, NULL);
  ADD ("real/unprivileged", test_real_unprivileged, NULL);
  ADD ("real/file-system", test_real_file_system, NULL);

  return g_test_run ();
}
