/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a new journal takes the place of another one, so that a death at any moment leaves the
 * one or the other:
 *
 *     journal.sqlite.rebuilt.tmp   is written and synced
 *     journal.sqlite.rebuilt       from here on the new one counts: renamed, folder synced
 *     journal_open()               the old one, with its log, gets a name to be kept by; then the
 *                                  new one gets its name
 *
 * SQLite would read the log of the one into the other: so nobody opens either in between. */

#include <core/journal-rebuild.h>

#include "journal-private.h"

#include <core/error.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

static gboolean
failed (GError     **error,
        const char  *doing,
        const char  *path)
{
  int saved = errno;

  agent_set_error (error, saved == ENOSPC ? AGENT_ERROR_NO_SPACE : AGENT_ERROR_INTERNAL,
                   "the daemon must be allowed to write in the state folder",
                   "cannot %s %s: %s", doing, path, g_strerror (saved));

  return FALSE;
}

/* --- the decision --- */

static gboolean
sync_file (const char  *path,
           GError     **error)
{
  int fd = g_open (path, O_RDONLY | O_CLOEXEC, 0);
  gboolean ok = fd >= 0 && fsync (fd) == 0;

  if (!ok)
    failed (error, "sync", path);
  if (fd >= 0)
    g_close (fd, NULL);

  return ok;
}

/* An empty file of our mode, for SQLite to fill. */
static gboolean
make_empty (const char  *path,
            GError     **error)
{
  int fd;

  if (g_unlink (path) < 0 && errno != ENOENT)
    return failed (error, "remove", path);

  fd = g_open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return failed (error, "make", path);

  g_close (fd, NULL);

  return TRUE;
}

static gboolean
write_out (Journal     *content,
           const char  *path,
           GError     **error)
{
  sqlite3_stmt *statement = NULL;
  gboolean ok;

  if (!make_empty (path, error))
    return FALSE;

  ok = sqlite3_prepare_v2 (content->db, "VACUUM INTO ?", -1, &statement, NULL) == SQLITE_OK &&
       sqlite3_bind_text (statement, 1, path, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
       sqlite3_step (statement) == SQLITE_DONE;

  if (!ok)
    journal_set_sqlite_error (error, content->db, path, "write");

  sqlite3_finalize (statement);

  return ok && sync_file (path, error);
}

/**
 * journal_make_first:
 * @path: the journal's name, locked
 * @error: return location
 *
 * Where there is no journal makes one, with its tables: an empty file is none, at any moment.
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL
 */
gboolean
journal_make_first (const char  *path,
                    GError     **error)
{
  g_autofree char *temporary = g_strconcat (path, ".tmp", NULL);
  g_autoptr (Journal) content = NULL;

  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;

  content = journal_new_in_memory (path, error);
  if (content == NULL || !write_out (content, temporary, error))
    return FALSE;

  if (g_rename (temporary, path) < 0)
    return failed (error, "rename", temporary);

  return journal_sync_folder (path, error);
}

static char *
dup_rebuilt (const char *path)
{
  return g_strconcat (path, ".rebuilt", NULL);
}

static gboolean
is_same_file (const char *one,
              const char *other)
{
  GStatBuf a, b;

  return g_stat (one, &a) == 0 && g_stat (other, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

/* The name for what @path is now; the same each time that it is asked for while @rebuilt waits. */
static char *
choose_kept (const char *path,
             const char *rebuilt)
{
  GStatBuf status = { 0 };
  g_autoptr (GDateTime) when = NULL;
  g_autofree char *stamp = NULL;
  char *kept;

  if (g_stat (rebuilt, &status) == 0)
    when = g_date_time_new_from_unix_utc (status.st_mtime);
  stamp = when != NULL ? g_date_time_format (when, "%Y%m%dT%H%M%SZ") : g_strdup ("0");
  kept = g_strdup_printf ("%s.damaged-%s", path, stamp);

  for (guint i = 2; g_file_test (kept, G_FILE_TEST_EXISTS) && !is_same_file (kept, path); i++)
    {
      g_free (kept);
      kept = g_strdup_printf ("%s.damaged-%s-%u", path, stamp, i);
    }

  return kept;
}

/**
 * journal_refuse:
 * @self: a journal
 * @why: (transfer full) (nullable): what each write fails with; %NULL: none does
 *
 * A journal that was damaged when it was opened cannot become whole by this.
 */
void
journal_refuse (Journal *self,
                GError  *why)
{
  g_clear_error (&self->damage);
  self->damage = why;
}

/**
 * journal_succeed:
 * @self: the journal of the daemon, damaged or whole
 * @content: what is to be in its place
 * @kept: (out) (transfer full): where @self's file will be found
 * @error: return location
 *
 * The files change places with the next journal_open(): SQLite may have @self's open until then.
 *
 * Returns: whether that is decided, durably; %FALSE with AGENT_ERROR_NO_SPACE or
 *   AGENT_ERROR_INTERNAL
 */
gboolean
journal_succeed (Journal  *self,
                 Journal  *content,
                 char    **kept,
                 GError  **error)
{
  g_autofree char *rebuilt = dup_rebuilt (self->path);
  g_autofree char *temporary = g_strconcat (rebuilt, ".tmp", NULL);

  if (!write_out (content, temporary, error))
    {
      g_unlink (temporary);
      return FALSE;
    }

  if (g_rename (temporary, rebuilt) < 0)
    return failed (error, "rename", temporary);

  /* Undecided: what is written to the old one from now on must not be lost with the next start. */
  if (!journal_sync_folder (self->path, error))
    {
      g_unlink (rebuilt);
      return FALSE;
    }

  journal_refuse (self, agent_error_new (AGENT_ERROR_DAMAGED, "try again in a moment",
                                         "the journal %s has been rebuilt, and the daemon is about "
                                         "to begin anew with it", self->path));
  *kept = choose_kept (self->path, rebuilt);

  return TRUE;
}

/* --- what follows from it --- */

static gboolean
keep_beside (const char  *path,
             const char  *kept,
             const char  *suffix,
             GError     **error)
{
  g_autofree char *from = g_strconcat (path, suffix, NULL);
  g_autofree char *to = g_strconcat (kept, suffix, NULL);

  return g_rename (from, to) == 0 || errno == ENOENT || failed (error, "rename", from);
}

/**
 * journal_take_place:
 * @path: the journal's name, locked
 * @error: return location
 *
 * Does what journal_succeed() has decided, if it has; goes on where a death has interrupted it.
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL
 */
gboolean
journal_take_place (const char  *path,
                    GError     **error)
{
  static const char *const beside[] = { "-wal", "-journal", "-shm" };
  g_autofree char *rebuilt = dup_rebuilt (path);
  g_autofree char *kept = NULL;

  if (!g_file_test (rebuilt, G_FILE_TEST_EXISTS))
    return TRUE;

  kept = choose_kept (path, rebuilt);

  for (gsize i = 0; i < G_N_ELEMENTS (beside); i++)
    {
      if (!keep_beside (path, kept, beside[i], error))
        return FALSE;
    }

  /* A journal that was lost altogether leaves nothing to keep. */
  if (link (path, kept) < 0 && errno != ENOENT && errno != EEXIST)
    return failed (error, "keep", path);

  if (!journal_sync_folder (path, error))
    return FALSE;

  if (g_rename (rebuilt, path) < 0)
    return failed (error, "rename", rebuilt);

  g_message ("the journal that was rebuilt is in its place; the one before it is kept as %s", kept);

  return journal_sync_folder (path, error);
}
