/* SPDX-License-Identifier: Apache-2.0 */

/* The small requests, and what is made of answers that nobody vouches for. */

#include <glance/error.h>
#include <glance/images.h>
#include <glib/gstdio.h>
#include <string.h>

#include "fake-glance.h"
#include "pattern.h"

#define ID "6a4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69"

typedef struct
{
  FakeGlance   *fake;
  GlanceImages *images;
} Fixture;

static GlanceImages *
connect_to (const char  *url,
            GlanceToken *token)
{
  const GlanceSettings settings = { .url = url, .stall_s = 2, .settle_ms = 300, .backoff_ms = 10 };
  g_autoptr (GError) error = NULL;
  GlanceImages *images = glance_images_new (&settings, token, &error);

  g_assert_no_error (error);

  return images;
}

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  fixture->fake = fake_glance_new ();
  fixture->images = connect_to (fake_glance_get_url (fixture->fake), NULL);
}

static void
teardown (Fixture       *fixture,
          gconstpointer  data)
{
  g_clear_object (&fixture->images);
  g_clear_pointer (&fixture->fake, fake_glance_free);
}

static void
set_property (GlanceImage *image,
              const char  *name,
              const char  *value)
{
  g_hash_table_insert (image->properties, g_strdup (name), g_strdup (value));
}

static GlanceImage *
make_image (void)
{
  GlanceImage *image = glance_image_new ();

  image->id = g_strdup (ID);
  image->name = g_strdup ("vm-1 \"disk\" \xc3\xa4");
  image->disk_format = g_strdup ("qcow2");
  image->hidden = TRUE;
  image->min_disk = 3;
  image->min_ram = 512;
  set_property (image, "image_type", "snapshot");
  set_property (image, "qsnap_parent", "0b7e");

  return image;
}

static void
assert_creation_fails (GlanceImages *images,
                       GlanceImage  *image,
                       GlanceError   code,
                       const char   *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (glance_images_create (images, image, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, (int) code);
  if (strstr (error->message, text) == NULL)
    g_error ("\"%s\" is not in \"%s\"", text, error->message);
}

static void
test_create (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GlanceImage) image = make_image ();
  g_autoptr (GlanceImage) found = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (glance_images_create (fixture->images, image, NULL, &error));
  g_assert_no_error (error);

  found = glance_images_get (fixture->images, ID, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (found->id, ==, ID);
  g_assert_cmpstr (found->name, ==, image->name);
  g_assert_cmpstr (found->disk_format, ==, "qcow2");
  g_assert_cmpstr (found->status, ==, "queued");
  g_assert_true (found->hidden);
  g_assert_cmpint (found->min_disk, ==, 3);
  g_assert_cmpint (found->min_ram, ==, 512);
  g_assert_cmpint (found->size, ==, -1);
  g_assert_null (found->md5);
  g_assert_null (found->sha512);
  g_assert_cmpint (found->created_us, ==, 1714979289 * (gint64) G_USEC_PER_SEC);
  g_assert_cmpuint (g_hash_table_size (found->properties), ==, 2);
  g_assert_cmpstr (g_hash_table_lookup (found->properties, "qsnap_parent"), ==, "0b7e");
}

static void
test_create_again (Fixture       *fixture,
                   gconstpointer  data)
{
  const FakeFault lost = { .method = "POST", .moment = FAKE_AFTER_BODY, .end = FAKE_RESET };
  g_autoptr (GlanceImage) image = make_image ();
  g_autoptr (GError) error = NULL;

  /* The first answer is lost, the second is 409, and the image is ours. */
  fake_glance_add_fault (fixture->fake, &lost);
  g_assert_true (glance_images_create (fixture->images, image, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "POST"), ==, 2);

  g_assert_true (glance_images_create (fixture->images, image, NULL, &error));
  g_assert_no_error (error);

  set_property (image, "qsnap_parent", "another");
  assert_creation_fails (fixture->images, image, GLANCE_ERROR_CONFLICT, "another image");
}

static void
test_create_with_used_up_id (Fixture       *fixture,
                             gconstpointer  data)
{
  g_autoptr (GlanceImage) image = make_image ();
  g_autoptr (GError) error = NULL;

  g_assert_true (glance_images_create (fixture->images, image, NULL, &error));
  g_assert_true (glance_images_delete (fixture->images, ID, NULL, &error));
  g_assert_no_error (error);
  assert_creation_fails (fixture->images, image, GLANCE_ERROR_CONFLICT, "belonged");
}

static void
test_create_nonsense (Fixture       *fixture,
                      gconstpointer  data)
{
  static const char *const names[] = { "id", "status", "os_hash_value", "os_glance_x",
                                      "visibility", "" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GlanceImage) image = make_image ();

      set_property (image, names[i], "x");
      assert_creation_fails (fixture->images, image, GLANCE_ERROR_INVALID, "property called");
    }

  {
    g_autoptr (GlanceImage) image = make_image ();

    for (guint i = 0; i < 127; i++)
      {
        g_autofree char *name = g_strdup_printf ("p%u", i);

        set_property (image, name, "x");
      }
    assert_creation_fails (fixture->images, image, GLANCE_ERROR_INVALID, "at most 128");
  }

  {
    g_autoptr (GlanceImage) image = make_image ();

    g_free (image->id);
    image->id = g_strdup ("../../v3/secrets");
    assert_creation_fails (fixture->images, image, GLANCE_ERROR_INVALID, "UUID");
  }

  g_assert_cmpuint (fake_glance_count (fixture->fake, "POST"), ==, 0);
}

