/* SPDX-License-Identifier: Apache-2.0 */

/* What a server may be asked to do. */

#include "nova-action.h"

#include <core/error.h>

#include <string.h>

static JsonObject *
parse (const char  *text,
       NovaAction  *action,
       GError     **error)
{
  g_autoptr (JsonNode) body = json_from_string (text, NULL);

  g_assert_nonnull (body);
  return nova_action_parse (json_node_get_object (body), action, error);
}

static void
test_good (void)
{
  static const struct { const char *text; NovaAction action; } bodies[] = {
    { "{\"createImage\": {\"name\": \"x\"}}",                           NOVA_ACTION_CREATE_IMAGE },
    { "{\"createImage\": {\"name\": \"a b\", \"metadata\": {}}}",       NOVA_ACTION_CREATE_IMAGE },
    { "{\"createImage\": {\"name\": \"\303\244\", \"metadata\": {\"a-_:. 1\": \"\"}}}",
      NOVA_ACTION_CREATE_IMAGE },
    { "{\"snapshot\": {\"name\": \"x\", \"disks\": [\"a\"]}}",          NOVA_ACTION_SNAPSHOT },
    { "{\"snapshot\": {\"name\": \"x\", \"image\": \"full\"}}",         NOVA_ACTION_SNAPSHOT },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autoptr (GError) error = NULL;
      NovaAction action;
      g_autoptr (JsonObject) wish = parse (bodies[i].text, &action, &error);

      g_assert_no_error (error);
      g_assert_cmpint (action, ==, bodies[i].action);
      g_assert_true (json_object_has_member (wish, "name"));
    }
}

/* What clients send along is passed over; what is told on is the image alone. */
static void
test_rebuild (void)
{
  static const char *const bodies[] = {
    "{\"rebuild\": {\"imageRef\": \"i\"}}",
    "{\"rebuild\": {\"imageRef\": \"i\", \"name\": \"x\", \"metadata\": {\"a\": \"b\"},"
    " \"description\": null, \"OS-DCF:diskConfig\": \"AUTO\"}}",
    "{\"rebuild\": {\"imageRef\": \"i\", \"preserve_ephemeral\": false, \"adminPass\": null,"
    " \"key_name\": null, \"user_data\": null, \"trusted_image_certificates\": null}}",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autoptr (GError) error = NULL;
      NovaAction action;
      g_autoptr (JsonObject) wish = parse (bodies[i], &action, &error);

      g_assert_no_error (error);
      g_assert_cmpint (action, ==, NOVA_ACTION_REBUILD);
      g_assert_cmpuint (json_object_get_size (wish), ==, 1);
      g_assert_cmpstr (json_object_get_string_member (wish, "image"), ==, "i");
    }
}

/* {"createImage": {"name": "x", "metadata": {...}}} with @n pairs, keys and values of @length. */
static char *
make_metadata (guint n,
               guint length)
{
  GString *text = g_string_new ("{\"createImage\": {\"name\": \"x\", \"metadata\": {");

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "%s\"%0*u\": \"%0*d\"", i > 0 ? "," : "", (int) length, i,
                            (int) length, 0);
  g_string_append (text, "}}}");
  return g_string_free (text, FALSE);
}

static void
test_limits (void)
{
  static const struct { guint n, length; gboolean is_good; } cases[] = {
    { 128, 3, TRUE }, { 129, 3, FALSE }, { 1, 255, TRUE }, { 1, 256, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = make_metadata (cases[i].n, cases[i].length);
      g_autoptr (GError) error = NULL;
      NovaAction action;
      g_autoptr (JsonObject) wish = parse (text, &action, &error);

      g_assert_cmpint (wish != NULL, ==, cases[i].is_good);
      if (!cases[i].is_good)
        g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    }
}

static void
test_refused (void)
{
  static const struct { const char *text, *problem; } bodies[] = {
    { "{}",                                                         "0 actions"     },
    { "{\"createImage\": {\"name\": \"x\"}, \"snapshot\": {}}",     "2 actions"     },
    { "{\"pause\": null}",                                          "action: pause" },
    { "{\"\": {}}",                                                 "no such action" },
    { "{\"createImage\": null}",                                    "an object"     },
    { "{\"createImage\": \"x\"}",                                   "an object"     },
    { "{\"createImage\": {}}",                                      "'name'"        },
    { "{\"createImage\": {\"name\": null}}",                        "attribute name" },
    { "{\"createImage\": {\"name\": 1}}",                           "attribute name" },
    { "{\"createImage\": {\"name\": {}}}",                          "attribute name" },
    { "{\"createImage\": {\"name\": \"\"}}",                        "attribute name" },
    { "{\"createImage\": {\"name\": \" \"}}",                       "attribute name" },
    { "{\"createImage\": {\"name\": \"x\\u2003\"}}",                "attribute name" },
    { "{\"createImage\": {\"name\": \"a\\u0007b\"}}",               "attribute name" },
    { "{\"createImage\": {\"name\": \"x\", \"format\": \"raw\"}}",  "'format'"      },
    { "{\"createImage\": {\"name\": \"x\", \"metadata\": null}}",   "metadata"      },
    { "{\"createImage\": {\"name\": \"x\", \"metadata\": [1]}}",    "metadata"      },
    { "{\"createImage\": {\"name\": \"x\", \"metadata\": {\"a\": true}}}", "attribute a" },
    { "{\"createImage\": {\"name\": \"x\", \"metadata\": {\"a\": {}}}}", "attribute a" },
    { "{\"createImage\": {\"name\": \"x\", \"metadata\": {\"a=b\": \"c\"}}}", "metadata" },
    { "{\"createImage\": {\"name\": \"x\", \"metadata\": {\"\303\244\": \"c\"}}}", "metadata" },
    { "{\"snapshot\": {\"name\": \"x\", \"image\": \"none\"}}",     "attribute image" },
    { "{\"rebuild\": {}}",                                          "'imageRef'"    },
    { "{\"rebuild\": {\"imageRef\": null}}",                        "attribute imageRef" },
    { "{\"rebuild\": {\"imageRef\": \"\"}}",                        "attribute imageRef" },
    { "{\"rebuild\": {\"imageRef\": \"i\", \"adminPass\": \"p\"}}",   "'adminPass'"   },
    { "{\"rebuild\": {\"imageRef\": \"i\", \"personality\": []}}",  "'personality'" },
    { "{\"rebuild\": {\"imageRef\": \"i\", \"preserve_ephemeral\": true}}",
      "'preserve_ephemeral'" },
    { "{\"rebuild\": {\"imageRef\": \"i\", \"disk\": \"d\"}}",        "'disk'"        },
    { "{\"rebuild\": {\"imageRef\": \"i\", \"metadata\": [1]}}",    "metadata"      },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autoptr (GError) error = NULL;
      NovaAction action;

      g_test_message ("%s", bodies[i].text);
      g_assert_null (parse (bodies[i].text, &action, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, bodies[i].problem));
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nova-action/good", test_good);
  g_test_add_func ("/nova-action/rebuild", test_rebuild);
  g_test_add_func ("/nova-action/limits", test_limits);
  g_test_add_func ("/nova-action/refused", test_refused);
  return g_test_run ();
}
