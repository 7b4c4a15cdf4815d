/* SPDX-License-Identifier: Apache-2.0 */

/* What stands behind the ? of a list of servers. */

#include "nova-filter.h"

#include <core/error.h>

#include <libsoup/soup.h>
#include <string.h>

static NovaFilter *
make (const char  *query,
      GError     **error)
{
  g_autoptr (GHashTable) table = query != NULL ? soup_form_decode (query) : NULL;

  return nova_filter_new (table, error);
}

static gboolean
matches (const char *query,
         const char *name,
         const char *status)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (NovaFilter) filter = make (query, &error);
  gboolean is_match = FALSE;

  g_assert_no_error (error);
  g_assert_true (nova_filter_matches (filter, name, status, &is_match, &error));
  g_assert_no_error (error);
  return is_match;
}

static void
test_matches (void)
{
  g_assert_true (matches (NULL, "web", "ACTIVE"));
  g_assert_true (matches ("name=web", "web", "ACTIVE"));
  g_assert_true (matches ("name=eb", "web-1", "ACTIVE"));
  g_assert_true (matches ("name=%5Ew.*1$", "web-1", "ACTIVE"));
  g_assert_true (matches ("name=%C3%A4", "b\xc3\xa4r", "ACTIVE"));
  g_assert_true (matches ("name=&status=active", "web", "ACTIVE"));
  g_assert_true (matches ("whatever=x", "web", "ACTIVE"));
  g_assert_false (matches ("name=%5Eeb", "web", "ACTIVE"));
  g_assert_false (matches ("status=", "web", "ACTIVE"));
  g_assert_false (matches ("status=ERROR", "web", "ACTIVE"));
  g_assert_false (matches ("name=web&status=ERROR", "web", "ACTIVE"));
  g_assert_false (matches ("image=x", "web", "ACTIVE"));
  g_assert_true (matches ("image=", "web", "ACTIVE"));
  g_assert_false (matches ("deleted=True", "web", "ACTIVE"));
  g_assert_false (matches ("deleted=1", "web", "ACTIVE"));
  g_assert_true (matches ("deleted=False", "web", "ACTIVE"));
  g_assert_true (matches ("deleted=", "web", "ACTIVE"));
}

static void
test_pages (void)
{
  static const struct { const char *query; guint limit; const char *marker; } pages[] = {
    { NULL,              NOVA_LIMIT_MAX, NULL  },
    { "limit=0",         0,              NULL  },
    { "limit=7",         7,              NULL  },
    { "limit=1001",      NOVA_LIMIT_MAX, NULL  },
    { "limit=2147483647", NOVA_LIMIT_MAX, NULL },
    { "marker=abc",      NOVA_LIMIT_MAX, "abc" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (pages); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (NovaFilter) filter = make (pages[i].query, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (nova_filter_get_limit (filter), ==, pages[i].limit);
      g_assert_cmpstr (nova_filter_get_marker (filter), ==, pages[i].marker);
    }
}

static void
test_refused (void)
{
  static const char *const queries[] = {
    "name=(", "name=%5B", "name=*", "name=a%5C", "name=%FF", "status=%FF", "marker=%FF", "limit=",
    "limit=x", "limit=-1", "limit=+1", "limit=1.0", "limit=2147483648",
    "limit=99999999999999999999999", "name=(%3FP%3Cn%3Ea)(%3FP%3Cn%3Eb)",
    "name=(((((x{60000}){60000}){60000}){60000}){60000})",
  };
  g_autofree char *name = g_strdup_printf ("name=%0256d", 0);
  g_autofree char *marker = g_strdup_printf ("marker=%0256d", 0);

  for (gsize i = 0; i < G_N_ELEMENTS (queries) + 2; i++)
    {
      const char *query = i < G_N_ELEMENTS (queries)    ? queries[i]
                          : i == G_N_ELEMENTS (queries) ? name
                                                        : marker;
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", query);
      g_assert_null (make (query, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    }
}

/* Each of them would try more ways than there are atoms; and asking for more does not help. */
static void
test_endless_expressions (void)
{
  static const char *const patterns[] = {
    "name=(a|aa)%2B[bc]%2B$", "name=(a|a)*[bc][de]",
    "name=(*LIMIT_MATCH%3D4000000000)(a|aa)%2B[bc]%2B$",
  };
  char name[201];

  memset (name, 'a', 200);
  name[200] = '\0';
  for (gsize i = 0; i < G_N_ELEMENTS (patterns); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (NovaFilter) filter = make (patterns[i], &error);
      gint64 begin = g_get_monotonic_time ();
      gboolean is_match = TRUE;

      g_assert_no_error (error);
      g_assert_false (nova_filter_matches (filter, name, "ACTIVE", &is_match, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_assert_cmpint (g_get_monotonic_time () - begin, <, 5 * G_USEC_PER_SEC);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nova-filter/matches", test_matches);
  g_test_add_func ("/nova-filter/pages", test_pages);
  g_test_add_func ("/nova-filter/refused", test_refused);
  g_test_add_func ("/nova-filter/endless-expressions", test_endless_expressions);
  return g_test_run ();
}