static void
test_ids_are_checked (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (glance_images_get (fixture->images, "../x", NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (glance_images_delete (fixture->images, "", NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
  g_assert_cmpuint (fake_glance_get_connections (fixture->fake), ==, 0);
}

/* An answer of the service's that cannot be one. */
static void
test_strange_answers (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autofree char *deep = g_strnfill (200000, '[');
  g_autofree char *deep_json = g_strconcat ("{\"id\": ", deep, NULL);
  g_autofree char *large = g_strnfill (17 * 1024 * 1024, ' ');
  const char *const answers[] = {
    "", "{", "[]", "nonsense", "{\"id\": \"" ID "\"}", "{\"id\": 3, \"status\": \"active\"}",
    "{\"id\": \"" ID "\", \"status\": \"active\", \"size\": -5}",
    "{\"id\": \"" ID "\", \"status\": \"active\", \"size\": \"big\"}",
    "{\"id\": \"0a4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69\", \"status\": \"active\"}",
    "{\"id\": \"\xff\xfe\", \"status\": \"active\"}", deep_json, large,
  };

  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      const FakeFault fault = { .method = "GET", .moment = FAKE_BEFORE_BODY, .status = 200,
                                .text = answers[i] };
      g_autoptr (GError) error = NULL;

      fake_glance_add_fault (fixture->fake, &fault);
      g_assert_null (glance_images_get (fixture->images, ID, NULL, &error));
      g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_PROTOCOL);
    }
}

static void
test_strange_fields (Fixture       *fixture,
                     gconstpointer  data)
{
  const FakeFault fault = {
    .method = "GET", .moment = FAKE_BEFORE_BODY, .status = 200,
    .text = "{\"id\": \"" ID "\", \"status\": \"active\", \"size\": null, \"name\": 7,"
            " \"min_disk\": \"x\", \"os_hidden\": \"yes\", \"created_at\": \"soon\","
            " \"checksum\": {}, \"mine\": \"yes\","
            " \"number\": 3, \"list\": [1], \"owner\": \"somebody\", \"os_hash_algo\": \"md5\","
            " \"os_hash_value\": \"abc\"}",
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImage) image = NULL;

  fake_glance_add_fault (fixture->fake, &fault);
  image = glance_images_get (fixture->images, ID, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (image->name);
  g_assert_null (image->md5);
  g_assert_null (image->sha512);
  g_assert_false (image->hidden);
  g_assert_cmpint (image->created_us, ==, 0);
  g_assert_cmpuint (g_hash_table_size (image->properties), ==, 1);
  g_assert_cmpstr (g_hash_table_lookup (image->properties, "mine"), ==, "yes");
}

static void
test_errors (Fixture       *fixture,
             gconstpointer  data)
{
  static const struct
  {
    const char *text;
    guint       status;
    GlanceError code;
    const char *heard;
  } cases[] = {
    { "plain\r\ntext", 400, GLANCE_ERROR_INVALID, "plain text" },
    { "<html><head><title>403</title></head><body><h1>403</h1>a &amp; b<br/>c</body></html>", 403,
      GLANCE_ERROR_FORBIDDEN, "a & b c" },
    { "{\"message\": \"none\"}", 404, GLANCE_ERROR_NOT_FOUND, "none" },
    { "{\"error\": {\"message\": \"in use\", \"code\": 409}}", 409, GLANCE_ERROR_CONFLICT,
     "in use" },
    { "", 418, GLANCE_ERROR_PROTOCOL, NULL },
    { "<html>&bogus;", 301, GLANCE_ERROR_PROTOCOL, "&bogus;" },
    { "<html><body>\x01\xff</body></html>", 500, GLANCE_ERROR_SERVER, "\xef\xbf\xbd" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const FakeFault fault = { .method = "GET", .times = cases[i].status == 500 ? 4 : 1,
                                .moment = FAKE_BEFORE_BODY, .status = cases[i].status,
                                .text = cases[i].text };
      g_autoptr (GError) error = NULL;

      fake_glance_add_fault (fixture->fake, &fault);
      g_assert_null (glance_images_get (fixture->images, ID, NULL, &error));
      g_assert_error (error, GLANCE_ERROR, (int) cases[i].code);
      g_assert_cmpuint (glance_error_get_status (error), ==, cases[i].status);
      g_assert_cmpstr (glance_error_get_text (error), ==, cases[i].heard);
      g_assert_cmpstr (glance_error_get_request_id (error), ==, "req-of-the-fake");
    }
}

static void
test_service_comes_back (Fixture       *fixture,
                         gconstpointer  data)
{
  const FakeFault away = { .method = "DELETE", .times = 3, .moment = FAKE_BEFORE_BODY,
                          .status = 503,
                           .text = "<html>away" };
  g_autoptr (GError) error = NULL;

  fake_glance_add_fault (fixture->fake, &away);
  g_assert_true (glance_images_delete (fixture->images, ID, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "DELETE"), ==, 4);
}

static void
test_list (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GPtrArray) images = NULL;
  g_autoptr (GError) error = NULL;
  guint hidden = 0;

  for (guint i = 0; i < 250; i++)
    {
      g_autofree char *id = g_uuid_string_random ();

      fake_glance_add_image (fixture->fake, id, i < 20 ? "{\"os_hidden\": true}"
                             : "{\"name\": null}",
                             i % 2 ? "active" : "queued");
    }

  images = glance_images_list (fixture->images, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (images->len, ==, 250);
  for (guint i = 0; i < images->len; i++)
    hidden += ((GlanceImage *) images->pdata[i])->hidden;
  g_assert_cmpuint (hidden, ==, 20);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "GET"), ==, 4);
}

static void
test_list_without_end (Fixture       *fixture,
                       gconstpointer  data)
{
  const FakeFault fault = { .method = "GET", .times = 1000, .moment = FAKE_BEFORE_BODY,
                           .status = 200,
                            .text = "{\"images\": [3, {\"id\": 4}],"
                                    " \"next\": \"http://evil/?marker=x\"}" };
  g_autoptr (GError) error = NULL;

  fake_glance_add_fault (fixture->fake, &fault);
  g_assert_null (glance_images_list (fixture->images, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_PROTOCOL);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "GET"), ==, 200);
}

static void
test_addresses (void)
{
  static const char *const bad[] = { "", "host:9292", "ftp://host", "http://",
                                    "http://user:pass@host",
                                     "http://host/?a=b", "http://host/#a", "file:///etc/passwd",
                                     "no address\nand a line" };
  static const char *const good[] = { "http://host", "https://host:9292/v2",
                                     "http://host/image/v2/",
                                      "http://[::1]:9292" };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const GlanceSettings settings = { .url = bad[i] };
      g_autoptr (GError) error = NULL;

      g_assert_null (glance_images_new (&settings, NULL, &error));
      g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
      g_assert_null (strchr (error->message, '\n'));
    }

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GlanceImages) images = connect_to (good[i], NULL);

      g_assert_nonnull (images);
    }
}

