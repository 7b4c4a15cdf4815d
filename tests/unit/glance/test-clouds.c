/* SPDX-License-Identifier: Apache-2.0 */

/* clouds.yaml as people write it, and as they should not. */

#include <glance/clouds.h>
#include <glance/error.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define SECRET "pa55: {w0rd}"

typedef struct
{
  char *folder;
  char *clouds;                 /* clouds.yaml in there */
  char *secure;                 /* secure.yaml beside it */
} Fixture;

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  fixture->folder = g_dir_make_tmp ("clouds-XXXXXX", NULL);
  fixture->clouds = g_build_filename (fixture->folder, "clouds.yaml", NULL);
  fixture->secure = g_build_filename (fixture->folder, "secure.yaml", NULL);
}

static void
teardown (Fixture       *fixture,
          gconstpointer  data)
{
  g_unlink (fixture->clouds);
  g_unlink (fixture->secure);
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->folder);
  g_free (fixture->clouds);
  g_free (fixture->secure);
}

static void
write_file (const char *path,
            const char *text,
            gssize      length,
            int         mode)
{
  g_assert_true (g_file_set_contents (path, text, length, NULL));
  g_assert_cmpint (g_chmod (path, mode), ==, 0);
}

static GlanceCloud *
load (Fixture     *fixture,
      const char  *text,
      GError     **error)
{
  write_file (fixture->clouds, text, -1, 0600);

  return glance_cloud_load (fixture->clouds, "c", error);
}

static void
test_password (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceCloud) cloud = load (fixture,
    "# as Horizon writes them\n"
    "clouds:\n"
    "  other: {}\n"
    "  c:\n"
    "    auth:\n"
    "      auth_url: https://controller:5000/v3/\n"
    "      username: \"demo\"\n"
    "      password: '" SECRET "'\n"
    "      project_id: 0123\n"
    "      project_name: \"demo\"\n"
    "      user_domain_name: \"Default\"\n"
    "    region_name: \"RegionOne\"\n"
    "    interface: \"internalURL\"\n"
    "    identity_api_version: 3\n"
    "    image_api_version: '2.9'\n"
    "    compute_api_version: 2.1\n"
    "    verify: true\n"
    "    cacert: /etc/ca.pem\n"
    "    networks: [{name: public}]\n", &error);

  g_assert_no_error (error);
  g_assert_cmpstr (cloud->name, ==, "c");
  g_assert_cmpint (cloud->kind, ==, GLANCE_CLOUD_PASSWORD);
  g_assert_cmpstr (cloud->auth_url, ==, "https://controller:5000/v3");
  g_assert_cmpstr (cloud->username, ==, "demo");
  g_assert_cmpstr (cloud->password, ==, SECRET);
  g_assert_cmpstr (cloud->project_id, ==, "0123");
  g_assert_cmpstr (cloud->user_domain_name, ==, "Default");
  g_assert_null (cloud->user_domain_id);
  g_assert_cmpstr (cloud->region, ==, "RegionOne");
  g_assert_cmpstr (cloud->interface, ==, "internal");
  g_assert_cmpstr (cloud->ca_file, ==, "/etc/ca.pem");
  g_assert_null (cloud->image_url);
  g_assert_cmpuint (g_strv_length (cloud->warnings), ==, 0);
}

static void
test_application_credential (Fixture       *fixture,
                             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceCloud) cloud = load (fixture,
    "clouds: {c: {auth_type: v3applicationcredential, image_endpoint_override: 'http://g:9292/',"
    " auth: {auth-url: 'http://k/identity', application_credential_id: abc,"
    " application_credential_secret: \"" SECRET "\", project_id: ~}}}", &error);

  g_assert_no_error (error);
  g_assert_cmpint (cloud->kind, ==, GLANCE_CLOUD_APPLICATION_CREDENTIAL);
  g_assert_cmpstr (cloud->auth_url, ==, "http://k/identity");
  g_assert_cmpstr (cloud->application_credential_id, ==, "abc");
  g_assert_cmpstr (cloud->application_credential_secret, ==, SECRET);
  g_assert_cmpstr (cloud->interface, ==, "public");
  g_assert_cmpstr (cloud->image_url, ==, "http://g:9292");
  g_assert_null (cloud->region);
  g_assert_null (cloud->project_id);
}

