/* SPDX-License-Identifier: Apache-2.0 */

/* Tokens from a Keystone whose clock is wrong, which is slow, silent, hostile or turns us away:
 * kept, renewed in time, asked for by one thread. */

#include <glance/error.h>
#include <glance/keystone.h>
#include <string.h>

#include "fake-glance.h"
#include "fake-keystone.h"

#define SECRET  "s3cr3t\\\"{}"
#define THREADS 8
#define DAY_US  (24 * 3600 * (gint64) G_USEC_PER_SEC)

typedef struct
{
  FakeKeystone   *fake;
  GlanceKeystone *keystone;
} Fixture;

static GlanceCloud *
make_cloud (Fixture    *fixture,
            const char *path)
{
  GlanceCloud *cloud = g_new0 (GlanceCloud, 1);

  cloud->name = g_strdup ("c");
  cloud->auth_url = g_strconcat (fake_keystone_get_url (fixture->fake), path, NULL);
  cloud->username = g_strdup ("somebody");
  cloud->user_domain_name = g_strdup ("Default");
  cloud->password = g_strdup (SECRET);
  cloud->project_id = g_strdup ("p");
  cloud->interface = g_strdup ("public");

  return cloud;
}

/* Takes @cloud. */
static void
use_cloud (Fixture     *fixture,
           GlanceCloud *cloud)
{
  const GlanceSettings settings = { .stall_s = 1, .backoff_ms = 1 };

  g_clear_object (&fixture->keystone);
  fixture->keystone = glance_keystone_new (cloud, &settings);
}

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  fixture->fake = fake_keystone_new ();
  use_cloud (fixture, make_cloud (fixture, "/v3"));
}

static void
teardown (Fixture       *fixture,
          gconstpointer  data)
{
  g_clear_object (&fixture->keystone);
  g_clear_pointer (&fixture->fake, fake_keystone_free);
}

static char *
get (Fixture     *fixture,
     const char  *refused,
     GError     **error)
{
  return glance_token_get (GLANCE_TOKEN (fixture->keystone), refused, NULL, error);
}

