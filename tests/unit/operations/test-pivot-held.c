/* SPDX-License-Identifier: Apache-2.0 */

/* Whoever holds a guest's writes for long says so, and says when that is over. */

#include "operation-private.h"
#include "pivot-private.h"

#include <string.h>

/* What the log was told. */
static GLogWriterOutput
take_words (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      g_ptr_array_add (user_data, g_strdup (fields[i].value));
  return G_LOG_WRITER_HANDLED;
}

static gboolean
on_late (gpointer user_data)
{
  g_main_loop_quit (user_data);
  return G_SOURCE_REMOVE;
}

static void
on_changed (Operation *operation, gpointer user_data)
{
  g_main_loop_quit (user_data);
}

static void
test_told (gconstpointer user_data)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (Operation) operation = operation_new ("op", "commit", "guest");
  JsonObject *result = operation_get_result (operation);
  Pivot pivot = { .disk = (char *) "vda", .job = (char *) "qsnap-1",
                  .published = (char *) "/pool/vm/disk" };
  PivotSet set = { .operation = operation };
  PivotHeld *held = pivot_held_new (&set, &pivot);
  guint late = g_timeout_add_seconds (10, on_late, loop);
  const GPtrArray *words = user_data;
  const char *told;

  g_signal_connect (operation, "changed", G_CALLBACK (on_changed), loop);
  g_main_loop_run (loop);
  g_source_remove (late);
  told = json_object_get_string_member_with_default (result, "held", "");
  g_assert_nonnull (strstr (told, "qsnap-1"));
  g_assert_nonnull (strstr (told, "/pool/vm "));
  g_assert_cmpuint (words->len, ==, 1);
  g_assert_nonnull (strstr (g_ptr_array_index (words, 0), told));

  pivot_held_free (held);
  g_assert_cmpuint (words->len, ==, 2);
  g_assert_false (json_object_has_member (result, "held"));
}

static void
test_in_time (void)
{
  g_autoptr (Operation) operation = operation_new ("op", "commit", "guest");
  Pivot pivot = { .disk = (char *) "vda", .job = (char *) "qsnap-1",
                  .from_path = (char *) "/dev/vg/lv" };
  PivotSet set = { .operation = operation };

  pivot_held_free (pivot_held_new (&set, &pivot));
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_false (json_object_has_member (operation_get_result (operation), "held"));
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_with_free_func (g_free);

  g_test_init (&argc, &argv, NULL);
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR);
  g_log_set_writer_func (take_words, words, NULL);

  g_test_add_data_func ("/pivot-held/told", words, test_told);
  g_test_add_func ("/pivot-held/in-time", test_in_time);

  return g_test_run ();
}