/* What several clouds share: an anchor, "<<", and keys beside "auth". */
static void
test_anchors (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceCloud) cloud = load (fixture,
    "x: &place {region_name: Here, interface: admin}\n"
    "y: &auth\n"
    "  auth_url: http://k:5000/v3\n"
    "  username: from-the-anchor\n"
    "  default_domain_id: default\n"
    "clouds:\n"
    "  c:\n"
    "    <<: [*place, {region_name: There}]\n"
    "    interface: public\n"
    "    tenant_name: beside\n"
    "    auth:\n"
    "      password: &secret x\n"
    "      <<: *auth\n"
    "      username: *secret\n", &error);

  g_assert_no_error (error);
  g_assert_cmpstr (cloud->region, ==, "Here");
  g_assert_cmpstr (cloud->interface, ==, "public");
  g_assert_cmpstr (cloud->auth_url, ==, "http://k:5000/v3");
  g_assert_cmpstr (cloud->username, ==, "x");
  g_assert_cmpstr (cloud->user_domain_id, ==, "default");
  g_assert_cmpstr (cloud->project_name, ==, "beside");
  g_assert_cmpstr (cloud->project_domain_id, ==, "default");
}

#define WITHOUT_PASSWORD "clouds:\n  c:\n" \
                         "    auth: {auth_url: 'http://k/v3', user_id: u, project_id: p}\n"

/* secure.yaml goes over clouds.yaml, which everybody may read then. */
static void
test_secure_file (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceCloud) cloud = NULL;

  write_file (fixture->clouds, WITHOUT_PASSWORD, -1, 0644);
  g_assert_null (glance_cloud_load (fixture->clouds, "c", &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "clouds.yaml:3: cloud 'c': there is no 'password'"));
  g_clear_error (&error);

  write_file (fixture->secure, "clouds: {c: {auth: {password: s, project_id: q}, region_name: R}}",
              -1, 0640);
  cloud = glance_cloud_load (fixture->clouds, "c", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (cloud->password, ==, "s");
  g_assert_cmpstr (cloud->project_id, ==, "q");
  g_assert_cmpstr (cloud->region, ==, "R");
  g_assert_cmpuint (g_strv_length (cloud->warnings), ==, 0);
  g_clear_pointer (&cloud, glance_cloud_free);

  write_file (fixture->secure, "clouds: {c: {auth: {password: s}, profile: ovh}}", -1, 0644);
  g_assert_null (glance_cloud_load (fixture->clouds, "c", &error));
  g_assert_nonnull (strstr (error->message, "secure.yaml:1: 'profile' is not supported: "));
  g_clear_error (&error);

  write_file (fixture->secure, "clouds: {c: {auth: {password: hunter2}}}", -1, 0644);
  cloud = glance_cloud_load (fixture->clouds, "c", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (cloud->warnings), ==, 1);
  g_assert_nonnull (strstr (cloud->warnings[0], "secure.yaml can be read by everybody"));
  g_assert_null (strstr (cloud->warnings[0], "hunter2"));
}