static void
assert_token (Fixture    *fixture,
              const char *refused,
              const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *token = get (fixture, refused, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (token, ==, expected);
}

static void
assert_posts (Fixture *fixture,
              guint    count)
{
  g_assert_cmpuint (fake_keystone_count (fixture->fake, "POST"), ==, count);
}

static void
test_kept (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceUser) user = NULL;
  g_autofree char *body = NULL;
  g_autofree char *path = NULL;

  assert_posts (fixture, 0);
  assert_token (fixture, NULL, "token-1");
  assert_token (fixture, NULL, "token-1");
  assert_token (fixture, "an older one", "token-1");
  assert_posts (fixture, 1);
  assert_token (fixture, "token-1", "token-2");
  assert_token (fixture, "token-1", "token-2");
  assert_posts (fixture, 2);

  user = glance_keystone_get_self (fixture->keystone, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (user->user_id, ==, "the-user");
  g_assert_cmpstr (user->project_id, ==, "the-project");
  g_assert_cmpstr (user->roles[1], ==, "reader");
  assert_posts (fixture, 2);

  body = fake_keystone_get_body (fixture->fake);
  g_assert_cmpstr (body, ==,
                   "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":"
                   "{\"name\":\"somebody\",\"domain\":{\"name\":\"Default\"},"
                   "\"password\":\"s3cr3t\\\\\\\"{}\"}}},\"scope\":{\"project\":{\"id\":\"p\"}}}}");
  path = fake_keystone_get_path (fixture->fake);
  g_assert_cmpstr (path, ==, "/v3/auth/tokens");
}

static void
test_application_credential (Fixture       *fixture,
                             gconstpointer  data)
{
  GlanceCloud *cloud = make_cloud (fixture, "/v3");
  g_autofree char *body = NULL;

  cloud->kind = GLANCE_CLOUD_APPLICATION_CREDENTIAL;
  cloud->application_credential_name = g_strdup ("backup");
  cloud->application_credential_secret = g_strdup ("hush");
  use_cloud (fixture, cloud);
  assert_token (fixture, NULL, "token-1");

  body = fake_keystone_get_body (fixture->fake);
  g_assert_cmpstr (body, ==,
                   "{\"auth\":{\"identity\":{\"methods\":[\"application_credential\"],"
                   "\"application_credential\":{\"name\":\"backup\",\"secret\":\"hush\",\"user\":"
                   "{\"name\":\"somebody\",\"domain\":{\"name\":\"Default\"}}}}}}");
}

/* Keystone's clock may be years away from ours: it is the life that counts. */
static void
test_skewed_clock (Fixture       *fixture,
                   gconstpointer  data)
{
  const gint64 ahead[] = { -4000 * DAY_US, -3601 * (gint64) G_USEC_PER_SEC, 4000 * DAY_US };

  for (guint i = 0; i < G_N_ELEMENTS (ahead); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *expected = g_strdup_printf ("token-%u", i + 1);

      fake_keystone_set_times (fixture->fake, 3600 * (gint64) G_USEC_PER_SEC, ahead[i]);
      use_cloud (fixture, make_cloud (fixture, "/v3"));
      assert_token (fixture, NULL, expected);
      assert_token (fixture, NULL, expected);
      assert_posts (fixture, i + 1);
    }

  /* And the end comes by our clock as well. */
  fake_keystone_set_times (fixture->fake, G_USEC_PER_SEC / 10, 4000 * DAY_US);
  assert_token (fixture, "token-3", "token-4");
  g_usleep (G_USEC_PER_SEC / 10);
  assert_token (fixture, NULL, "token-5");
}

/* Renewed when a tenth is left; and the old one is used while Keystone has trouble. */
static void
test_renewed_before_the_end (Fixture       *fixture,
                             gconstpointer  data)
{
  const FakeKeystoneAnswer trouble = { .status = 503 };

  /* Where the machine slept too long, once more with a longer life. */
  for (gint64 life_us = 2 * G_USEC_PER_SEC; ; life_us *= 2)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *first = NULL;
      g_autofree char *second = NULL;
      g_autofree char *third = NULL;
      gint64 begun;

      fake_keystone_set_times (fixture->fake, life_us, 0);
      use_cloud (fixture, make_cloud (fixture, "/v3"));
      begun = g_get_monotonic_time ();
      first = get (fixture, NULL, &error);
      g_assert_no_error (error);
      g_usleep ((gulong) (life_us * 92 / 100));

      fake_keystone_add_answer (fixture->fake, &trouble, 4);
      second = get (fixture, NULL, &error);
      third = get (fixture, NULL, NULL);
      if (g_get_monotonic_time () - begun > life_us)
        {
          g_assert_cmpint (life_us, <, 60 * G_USEC_PER_SEC);
          continue;
        }
      g_assert_no_error (error);
      g_assert_cmpstr (second, ==, first);
      g_assert_cmpstr (third, ==, first);
      break;
    }
}

typedef struct
{
  Fixture      *fixture;
  const char   *refused;
  GCancellable *cancellable;
  char         *token;
  GError       *error;
} Asker;

static gpointer
ask (gpointer data)
{
  Asker *self = data;

  self->token = glance_token_get (GLANCE_TOKEN (self->fixture->keystone), self->refused,
                                  self->cancellable, &self->error);

  return NULL;
}

static void
ask_together (Fixture    *fixture,
              const char *refused,
              Asker      *askers,
              guint       posts)
{
  GThread *threads[THREADS];

  fake_keystone_hold (fixture->fake, TRUE);
  for (guint i = 0; i < THREADS; i++)
    {
      askers[i] = (Asker) { .fixture = fixture, .refused = refused };
      threads[i] = g_thread_new ("asker", ask, &askers[i]);
    }
  fake_keystone_wait_for (fixture->fake, "POST", posts);
  /* The others are on their way; who comes too late finds what the first one has got. */
  g_usleep (G_USEC_PER_SEC / 20);
  fake_keystone_hold (fixture->fake, FALSE);
  for (guint i = 0; i < THREADS; i++)
    g_thread_join (threads[i]);
  assert_posts (fixture, posts);
}

