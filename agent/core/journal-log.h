/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* SQLite's write-ahead log, as far as we need it (https://sqlite.org/fileformat2.html). SQLite
 * itself passes over all that follows a damaged frame, as if it had never been durable. Pure. */

typedef struct
{
  guint32  page_size;           /* bytes; 0: there is no header that could be read */
  guint    n_frames;            /* up to the last commit that can be trusted */
  guint32  n_pages;             /* of the database, by that commit; 0: none */
  gboolean is_damaged;          /* something durable cannot be read any more */
} JournalLog;

JournalLog    journal_log_read     (GBytes *log);
/* The page that a trusted frame brings. @number: (out): from 1. (transfer none) */
const guint8 *journal_log_page     (const JournalLog *self, GBytes *log, guint frame,
                                    guint32 *number);

G_END_DECLS