/* The environment, then the user's folder, which is this program's own. */
static void
test_places (Fixture       *fixture,
             gconstpointer  data)
{
  g_autofree char *named = g_build_filename (fixture->folder, "named.yml", NULL);
  g_autofree char *folder = g_build_filename (g_get_user_config_dir (), "openstack", NULL);
  g_autofree char *usual = g_build_filename (folder, "clouds.yml", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceCloud) cloud = NULL;

  g_unsetenv ("OS_CLIENT_CONFIG_FILE");
  if (!g_file_test ("/etc/openstack", G_FILE_TEST_EXISTS))
    {
      g_assert_null (glance_cloud_load (NULL, "c", &error));
      g_assert_nonnull (strstr (error->message, "there is no clouds.yaml; looked for: "));
      g_assert_nonnull (strstr (error->message, "/etc/openstack/clouds.yaml"));
      g_clear_error (&error);
    }

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  write_file (usual, "clouds: {c: {auth: {auth_url: 'http://usual', user_id: u, project_id: p, "
              "password: s}}}", -1, 0600);
  cloud = glance_cloud_load (NULL, "c", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (cloud->auth_url, ==, "http://usual");
  g_clear_pointer (&cloud, glance_cloud_free);

  write_file (named, "clouds: {c: {auth: {auth_url: 'http://named', user_id: u, project_id: p, "
              "password: s}}}", -1, 0600);
  g_setenv ("OS_CLIENT_CONFIG_FILE", named, TRUE);
  cloud = glance_cloud_load (NULL, "c", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (cloud->auth_url, ==, "http://named");

  g_unsetenv ("OS_CLIENT_CONFIG_FILE");
  g_unlink (named);
  g_unlink (usual);
  g_rmdir (folder);
}

#define AUTH(more) "clouds:\n  c:\n    auth: {auth_url: 'http://k/v3', user_id: u, " \
                   "project_id: p, password: s3cr3t}\n" more

/* Each wrong file, and the complaint about it behind the file's name. "s3cr3t" never shows. */
static const struct
{
  const char *name;
  const char *text;
  const char *complaint;
} wrong_files[] = {
  { "empty", "", ":1: there is nothing in this file" },
  { "list", "- s3cr3t\n", ":1: this is not a map with 'clouds' in it" },
  { "not-yaml", "clouds:\n  c: {password: s3cr3t\n", ": this is not YAML: " },
  { "tab", "clouds:\n\tc: s3cr3t\n", ":2: this is not YAML: " },
  { "no-such-cloud", "clouds: {a: {}, 's3cr3t !': {}}\n",
    ": there is no cloud 'c'; there is: a, (not shown)" },
  { "no-clouds", "public-clouds: {}\n", ": there is no cloud 'c'; there is: none" },
  { "cloud-is-text", "clouds:\n  c: s3cr3t\n", ":2: 'c' must be a map" },
  { "auth-is-text", "clouds:\n  c:\n    auth: s3cr3t\n", ":3: 'auth' must be a map" },
  { "twice", "clouds:\n  c:\n    auth:\n      password: s3cr3t\n      password: s3cr3t\n",
    ":5: a name that this map has already" },
  { "list-for-text", AUTH ("    region_name: [s3cr3t]\n"),
    ":4: 'region_name' must be one text, not a list or a map" },
  { "second-document", AUTH ("---\nclouds: {}\n"), ":5: a second document; one is wanted" },
  { "tag", "clouds: {c: !!python/object:os.system s3cr3t}\n",
    ":1: a tag (!...) that is not supported" },
  { "nul", "clouds: {c: {auth: {password: \"s3cr3t\\0\"}}}\n", ":1: a text with a NUL in it" },
  { "unknown-alias", "clouds: {c: *s3cr3t}\n", ":1: an alias (*...) of nothing before it" },
  { "own-alias", "clouds: &a {c: *a}\n", ":1: an alias (*...) of nothing before it, or of itself" },
  { "name-is-map", "{a: b}: s3cr3t\n", ":1: the name of a value must be a word" },
  { "merged-text", "clouds:\n  c:\n    <<: s3cr3t\n", ":3: \"<<\" takes a map" },
  { "auth-key", AUTH ("") "      , passcode: s3cr3t", ": this is not YAML: " },
  { "auth-key-unknown", "clouds:\n  c:\n    auth:\n      passcode: s3cr3t\n",
    ":4: 'passcode' in auth is not supported" },
  { "auth-key-is-secret", "clouds: {c: {auth: {password=s3cr3t: x}}}\n",
    ":1: '(not shown)' in auth is not supported" },
  { "token", AUTH ("    auth_type: v3token\n"), ":4: auth_type 'v3token' is not supported" },
  { "auth-type-is-secret", AUTH ("    auth_type: s3cr3t!\n"),
    ":4: auth_type '(not shown)' is not supported" },
  { "profile", AUTH ("    profile: ovh\n"), ":4: 'profile' is not supported: write its auth_url" },
  { "regions", AUTH ("    regions: [a, b]\n"), ":4: 'regions' is not supported: name one" },
  { "client-certificate", AUTH ("    cert: /x\n"), ":4: 'cert' is not supported: " },
  { "domain-scope", "clouds: {c: {auth: {domain_name: x}}}",
    ":1: 'domain_name' is not supported: images belong to a project" },
  { "verify", AUTH ("    verify: no\n"), ":4: certificates are always verified" },
  { "insecure", AUTH ("    verify: true\n    insecure: true\n"),
    ":5: certificates are always verified" },
  { "identity-version", AUTH ("    identity_api_version: 2.0\n"),
    ":4: 'identity_api_version' must be 3" },
  { "image-version", AUTH ("    image_api_version: 1\n"), ":4: 'image_api_version' must be 2" },
  { "relative-cacert", AUTH ("    cacert: ~/s3cr3t.pem\n"),
    ":4: 'cacert' must be an absolute path" },
  { "service-name", AUTH ("    image_service_name: other\n"),
    ":4: 'image_service_name' is not supported: name the service's address" },
  { "interface", AUTH ("    interface: s3cr3t\n"), ": the interface of cloud 'c' is none of" },
  { "no-url", "clouds: {c: {auth: {password: s3cr3t}}}", ":1: cloud 'c': there is no 'auth_url'" },
  { "url", "clouds:\n c:\n  auth:\n   auth_url: controller:5000\n",
    ":4: 'auth_url' is not an http:// or https:// address" },
  { "url-with-user", "clouds:\n c:\n  auth:\n   auth_url: http://u:s3cr3t@k/v3\n",
    ":4: 'auth_url' is not an http:// or https:// address, without a user in it" },
  { "url-of-2", "clouds: {c: {auth: {auth_url: 'http://k/v2.0/'}}}",
    ":1: cloud 'c': 'auth_url' is that of version 2.0" },
  { "no-domain", "clouds: {c: {auth: {auth_url: 'http://k', username: u, password: s3cr3t}}}",
    ":1: cloud 'c': a password needs 'user_id', or 'username' and 'user_domain_name'" },
  { "no-project", "clouds: {c: {auth: {auth_url: 'http://k', user_id: u, password: s3cr3t}}}",
    ":1: cloud 'c': a password needs 'project_id'" },
  { "null-password",
    "clouds: {c: {auth: {auth_url: 'http://k', user_id: u, project_id: p, password: null}}}",
    ":1: cloud 'c': there is no 'password'" },
  { "no-credential", "clouds: {c: {auth_type: v3applicationcredential, auth: "
    "{auth_url: 'http://k', application_credential_secret: s3cr3t, "
    "application_credential_name: n}}}",
    ":1: cloud 'c': an application credential needs 'application_credential_id'" },
  { "no-credential-secret", "clouds: {c: {auth_type: v3applicationcredential, auth: "
    "{auth_url: 'http://k', application_credential_id: i}}}",
    ":1: cloud 'c': there is no 'application_credential_secret'" },
  { "credential-and-project", "clouds: {c: {auth_type: v3applicationcredential, auth: "
    "{auth_url: 'http://k', application_credential_id: i, application_credential_secret: s3cr3t, "
    "project_id: p}}}", ":1: cloud 'c': an application credential has a project of its own" },
};

static void
test_wrong (Fixture       *fixture,
            gconstpointer  data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (wrong_files); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *complaint = g_strconcat (fixture->clouds, wrong_files[i].complaint, NULL);
      /* Where the line is libyaml's to tell. */
      gboolean any_line = g_str_has_prefix (wrong_files[i].complaint, ": this");

      g_test_message ("%s", wrong_files[i].name);
      g_assert_null (load (fixture, wrong_files[i].text, &error));
      g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
      g_test_message ("%s", error->message);
      if (any_line)
        g_assert_nonnull (strstr (error->message, wrong_files[i].complaint));
      else
        g_assert_true (g_str_has_prefix (error->message, complaint));
      g_assert_null (strstr (error->message, "s3cr3t"));
    }
}

static void
assert_refused (Fixture    *fixture,
                GString    *text,
                const char *why)
{
  g_autoptr (GError) error = NULL;

  write_file (fixture->clouds, text->str, (gssize) text->len, 0600);
  g_assert_null (glance_cloud_load (fixture->clouds, "c", &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, why));
}

/* What would take long, or overflow something, is refused before. */
static void
test_hostile (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GString) text = g_string_new ("clouds: ");

  for (guint i = 0; i < 1000; i++)
    g_string_append (text, "[");
  assert_refused (fixture, text, "nested too deeply");

  /* Ten times ten times ten ... */
  g_string_assign (text, "a0: &a0 {k: v}\n");
  for (guint i = 1; i < 10; i++)
    {
      g_string_append_printf (text, "a%u: &a%u {", i, i);
      for (guint k = 0; k < 10; k++)
        g_string_append_printf (text, "%sk%u: *a%u", k > 0 ? ", " : "", k, i - 1);
      g_string_append (text, "}\n");
    }
  g_string_append (text, "clouds: {c: *a9}\n");
  assert_refused (fixture, text, "there is no 'auth_url'");

  /* The same map merged again and again. */
  g_string_assign (text, "a: &a {");
  for (guint i = 0; i < 200; i++)
    g_string_append_printf (text, "k%u: v, ", i);
  g_string_append (text, "}\nb: [");
  for (guint i = 0; i < 200; i++)
    g_string_append (text, "{<<: *a}, ");
  g_string_append (text, "]\n");
  assert_refused (fixture, text, "aliases repeat too much");

  g_string_set_size (text, 0);
  for (guint i = 0; i < 300 * 1024; i++)
    g_string_append_c (text, '#');
  assert_refused (fixture, text, "larger than 256 KiB");

  for (guint i = 0; i < 256; i++)
    {
      const char bytes[] = { 'a', ':', ' ', (char) i, '\n' };

      write_file (fixture->clouds, bytes, sizeof (bytes), 0600);
      g_assert_null (glance_cloud_load (fixture->clouds, "c", NULL));
    }
}