static void
test_one_asks (Fixture       *fixture,
               gconstpointer  data)
{
  const FakeKeystoneAnswer no = { .status = 401 };
  const char *refused[] = { NULL, "token-1" };
  Asker askers[THREADS];

  for (guint round = 0; round < 2; round++)
    {
      g_autofree char *expected = g_strdup_printf ("token-%u", round + 1);

      ask_together (fixture, refused[round], askers, round + 1);
      for (guint i = 0; i < THREADS; i++)
        {
          g_assert_no_error (askers[i].error);
          g_assert_cmpstr (askers[i].token, ==, expected);
          g_free (askers[i].token);
        }
    }

  /* A wrong password is tried once, whoever asks, or the account is locked. */
  fake_keystone_add_answer (fixture->fake, &no, 1);
  ask_together (fixture, "token-2", askers, 3);
  for (guint i = 0; i < THREADS; i++)
    {
      g_assert_error (askers[i].error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
      g_assert_nonnull (strstr (askers[i].error->message, "answered 401: so it is"));
      g_clear_error (&askers[i].error);
    }

  /* After a while it may have become the right one. */
  g_usleep (G_USEC_PER_SEC + G_USEC_PER_SEC / 10);
  assert_token (fixture, NULL, "token-3");
}

static void
test_cancelled (Fixture       *fixture,
                gconstpointer  data)
{
  Asker askers[3];
  GThread *threads[3];

  fake_keystone_hold (fixture->fake, TRUE);
  for (guint i = 0; i < 3; i++)
    {
      askers[i] = (Asker) { .fixture = fixture, .cancellable = g_cancellable_new () };
      threads[i] = g_thread_new ("asker", ask, &askers[i]);
      if (i == 0)
        fake_keystone_wait_for (fixture->fake, "POST", 1);
    }

  /* One that waits for another; and then the one that asks, whose place the third takes. */
  g_cancellable_cancel (askers[1].cancellable);
  g_thread_join (threads[1]);
  g_cancellable_cancel (askers[0].cancellable);
  g_thread_join (threads[0]);
  fake_keystone_wait_for (fixture->fake, "POST", 2);
  fake_keystone_hold (fixture->fake, FALSE);
  g_thread_join (threads[2]);

  for (guint i = 0; i < 2; i++)
    g_assert_error (askers[i].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_no_error (askers[2].error);
  g_assert_nonnull (askers[2].token);
  for (guint i = 0; i < 3; i++)
    {
      g_clear_error (&askers[i].error);
      g_free (askers[i].token);
      g_object_unref (askers[i].cancellable);
    }
}

#define TOKEN(times, rest) "{\"token\": {" times rest "}}"
#define TIMES "\"issued_at\": \"2020-01-01T00:00:00.000000Z\", " \
              "\"expires_at\": \"2020-01-01T01:00:00.000000Z\""
#define USER ", \"user\": {\"id\": \"u\"}, \"project\": {\"id\": \"p\"}"
#define FIFTY "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define FOUR_HUNDRED FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY

static const struct
{
  const char         *name;
  FakeKeystoneAnswer  answer;
  guint               times;
  GlanceError         code;
  const char         *complaint;
} bad_answers[] = {
  { "garbage", { 201, "\xff\xfe{", "token-1", 0 }, 1, GLANCE_ERROR_PROTOCOL, "not UTF-8" },
  { "html", { 201, "<html>hello", "token-1", 0 }, 1, GLANCE_ERROR_PROTOCOL, "not JSON" },
  { "nothing", { 201, "", "token-1", 0 }, 1, GLANCE_ERROR_PROTOCOL, "empty answer" },
  { "other", { 201, "{\"a\": [1]}", "token-1", 0 }, 1, GLANCE_ERROR_PROTOCOL, "no token in it" },
  { "list", { 201, "{\"token\": []}", "token-1", 0 }, 1, GLANCE_ERROR_PROTOCOL, "no token in it" },
  { "no-header", { 201, TOKEN (TIMES, USER), NULL, 0 }, 1, GLANCE_ERROR_PROTOCOL,
    "no token in its X-Subject-Token" },
  { "two-words", { 201, TOKEN (TIMES, USER), "token-1 x", 0 }, 1, GLANCE_ERROR_PROTOCOL,
    "no token in its X-Subject-Token" },
  { "no-times", { 201, TOKEN ("\"x\": 1", USER), "token-1", 0 }, 1, GLANCE_ERROR_PROTOCOL,
    "no times at all" },
  { "over-before", { 201, TOKEN ("\"issued_at\": \"2020-01-02T00:00:00Z\", "
                                 "\"expires_at\": \"2020-01-01T00:00:00Z\"", USER), "token-1", 0 },
    1, GLANCE_ERROR_PROTOCOL, "ends before it begins" },
  { "odd-times", { 201, TOKEN ("\"issued_at\": 7, \"expires_at\": \"tomorrow\"", USER), "token-1",
                   0 }, 1, GLANCE_ERROR_PROTOCOL, "no times at all" },
  { "no-user", { 201, TOKEN (TIMES, ", \"user\": \"u\""), "token-1", 0 }, 1, GLANCE_ERROR_PROTOCOL,
    "does not say whose" },
  { "no-project", { 201, TOKEN (TIMES, ", \"user\": {\"id\": \"u\"}"), "token-1", 0 }, 1,
    GLANCE_ERROR_UNAUTHORIZED, "for no project" },
  { "huge", { 201, "{}", "token-1", 17 * 1024 * 1024 }, 1, GLANCE_ERROR_PROTOCOL,
    "larger than 16 MiB" },
  { "success-of-another-kind", { 200, TOKEN (TIMES, USER), "token-1", 0 }, 1,
    GLANCE_ERROR_PROTOCOL, "answered 200" },
  { "elsewhere", { 302, "", NULL, 0 }, 1, GLANCE_ERROR_PROTOCOL,
    "the configured address is not that of the service itself" },
  { "not-there", { 404, "", NULL, 0 }, 1, GLANCE_ERROR_PROTOCOL, "answered 404" },
  { "repeats-request", { 400, "{\"error\": {\"message\": \"s3cr3t is too short\"}}", NULL, 0 }, 1,
    GLANCE_ERROR_PROTOCOL, "answered 400" },
  { "repeats-secret", { 401, "no, it is not s3cr3t\\\"{}", NULL, 0 }, 1, GLANCE_ERROR_UNAUTHORIZED,
    "answered 401" },
  /* Long texts are cut off, here behind most of the secret. */
  { "repeats-secret-late", { 401, FOUR_HUNDRED FIFTY "........................................no "
                             "s3cr3t\\\"{}", NULL, 0 }, 1,
    GLANCE_ERROR_UNAUTHORIZED, "answered 401" },
  { "forbidden", { 403, NULL, NULL, 0 }, 1, GLANCE_ERROR_FORBIDDEN, "answered 403: so it is" },
  { "broken", { 500, NULL, NULL, 0 }, 4, GLANCE_ERROR_SERVER, "answered 500: so it is" },
  { "away", { 503, NULL, NULL, 0 }, 4, GLANCE_ERROR_UNAVAILABLE, "answered 503: so it is" },
  { "silent", { 0, NULL, NULL, 0 }, 2, GLANCE_ERROR_TIMEOUT, "Keystone: POST http://" },
};

static void
test_bad_answers (Fixture       *fixture,
                  gconstpointer  data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (bad_answers); i++)
    {
      g_autoptr (GError) error = NULL;
      guint before = fake_keystone_count (fixture->fake, "POST");

      g_test_message ("%s", bad_answers[i].name);
      use_cloud (fixture, make_cloud (fixture, "/v3"));
      fake_keystone_add_answer (fixture->fake, &bad_answers[i].answer, bad_answers[i].times);
      g_assert_null (get (fixture, NULL, &error));
      g_assert_error (error, GLANCE_ERROR, (int) bad_answers[i].code);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, bad_answers[i].complaint));
      g_assert_null (strstr (error->message, "s3cr3t"));
      g_assert_null (strstr (error->message, "token-1"));
      assert_posts (fixture, before + bad_answers[i].times);
    }
}

