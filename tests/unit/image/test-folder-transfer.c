/* SPDX-License-Identifier: Apache-2.0 */

/* Uploads into the folder: killed, cancelled, failing and waiting at each moment. */

#include <core/error.h>
#include <signal.h>
#include <unistd.h>

#include "folder-fixture.h"

#define ID     FOLDER_ID
#define OTHER  "7b4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69"
#define LENGTH FOLDER_LENGTH
#define READS  4                /* of an image of LENGTH bytes */

static void
die_at_read (PatternSource *source)
{
  guint *left = source->data;

  if ((*left)-- == 0)
    raise (SIGKILL);
}

/* Where the process that dies and the one that looks at it afterwards meet. */
static char *
crash_folder (int   parent,
              guint at)
{
  return g_strdup_printf ("%s/images-crash-%d-%u", g_get_tmp_dir (), parent, at);
}

/* Is killed at one of the reads. */
static void
test_crash_child (gconstpointer data)
{
  guint at = GPOINTER_TO_UINT (data);
  guint left = at;
  g_autofree char *folder = crash_folder (getppid (), at);
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  FolderFixture fixture = { .folder = folder };

  fixture.store = folder_store_new (folder, 1, NULL);
  folder_create (&fixture, "qcow2");
  source->on_read = die_at_read;
  source->data = &left;
  store_upload (fixture.store, ID, source, NULL, NULL);
  g_assert_not_reached ();
}

