/* SPDX-License-Identifier: Apache-2.0 */

/* Knows journals that are in memory: one to fill, and one that stands in for a damaged file. */

#include <core/journal-rebuild.h>

#include "journal-private.h"
#include "journal-tables.h"

/**
 * journal_new_in_memory:
 * @path: (nullable): for messages
 * @error: return location
 *
 * Returns: (transfer full): a journal with all tables and no rows, which nothing is left of in the
 *   end
 */
Journal *
journal_new_in_memory (const char  *path,
                       GError     **error)
{
  g_autoptr (Journal) self = g_object_new (TYPE_JOURNAL, NULL);

  self->path = g_strdup (path != NULL ? path : "in memory");

  if (sqlite3_open_v2 (":memory:", &self->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL)
      != SQLITE_OK ||
      sqlite3_exec (self->db, "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;", NULL, NULL,
                    NULL) != SQLITE_OK)
    {
      journal_set_sqlite_error (error, self->db, self->path, "make");
      return NULL;
    }

  return journal_migrate (self->db, self->path, journal_migrations, error) ? g_steal_pointer (&self)
                                                                          : NULL;
}

/* Nothing that anybody would act upon. */
static gboolean
keep_guests (Journal  *self,
             GError  **error)
{
  static const char *const kept[] = { "guests", "guest_disks", NULL };

  for (const JournalTable *table = journal_tables; table->name != NULL; table++)
    {
      g_autofree char *sql = g_strconcat ("DELETE FROM ", table->name, NULL);

      if (!g_strv_contains (kept, table->name) && !journal_write (self, error, sql, ""))
        return FALSE;
    }

  return TRUE;
}

/**
 * journal_open_damaged:
 * @path: the journal's name
 * @why: what is wrong with it
 * @error: return location
 *
 * Stands in for a journal that cannot be trusted, so that guests and disks can be shown: it holds
 * what can be read of them, and refuses every write with AGENT_ERROR_DAMAGED. The file is not
 * touched; it is locked against other daemons.
 *
 * Returns: (transfer full): the journal; %NULL with AGENT_ERROR_CONFLICT or AGENT_ERROR_INTERNAL
 */
Journal *
journal_open_damaged (const char    *path,
                      const GError  *why,
                      GError       **error)
{
  g_autoptr (JournalSalvage) salvage = journal_salvage (path, error);
  g_autoptr (Journal) self = NULL;

  if (salvage == NULL)
    return NULL;

  self = g_object_ref (salvage->content);
  if (!keep_guests (self, error) || !journal_lock_file (path, &self->lock, error))
    return NULL;

  g_free (self->path);
  self->path = g_strdup (path);
  self->damage = g_error_copy (why);

  return g_steal_pointer (&self);
}