/* A little trouble is not told to anybody. */
static void
test_trouble_that_passes (Fixture       *fixture,
                          gconstpointer  data)
{
  const FakeKeystoneAnswer trouble = { .status = 502 };
  const FakeKeystoneAnswer slow_down = { .status = 429 };

  fake_keystone_add_answer (fixture->fake, &trouble, 2);
  fake_keystone_add_answer (fixture->fake, &slow_down, 1);
  assert_token (fixture, NULL, "token-1");
  assert_posts (fixture, 4);
}

static void
test_nobody_there (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  GlanceCloud *cloud = make_cloud (fixture, "/v3");

  g_free (cloud->auth_url);
  cloud->auth_url = g_strdup ("http://127.0.0.1:1/v3");
  use_cloud (fixture, cloud);
  g_assert_null (get (fixture, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, "Keystone: POST http://127.0.0.1:1/v3/auth/tokens"));
}

static const struct
{
  const char *path;             /* of auth_url */
  const char *versions;         /* (nullable) */
  const char *expected;         /* the path that is asked, or the complaint */
} addresses[] = {
  { "/v3", NULL, "/v3/auth/tokens" },
  { "/identity/v3", NULL, "/identity/v3/auth/tokens" },
  { "", "{\"versions\": {\"values\": [{\"id\": \"v2.0\", "
        "\"links\": [{\"href\": \"http://x/v2.0\"}]}, {\"id\": \"v3.14\", "
        "\"links\": [{\"rel\": \"self\", \"href\": \"https://elsewhere/v3/\"}]}]}}",
    "/v3/auth/tokens" },
  { "/identity", "{\"versions\": [{\"id\": \"v3.14\", \"links\": [{\"href\": "
                 "\"http://elsewhere/deeper/v3\"}]}]}", "/deeper/v3/auth/tokens" },
  { "/identity", "{\"versions\": [{\"id\": \"v3.14\", \"links\": [{\"href\": \"nonsense\"}]}]}",
    "/identity/v3/auth/tokens" },
  { "", "{\"versions\": {\"values\": [{\"id\": \"v2.0\", \"links\": [{\"href\": \"http://x\"}]}]}}",
    "is no Keystone that speaks version 3 of its API, but v2.0; auth_url looks like" },
  { "", "{\"versions\": {\"values\": [7, {\"id\": 3}, {\"id\": \"v3\", \"links\": [7]}]}}",
    "is no Keystone that speaks version 3" },
  { "", "{\"versions\": [{\"id\": \"v9\\nand a line\", \"links\": [{\"href\": \"http://x\"}]}]}",
    "version 3 of its API, but (not shown); auth_url" },
  { "", "<html>", "is no Keystone that speaks version 3" },
  { "", NULL, "cannot find version 3 of the identity API: Keystone at http://" },
};