static void
test_address_with_version (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autofree char *url = g_strconcat (fake_glance_get_url (fixture->fake), "/v2/", NULL);
  g_autoptr (GlanceImages) images = connect_to (url, NULL);
  g_autoptr (GPtrArray) found = NULL;
  g_autoptr (GError) error = NULL;

  found = glance_images_list (images, NULL, &error);
  g_assert_no_error (error);
}

static void
test_nobody_there (void)
{
  /* A port that was free a moment ago. */
  g_autoptr (FakeGlance) fake = fake_glance_new ();
  g_autofree char *url = g_strdup (fake_glance_get_url (fake));
  g_autoptr (GlanceImages) images = connect_to (url, NULL);
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&fake, fake_glance_free);
  g_assert_null (glance_images_get (images, ID, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, url));
}

static void
test_no_answer (Fixture       *fixture,
                gconstpointer  data)
{
  const FakeFault fault = { .method = "GET", .times = 4, .moment = FAKE_BEFORE_BODY,
                           .end = FAKE_STALL };
  const GlanceSettings settings = { .url = fake_glance_get_url (fixture->fake), .stall_s = 1,
                                    .backoff_ms = 10 };
  g_autoptr (GlanceImages) images = NULL;
  g_autoptr (GError) error = NULL;

  images = glance_images_new (&settings, NULL, &error);
  fake_glance_add_fault (fixture->fake, &fault);
  g_assert_null (glance_images_get (images, ID, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_TIMEOUT);
}

static void
write_token (const char *path,
             const char *token)
{
  g_assert_true (g_file_set_contents (path, token, -1, NULL));
}

static void
test_token (Fixture       *fixture,
            gconstpointer  data)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "token-XXXXXX", NULL);
  int fd = g_mkstemp (path);
  g_autoptr (GlanceToken) token = glance_token_file_new (path);
  g_autoptr (GlanceImages) images = connect_to (fake_glance_get_url (fixture->fake), token);
  g_autoptr (GPtrArray) found = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *sent = NULL;

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (g_close (fd, NULL));
  fake_glance_set_token (fixture->fake, "first");

  /* Nobody said who we are. */
  g_assert_null (glance_images_get (fixture->images, ID, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
  g_clear_error (&error);

  /* What the file holds is no token. */
  g_assert_null (glance_images_list (images, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
  g_clear_error (&error);
  write_token (path, "two words");
  g_assert_null (glance_images_list (images, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
  g_clear_error (&error);

  write_token (path, "  first\n");
  found = glance_images_list (images, NULL, &error);
  g_assert_no_error (error);
  sent = fake_glance_get_header (fixture->fake, "x-auth-token");
  g_assert_cmpstr (sent, ==, "first");

  /* It expires, and the file has no other. */
  fake_glance_set_token (fixture->fake, "second");
  g_assert_null (glance_images_get (images, ID, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
  g_assert_nonnull (strstr (error->message, path));
  g_clear_error (&error);

  write_token (path, "second");
  g_assert_true (glance_images_delete (images, ID, NULL, &error));
  g_assert_no_error (error);

  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_null (glance_images_get (images, ID, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
}

/* A provider whose token is renewed when it is refused. */
typedef struct
{
  GObject parent_instance;
  guint   asked;
  guint   renewed;
} Renewing;

typedef GObjectClass RenewingClass;

static char *
renewing_get (GlanceToken   *token,
              const char    *refused,
              GCancellable  *cancellable,
              GError       **error)
{
  Renewing *self = (Renewing *) token;

  self->asked++;
  if (refused != NULL)
    self->renewed++;

  return g_strdup (self->renewed > 0 ? "new" : "old");
}

static void
renewing_interface_init (GlanceTokenInterface *iface)
{
  iface->get = renewing_get;
}

GType renewing_get_type (void);

G_DEFINE_TYPE_WITH_CODE (Renewing, renewing, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (GLANCE_TYPE_TOKEN, renewing_interface_init))

static void
renewing_init (Renewing *self)
{
}

static void
renewing_class_init (RenewingClass *klass)
{
}

static void
test_token_expires_before_upload (Fixture       *fixture,
                                  gconstpointer  data)
{
  g_autoptr (GObject) token = g_object_new (renewing_get_type (), NULL);
  g_autoptr (GlanceImages) images = connect_to (fake_glance_get_url (fixture->fake),
                                                (GlanceToken *) token);
  g_autoptr (GlanceImage) image = make_image ();
  g_autoptr (GlanceImage) uploaded = NULL;
  g_autoptr (GError) error = NULL;
  Pattern pattern;
  GlanceBody body;

  pattern_init (&pattern, 2 * 1024 * 1024);
  body = pattern_as_body (&pattern);

  fake_glance_set_token (fixture->fake, "old");
  g_assert_true (glance_images_create (images, image, NULL, &error));
  fake_glance_set_token (fixture->fake, "new");
  uploaded = glance_images_upload (images, ID, &body, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (uploaded->status, ==, "active");
  g_assert_cmpuint (((Renewing *) token)->renewed, ==, 1);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 2);
}

static void
add (const char *name,
     void      (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/glance/images/", name, NULL);

  g_test_add (path, Fixture, NULL, setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("create", test_create);
  add ("create-again", test_create_again);
  add ("create-with-used-up-id", test_create_with_used_up_id);
  add ("create-nonsense", test_create_nonsense);
  add ("ids-are-checked", test_ids_are_checked);
  add ("strange-answers", test_strange_answers);
  add ("strange-fields", test_strange_fields);
  add ("errors", test_errors);
  add ("service-comes-back", test_service_comes_back);
  add ("list", test_list);
  add ("list-without-end", test_list_without_end);
  g_test_add_func ("/glance/images/addresses", test_addresses);
  add ("address-with-version", test_address_with_version);
  g_test_add_func ("/glance/images/nobody-there", test_nobody_there);
  add ("no-answer", test_no_answer);
  add ("token", test_token);
  add ("token-expires-before-upload", test_token_expires_before_upload);

  return g_test_run ();
}