static void
test_no_file (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (glance_cloud_load (fixture->clouds, "c", &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, fixture->clouds));
  g_clear_error (&error);

  g_assert_null (glance_cloud_load (fixture->folder, "c", &error));
  g_assert_nonnull (strstr (error->message, "is not a file"));
  g_clear_error (&error);

  write_file (fixture->clouds, WITHOUT_PASSWORD, -1, 0600);
  g_assert_cmpint (symlink (fixture->secure, fixture->secure), ==, 0);
  g_assert_null (glance_cloud_load (fixture->clouds, "c", &error));
  g_assert_nonnull (strstr (error->message, "cannot read "));
}

static void
add (const char *name,
     void      (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/clouds/", name, NULL);

  g_test_add (path, Fixture, NULL, setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_autofree char *config = g_dir_make_tmp ("config-XXXXXX", NULL);
  int status;

  g_setenv ("XDG_CONFIG_HOME", config, TRUE);
  g_unsetenv ("OS_CLIENT_SECURE_FILE");
  g_test_init (&argc, &argv, NULL);

  add ("password", test_password);
  add ("application-credential", test_application_credential);
  add ("anchors", test_anchors);
  add ("secure-file", test_secure_file);
  add ("places", test_places);
  add ("wrong", test_wrong);
  add ("hostile", test_hostile);
  add ("no-file", test_no_file);

  status = g_test_run ();
  g_rmdir (config);

  return status;
}
