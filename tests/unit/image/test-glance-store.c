/* SPDX-License-Identifier: Apache-2.0 */

/* An image service behind the verbs of a store: its records and errors are ours. */

#include <core/error.h>
#include <fake-glance.h>
#include <string.h>

#include "support.h"

#define ID     "6a4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69"
#define LENGTH (3 * 1024 * 1024 + 517)

typedef struct
{
  FakeGlance *fake;
  ImageStore *store;
} Fixture;

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  GlanceStoreSettings settings = { .timeout_s = 5, .transfers = 1 };
  g_autoptr (GError) error = NULL;

  fixture->fake = fake_glance_new ();
  settings.url = fake_glance_get_url (fixture->fake);
  fixture->store = glance_store_new (&settings, &error);
  g_assert_no_error (error);
}

static void
teardown (Fixture       *fixture,
          gconstpointer  data)
{
  g_clear_object (&fixture->store);
  fake_glance_free (fixture->fake);
}

static void
create (Fixture *fixture)
{
  g_autoptr (ImageInfo) info = make_info (ID, "qcow2");
  g_autoptr (GError) error = NULL;

  info->hidden = TRUE;
  g_assert_true (store_create (fixture->store, info, &error));
  g_assert_no_error (error);
}

static void
test_round_trip (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (ImageInfo) info = NULL;
  g_autoptr (ImageInfo) again = NULL;
  g_autoptr (GPtrArray) images = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (image_store_get_name (fixture->store), ==, "glance");
  create (fixture);
  info = store_upload (fixture->store, ID, source, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (info->status, ==, "active");
  g_assert_cmpint (info->size, ==, LENGTH);
  g_assert_true (info->hidden);
  g_assert_cmpstr (g_hash_table_lookup (info->properties, "kind"), ==, "layer");

  again = store_get (fixture->store, ID, &error);
  g_assert_cmpstr (again->sha512, ==, info->sha512);
  images = store_list (fixture->store, &error);
  g_assert_cmpuint (images->len, ==, 1);

  g_assert_true (store_remove (fixture->store, ID, &error));
  g_assert_true (store_remove (fixture->store, ID, &error));
  g_assert_null (store_get (fixture->store, ID, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);
}

static void
test_errors (Fixture       *fixture,
             gconstpointer  data)
{
  static const struct
  {
    guint      status;
    AgentError code;
  } cases[] = {
    { 400, AGENT_ERROR_INVALID }, { 401, AGENT_ERROR_UNAUTHORIZED }, { 403, AGENT_ERROR_STORE },
    { 404, AGENT_ERROR_NOT_FOUND }, { 413, AGENT_ERROR_NO_SPACE }, { 415, AGENT_ERROR_STORE },
  };
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);

  create (fixture);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const FakeFault fault = { .method = "PUT", .moment = FAKE_AFTER_BODY,
                               .status = cases[i].status,
                                .text = "<html>the reason", .becomes = "queued" };
      g_autoptr (GError) error = NULL;

      fake_glance_add_fault (fixture->fake, &fault);
      g_assert_null (store_upload (fixture->store, ID, source, NULL, &error));
      g_assert_error (error, AGENT_ERROR, (int) cases[i].code);
      if (cases[i].status != 401)
        {
          g_assert_nonnull (strstr (error->message, "the reason"));
          g_assert_nonnull (strstr (error->message, "req-of-the-fake"));
        }
    }
}

static void
test_used_up_id (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (ImageInfo) info = make_info (ID, "qcow2");
  g_autoptr (GError) error = NULL;

  create (fixture);
  g_assert_true (store_remove (fixture->store, ID, &error));
  g_assert_false (store_create (fixture->store, info, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
}

/* An error of the source is not taken for one of the service. */
static void
test_source_fails (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (GError) error = NULL;

  create (fixture);
  source->pattern.fails_at = 1024 * 1024;
  g_assert_null (store_upload (fixture->store, ID, source, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_assert_nonnull (strstr (error->message, "the pattern fails here"));
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 1);
}

static void
test_cancel (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  const FakeFault fault = { .method = "PUT", .moment = FAKE_IN_BODY, .end = FAKE_STALL,
                            .cancel = cancellable };
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (GError) error = NULL;

  create (fixture);
  fake_glance_add_fault (fixture->fake, &fault);
  g_assert_null (store_upload (fixture->store, ID, source, cancellable, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_true (store_remove (fixture->store, ID, &error));
}

static void
test_bad_address (void)
{
  const GlanceStoreSettings settings = { .url = "controller:9292", .timeout_s = 5,
                                        .transfers = 1 };
  g_autoptr (GError) error = NULL;

  g_assert_null (glance_store_new (&settings, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
}

static void
add (const char *name,
     void      (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/image/glance-store/", name, NULL);

  g_test_add (path, Fixture, NULL, setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("round-trip", test_round_trip);
  add ("errors", test_errors);
  add ("used-up-id", test_used_up_id);
  add ("source-fails", test_source_fails);
  add ("cancel", test_cancel);
  g_test_add_func ("/image/glance-store/bad-address", test_bad_address);

  return g_test_run ();
}