static void
test_addresses (Fixture       *fixture,
                gconstpointer  data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (addresses); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *token = NULL;
      g_autofree char *again = NULL;
      g_autofree char *path = NULL;
      guint before = fake_keystone_count (fixture->fake, "GET");

      fake_keystone_set_versions (fixture->fake, addresses[i].versions);
      use_cloud (fixture, make_cloud (fixture, addresses[i].path));
      token = get (fixture, NULL, &error);
      if (addresses[i].expected[0] != '/')
        {
          g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_PROTOCOL);
          g_assert_nonnull (strstr (error->message, addresses[i].expected));
          continue;
        }

      g_assert_no_error (error);
      path = fake_keystone_get_path (fixture->fake);
      g_assert_cmpstr (path, ==, addresses[i].expected);
      again = get (fixture, token, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (fake_keystone_count (fixture->fake, "GET"), <=, before + 1);
    }
}

#define ENDPOINT(interface, region, url) "{\"interface\": \"" interface "\", \"region_id\": \"" \
                                         region "\", \"url\": \"" url "\"}"
#define CATALOGUE(endpoints) "[{\"type\": \"identity\"}, 7, {\"type\": \"image\", " \
                             "\"endpoints\": [" endpoints "]}, {\"type\": \"compute\"}]"

static const struct
{
  const char *catalogue;        /* (nullable) */
  const char *region;           /* (nullable) */
  const char *expected;         /* the address, or the complaint */
} catalogues[] = {
  { CATALOGUE (ENDPOINT ("internal", "One", "http://i") "," ENDPOINT ("public", "One", "http://p")),
    NULL, "http://p" },
  { CATALOGUE (ENDPOINT ("public", "One", "http://1") "," ENDPOINT ("public", "Two", "http://2")),
    "Two", "http://2" },
  { CATALOGUE (ENDPOINT ("publicURL", "One", "http://1") ", 7, {\"url\": 3}"), "One", "http://1" },
  { CATALOGUE (ENDPOINT ("public", "One", "http://1") "," ENDPOINT ("public", "Two", "http://2")),
    NULL, "in more than one region: name yours in region_name; the catalogue has: public in One, "
    "public in Two" },
  { CATALOGUE (ENDPOINT ("internal", "One", "http://1")), "One",
    "no public address of the image service in region One; it has: internal in One" },
  { CATALOGUE (ENDPOINT ("public", "O\\u0007ne", "http://1")), "Two", "it has: public in O?ne" },
  { "[{\"type\": \"identity\"}, {\"type\": \"compute\"}]", NULL,
    "catalogue has no image service; it has: identity, compute" },
  { "[]", NULL, "catalogue has no image service; it has: nothing" },
  { "{\"type\": \"image\"}", NULL, "it has: nothing" },
  { NULL, NULL, "it has: nothing" },
};

