/* SPDX-License-Identifier: Apache-2.0 */

/* Nova's conventions: paths, microversions, faults, ids and times. */

#include "nova.h"

static void
test_paths (void)
{
  static const struct { const char *path; gboolean is_nova; } paths[] = {
    { "/",              TRUE  },
    { "/v2.1",          TRUE  },
    { "/v2.1/",         TRUE  },
    { "/v2.1/anything", TRUE  },
    { "/v2.10",         FALSE },
    { "/v2.1x/servers", FALSE },
    { "/v2",            FALSE },
    { "/v1/guests",     FALSE },
    { "",               FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_test_message ("%s", paths[i].path);
      g_assert_cmpint (nova_owns (paths[i].path), ==, paths[i].is_nova);
    }
}

static void
test_project (void)
{
  static const struct { const char *path; const char *normal; } paths[] = {
    { "/v2.1/p1/servers",              "/v2.1/servers"              },
    { "/v2.1/0f3c/servers/detail",     "/v2.1/servers/detail"       },
    { "/v2.1/p1/servers/x/action",     "/v2.1/servers/x/action"     },
    { "/v2.1/servers",                 "/v2.1/servers"              },
    { "/v2.1/servers/servers",         "/v2.1/servers/servers"      },
    { "/v2.1/servers/x/servers",       "/v2.1/servers/x/servers"    },
    { "/v2.1//servers",                "/v2.1//servers"             },
    { "/v2.1/p1",                      "/v2.1/p1"                   },
    { "/v2.1/p1/q/servers",            "/v2.1/p1/q/servers"         },
    { "/v1/p1/servers",                "/v1/p1/servers"             },
    { "/",                             "/"                          },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autofree char *normal = nova_path_normalize (paths[i].path);

      g_assert_cmpstr (normal, ==, paths[i].normal);
    }
}

static void
test_versions (void)
{
  static const struct { const char *header, *legacy; guint status, minor; } versions[] = {
    { NULL,                        NULL,     200, 1  },
    { NULL,                        "2.1",    200, 1  },
    { NULL,                        "2.90",   200, 90 },
    { NULL,                        " 2.7 ",  200, 7  },
    { NULL,                        "latest", 200, 90 },
    { "compute 2.45",              NULL,     200, 45 },
    { "COMPUTE   2.45",            NULL,     200, 45 },
    { "compute latest",            "2.1",    200, 90 },
    { "compute 2.3, image 2.9",    NULL,     200, 3  },
    { "compute 2.3, compute 2.4",  NULL,     200, 4  },
    { "image 2.9",                 "2.5",    200, 5  },
    { "computer 2.9",              NULL,     200, 1  },
    { "",                          NULL,     200, 1  },
    { NULL,                        "2.0",    406, 1  },
    { NULL,                        "2.91",   406, 1  },
    { NULL,                        "1.5",    406, 1  },
    { NULL,                        "3.1",    406, 1  },
    { NULL,                        "2.18446744073709551617", 406, 1 },
    { "compute 2.91",              "2.1",    406, 1  },
    { NULL,                        "",       400, 1  },
    { NULL,                        "2",      400, 1  },
    { NULL,                        "2.",     400, 1  },
    { NULL,                        "2.1.1",  400, 1  },
    { NULL,                        "2.01",   400, 1  },
    { NULL,                        "02.1",   400, 1  },
    { NULL,                        "0.1",    400, 1  },
    { NULL,                        "2.1x",   400, 1  },
    { NULL,                        "-2.1",   400, 1  },
    { NULL,                        "2,1",    400, 1  },
    { "compute ",                  NULL,     200, 1  },
    { "compute two",               "2.1",    400, 1  },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (versions); i++)
    {
      g_autofree char *problem = NULL;
      guint minor = 0;

      g_test_message ("%s, %s", versions[i].header, versions[i].legacy);
      g_assert_cmpuint (nova_version_parse (versions[i].header, versions[i].legacy, &minor,
                                            &problem), ==, versions[i].status);
      g_assert_cmpuint (minor, ==, versions[i].minor);
      g_assert_cmpint (problem != NULL, ==, versions[i].status != 200);
    }
}

static void
test_faults (void)
{
  static const struct { guint status, told; const char *name; } faults[] = {
    { 400, 400, "badRequest"         },
    { 401, 401, "unauthorized"       },
    { 403, 403, "forbidden"          },
    { 404, 404, "itemNotFound"       },
    { 405, 405, "badMethod"          },
    { 406, 406, "computeFault"       },
    { 409, 409, "conflictingRequest" },
    { 413, 413, "overLimit"          },
    { 500, 500, "computeFault"       },
    { 502, 500, "computeFault"       },
    { 503, 503, "serviceUnavailable" },
    { 504, 500, "computeFault"       },
    { 507, 500, "computeFault"       },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      guint told = nova_fault_status (faults[i].status);
      g_autoptr (JsonNode) node = nova_fault_new (told, "why", i % 2 != 0 ? "what to do" : NULL);
      JsonObject *object = json_node_get_object (node);
      JsonObject *fault;

      g_assert_cmpuint (told, ==, faults[i].told);
      g_assert_cmpuint (json_object_get_size (object), ==, 1);
      g_assert_true (json_object_has_member (object, faults[i].name));
      fault = json_object_get_object_member (object, faults[i].name);
      g_assert_cmpint (json_object_get_int_member (fault, "code"), ==, told);
      g_assert_cmpstr (json_object_get_string_member (fault, "message"), ==,
                       i % 2 != 0 ? "why (what to do)" : "why");
    }
}

/* What Python's uuid.uuid5() says, too. */
static void
test_ids (void)
{
  g_autofree char *web = nova_id_from_name ("web");
  g_autofree char *again = nova_id_from_name ("web");
  g_autofree char *other = nova_id_from_name ("web2");

  g_assert_true (g_uuid_string_is_valid (web));
  g_assert_cmpstr (web, ==, "5467179e-3ac0-5724-9543-6be6d6e03a9f");
  g_assert_cmpstr (web, ==, again);
  g_assert_cmpstr (web, !=, other);
}

static void
test_times (void)
{
  g_autofree char *time = nova_time (1767225599);
  g_autofree char *unknown = nova_time (0);
  g_autofree char *absurd = nova_time (G_MAXINT64);

  g_assert_cmpstr (time, ==, "2025-12-31T23:59:59Z");
  g_assert_null (unknown);
  g_assert_null (absurd);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nova/paths", test_paths);
  g_test_add_func ("/nova/project", test_project);
  g_test_add_func ("/nova/versions", test_versions);
  g_test_add_func ("/nova/faults", test_faults);
  g_test_add_func ("/nova/ids", test_ids);
  g_test_add_func ("/nova/times", test_times);
  return g_test_run ();
}