/* Goes on from what a killed process left. */
static void
test_crash (gconstpointer data)
{
  guint at = GPOINTER_TO_UINT (data);
  g_autofree char *child = g_strdup_printf ("/image/folder-transfer/crash/%u/subprocess", at);
  FolderFixture fixture = { .folder = crash_folder (getpid (), at) };
  g_autoptr (GError) error = NULL;

  g_test_trap_subprocess (child, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();

  fixture.store = folder_store_new (fixture.folder, 1, &error);
  g_assert_no_error (error);
  folder_assert_status (&fixture, "queued");
  g_assert_true (folder_has (&fixture, ".qcow2.part"));
  g_assert_false (folder_has (&fixture, ".qcow2"));
  folder_assert_upload (&fixture, ".qcow2");
  g_assert_true (store_remove (fixture.store, ID, &error));
  g_assert_cmpuint (folder_count (&fixture), ==, 0);
  folder_teardown (&fixture, NULL);
}

static void
test_cancel (FolderFixture *fixture,
             gconstpointer  data)
{
  /* The last is behind the last byte, where nothing reads any more. */
  for (gint64 at = -1; at <= LENGTH; at += 1024 * 1024)
    {
      g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GError) error = NULL;

      folder_create (fixture, "raw");
      source->pattern.cancellable = cancellable;
      source->pattern.cancels_at = MAX (at, 0);
      if (at < 0)
        g_cancellable_cancel (cancellable);

      g_assert_null (store_upload (fixture->store, ID, source, cancellable, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
      g_assert_cmpuint (folder_count (fixture), ==, 1);
      folder_assert_status (fixture, "queued");
      folder_assert_upload (fixture, ".raw");
      g_clear_error (&error);
      g_assert_true (store_remove (fixture->store, ID, &error));
    }
}

static void
test_source_fails (FolderFixture *fixture,
                   gconstpointer  data)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (GError) error = NULL;

  folder_create (fixture, "raw");
  source->pattern.fails_at = LENGTH / 2;
  g_assert_null (store_upload (fixture->store, ID, source, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_assert_cmpuint (folder_count (fixture), ==, 1);
  g_clear_error (&error);

  source->pattern.fails_at = -1;
  source->pattern.ends_at = LENGTH - 1;
  g_assert_null (store_upload (fixture->store, ID, source, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_assert_cmpuint (folder_count (fixture), ==, 1);
  folder_assert_status (fixture, "queued");
}

/* Holds a transfer in its first read until it is let go. */
typedef struct
{
  GMutex   lock;
  GCond    changed;
  gboolean arrived;
  gboolean open;
} Gate;

static void
wait_at_gate (PatternSource *source)
{
  Gate *gate = source->data;

  g_mutex_lock (&gate->lock);
  gate->arrived = TRUE;
  g_cond_broadcast (&gate->changed);
  while (!gate->open)
    g_cond_wait (&gate->changed, &gate->lock);
  g_mutex_unlock (&gate->lock);
}

/* One transfer runs: small requests go past it, a second one waits, and whoever waits can be
 * cancelled. */
static void
test_queue (FolderFixture *fixture,
            gconstpointer  data)
{
  g_autoptr (PatternSource) first = pattern_source_new (LENGTH);
  g_autoptr (PatternSource) second = pattern_source_new (LENGTH);
  g_autoptr (ImageInfo) info = make_info (OTHER, "raw");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) first_result = NULL;
  g_autoptr (GAsyncResult) second_result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) done = NULL;
  Gate gate = { .open = FALSE };

  g_mutex_init (&gate.lock);
  g_cond_init (&gate.changed);
  folder_create (fixture, "raw");
  g_assert_true (store_create (fixture->store, info, &error));

  first->on_read = wait_at_gate;
  first->data = &gate;
  image_store_upload_async (fixture->store, ID, AGENT_IMAGE_SOURCE (first), NULL, NULL, NULL,
                            keep_result,
                            &first_result);
  g_mutex_lock (&gate.lock);
  while (!gate.arrived)
    g_cond_wait (&gate.changed, &gate.lock);
  g_mutex_unlock (&gate.lock);

  image_store_upload_async (fixture->store, OTHER, AGENT_IMAGE_SOURCE (second), NULL, NULL,
                            cancellable,
                            keep_result, &second_result);
  folder_assert_status (fixture, "queued");
  g_assert_null (second_result);

  /* It is being written to. */
  g_assert_false (store_remove (fixture->store, ID, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);

  g_cancellable_cancel (cancellable);
  g_assert_null (second_result);        /* not from within the call */
  g_assert_null (image_store_upload_finish (fixture->store, await_result (&second_result), &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (first_result);
  g_assert_cmpuint (second->pattern.rewinds, ==, 0);

  g_mutex_lock (&gate.lock);
  gate.open = TRUE;
  g_cond_broadcast (&gate.changed);
  g_mutex_unlock (&gate.lock);
  done = image_store_upload_finish (fixture->store, await_result (&first_result), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (done->status, ==, "active");

  g_mutex_clear (&gate.lock);
  g_cond_clear (&gate.changed);
}

typedef struct
{
  guint          calls;
  gint64         last;
  GAsyncResult  *result;
} Told;

static void
on_progress (gint64   done,
             gint64   total,
             gpointer user_data)
{
  Told *told = user_data;

  g_assert_true (g_main_context_is_owner (g_main_context_default ()));
  g_assert_null (told->result);
  g_assert_cmpint (done, >, told->last);
  g_assert_cmpint (total, ==, LENGTH * 10);
  told->calls++;
  told->last = done;
}

static void
test_progress (FolderFixture *fixture,
               gconstpointer  data)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH * 10);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = NULL;
  Told told = { 0 };
  gint64 begun = g_get_monotonic_time ();
  gint64 fifths;

  folder_create (fixture, "raw");
  source->pattern.pause_us = 20000;
  image_store_upload_async (fixture->store, ID, AGENT_IMAGE_SOURCE (source), on_progress, &told,
                            NULL,
                            keep_result, &told.result);
  info = image_store_upload_finish (fixture->store, await_result (&told.result), &error);
  g_assert_no_error (error);

  fifths = (g_get_monotonic_time () - begun) / (G_USEC_PER_SEC / 5);
  g_assert_cmpint (told.last, ==, LENGTH * 10);
  g_assert_cmpuint (told.calls, >=, 3);
  g_assert_cmpuint (told.calls, <=, (guint) fifths + 2);
  g_object_unref (told.result);
}

/* The store may be dropped while a transfer runs; it is over when the transfer is. */
static void
test_store_dropped (FolderFixture *fixture,
                    gconstpointer  data)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (GAsyncResult) result = NULL;
  ImageStore *store = fixture->store;

  folder_create (fixture, "raw");
  g_object_add_weak_pointer (G_OBJECT (store), (gpointer *) &fixture->store);
  image_store_upload_async (store, ID, AGENT_IMAGE_SOURCE (source), NULL, NULL, NULL, keep_result,
                            &result);
  g_object_unref (store);
  g_assert_nonnull (fixture->store);
  await_result (&result);
  g_assert_true (g_task_had_error (G_TASK (result)) == FALSE);
  g_clear_object (&result);
  while (g_atomic_pointer_get (&fixture->store) != NULL)
    g_main_context_iteration (NULL, FALSE);
}

static void
add (const char *name,
     void      (*test) (FolderFixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/image/folder-transfer/", name, NULL);

  g_test_add (path, FolderFixture, NULL, folder_setup, test, folder_teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint at = 0; at < READS; at++)
    {
      g_autofree char *path = g_strdup_printf ("/image/folder-transfer/crash/%u", at);
      g_autofree char *child = g_strconcat (path, "/subprocess", NULL);

      g_test_add_data_func (path, GUINT_TO_POINTER (at), test_crash);
      g_test_add_data_func (child, GUINT_TO_POINTER (at), test_crash_child);
    }
  add ("cancel", test_cancel);
  add ("source-fails", test_source_fails);
  add ("queue", test_queue);
  add ("progress", test_progress);
  add ("store-dropped", test_store_dropped);

  return g_test_run ();
}