static void
test_catalogue (Fixture       *fixture,
                gconstpointer  data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (catalogues); i++)
    {
      GlanceCloud *cloud = make_cloud (fixture, "/v3");
      g_autoptr (GError) error = NULL;
      g_autofree char *url = NULL;

      cloud->region = g_strdup (catalogues[i].region);
      use_cloud (fixture, cloud);
      fake_keystone_set_catalogue (fixture->fake, catalogues[i].catalogue);
      url = glance_token_get_endpoint (GLANCE_TOKEN (fixture->keystone), NULL, &error);
      if (url != NULL)
        {
          g_assert_cmpstr (url, ==, catalogues[i].expected);
          continue;
        }
      g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_NO_ENDPOINT);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, catalogues[i].expected));
    }
}

static void
assert_nobody (Fixture    *fixture,
               const char *token)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (glance_keystone_identify (fixture->keystone, token, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
  g_assert_null (strstr (error->message, token));
}

static void
assert_somebody (Fixture    *fixture,
                 const char *token)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceUser) user = glance_keystone_identify (fixture->keystone, token, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (user->user_id, ==, "the-user");
  g_assert_cmpstr (user->roles[0], ==, "member");
  g_assert_true (user->is_ours);
}

static void
test_identify (Fixture       *fixture,
               gconstpointer  data)
{
  const FakeKeystoneAnswer trouble = { .status = 500, .body = "oh token-5" };
  const FakeKeystoneAnswer forbidden = { .status = 403 };
  g_autoptr (GError) error = NULL;
  g_autofree char *long_token = g_strnfill (10000, 'x');

  assert_somebody (fixture, "token-1");
  assert_somebody (fixture, "token-1");
  g_assert_cmpuint (fake_keystone_count (fixture->fake, "GET"), ==, 1);
  assert_posts (fixture, 1);

  fake_keystone_revoke (fixture->fake, "token-2");
  assert_nobody (fixture, "token-2");
  assert_nobody (fixture, "token-2");
  g_assert_cmpuint (fake_keystone_count (fixture->fake, "GET"), ==, 2);
  fake_keystone_add_answer (fixture->fake, &forbidden, 1);
  assert_nobody (fixture, "token-3");

  /* These do not get into a header. */
  assert_nobody (fixture, "token 4");
  assert_nobody (fixture, "token-4\r\nHost: x");
  assert_nobody (fixture, long_token);
  g_assert_cmpuint (fake_keystone_count (fixture->fake, "GET"), ==, 3);

  /* Trouble says nothing about the token, and is not remembered. */
  fake_keystone_add_answer (fixture->fake, &trouble, 4);
  g_assert_null (glance_keystone_identify (fixture->keystone, "token-5", NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_SERVER);
  g_assert_null (strstr (error->message, "token-5"));
  assert_somebody (fixture, "token-5");
}

/* That Keystone does not take what we show for ourselves is no answer to somebody else. */
static void
test_identify_refused (Fixture       *fixture,
                       gconstpointer  data)
{
  const FakeKeystoneAnswer well = { .status = 200 };
  const FakeKeystoneAnswer no = { .status = 401 };
  g_autoptr (GError) error = NULL;

  fake_keystone_add_answer (fixture->fake, &well, 1);
  fake_keystone_add_answer (fixture->fake, &no, 1);
  g_assert_null (glance_keystone_identify (fixture->keystone, "token-1", NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_SERVER);
  assert_posts (fixture, 1);
}

/* What is remembered is known without asking. */
static void
test_recall (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GlanceUser) user = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_false (glance_keystone_recall (fixture->keystone, "token-1", &user, &error));
  g_assert_no_error (error);
  g_assert_null (user);

  assert_somebody (fixture, "token-1");
  g_assert_true (glance_keystone_recall (fixture->keystone, "token-1", &user, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (user->user_id, ==, "the-user");
  g_clear_pointer (&user, glance_user_free);

  fake_keystone_revoke (fixture->fake, "token-2");
  assert_nobody (fixture, "token-2");
  g_assert_true (glance_keystone_recall (fixture->keystone, "token-2", &user, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
  g_assert_null (user);
}

/* No longer than the token lives, by Keystone's clock; and not without end. */
static void
test_identified_shortly (Fixture       *fixture,
                         gconstpointer  data)
{
  const gint64 ahead[] = { 0, -4000 * DAY_US, 4000 * DAY_US };
  guint count = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (ahead); i++)
    {
      g_autofree char *token = g_strdup_printf ("token-%zu", i);

      /* As long as the header of the time, which knows seconds only, may be wrong. */
      fake_keystone_set_times (fixture->fake, G_USEC_PER_SEC, ahead[i]);
      assert_somebody (fixture, token);
      g_usleep (2 * G_USEC_PER_SEC);
      fake_keystone_revoke (fixture->fake, token);
      assert_nobody (fixture, token);
    }

  fake_keystone_set_times (fixture->fake, 3600 * (gint64) G_USEC_PER_SEC, 0);
  assert_somebody (fixture, "the-first");
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *token = g_strdup_printf ("other-%u", i);

      assert_somebody (fixture, token);
    }
  count = fake_keystone_count (fixture->fake, "GET");
  assert_somebody (fixture, "the-first");
  g_assert_cmpuint (fake_keystone_count (fixture->fake, "GET"), ==, count + 1);
}

/* The image service where the catalogue says, with a token that ends in between. */
static void
test_images (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (FakeGlance) glance = fake_glance_new ();
  const GlanceSettings settings = { .stall_s = 2, .backoff_ms = 1 };
  g_autofree char *catalogue = g_strdup_printf ("[{\"type\": \"image\", \"endpoints\": [" ENDPOINT (
    "public", "One", "%s/v2") "]}]", fake_glance_get_url (glance));
  g_autoptr (GlanceImages) images = NULL;
  g_autoptr (GPtrArray) list = NULL;
  g_autoptr (GError) error = NULL;

  images = glance_images_new (&settings, GLANCE_TOKEN (fixture->keystone), &error);
  g_assert_no_error (error);
  assert_posts (fixture, 0);

  fake_keystone_set_catalogue (fixture->fake, catalogue);
  fake_glance_set_token (glance, "token-1");
  list = glance_images_list (images, NULL, &error);
  g_assert_no_error (error);
  g_clear_pointer (&list, g_ptr_array_unref);
  assert_posts (fixture, 1);

  fake_glance_set_token (glance, "token-2");
  list = glance_images_list (images, NULL, &error);
  g_assert_no_error (error);
  assert_posts (fixture, 2);

  fake_glance_set_token (glance, "another's");
  g_assert_null (glance_images_list (images, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED);
  assert_posts (fixture, 3);
}

static void
test_no_address (Fixture       *fixture,
                 gconstpointer  data)
{
  const GlanceSettings settings = { .stall_s = 1 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceToken) file = glance_token_file_new ("/dev/null");

  g_assert_null (glance_images_new (&settings, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (glance_token_get_endpoint (file, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_NO_ENDPOINT);
}

/* Whatever is logged, at any level: no secret is in it. */
static GLogWriterOutput
check_log (GLogLevelFlags   level,
           const GLogField *fields,
           gsize            n_fields,
           gpointer         user_data)
{
  for (gsize i = 0; i < n_fields; i++)
    {
      if (g_str_equal (fields[i].key, "MESSAGE"))
        {
          g_assert_null (strstr (fields[i].value, "s3cr3t"));
          g_assert_null (strstr (fields[i].value, "hush"));
          g_assert_null (strstr (fields[i].value, "token-"));
        }
    }

  return g_log_writer_default (level, fields, n_fields, user_data);
}

static void
add (const char *name,
     void      (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/keystone/", name, NULL);

  g_test_add (path, Fixture, NULL, setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_log_set_writer_func (check_log, NULL, NULL);
  g_test_init (&argc, &argv, NULL);

  add ("kept", test_kept);
  add ("application-credential", test_application_credential);
  add ("skewed-clock", test_skewed_clock);
  add ("renewed-before-the-end", test_renewed_before_the_end);
  add ("one-asks", test_one_asks);
  add ("cancelled", test_cancelled);
  add ("bad-answers", test_bad_answers);
  add ("trouble-that-passes", test_trouble_that_passes);
  add ("nobody-there", test_nobody_there);
  add ("addresses", test_addresses);
  add ("catalogue", test_catalogue);
  add ("identify", test_identify);
  add ("identify-refused", test_identify_refused);
  add ("recall", test_recall);
  add ("identified-shortly", test_identified_shortly);
  add ("images", test_images);
  add ("no-address", test_no_address);

  return g_test_run ();
}
