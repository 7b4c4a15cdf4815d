/* SPDX-License-Identifier: Apache-2.0 */

/* A damaged journal, and a damaged log, of which as much is read as can be. */

#include "fuzz.h"

#include <core/journal-rebuild.h>

static void
on_row (JournalRow *row, gpointer user_data)
{
  g_assert_nonnull (journal_row_text (row, 0));
  g_assert_true (g_utf8_validate (journal_row_text (row, 0), -1, NULL));
}

static void
salvage (GBytes *file, GBytes *log)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JournalSalvage) salvage = journal_salvage_bytes (file, log, &error);

  fuzz_check_told (salvage, error);
  /* What was read is a journal like any other. */
  if (salvage != NULL)
    {
      g_assert_true (journal_read (salvage->content, on_row, NULL, &error,
                                   "SELECT p.id FROM points p JOIN point_disks d ON d.point = p.id",
                                   ""));
      g_assert_no_error (error);
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GBytes) all = g_bytes_new (data, size);
  g_autoptr (GBytes) none = g_bytes_new (NULL, 0);
  g_autoptr (GBytes) front = g_bytes_new_from_bytes (all, 0, size / 2);
  g_autoptr (GBytes) back = g_bytes_new_from_bytes (all, size / 2, size - size / 2);

  salvage (all, NULL);
  salvage (none, all);
  salvage (front, back);
  return 0;
}
